"""What the SageMaker tests share: a real cloud, real images from Dockerfiles, requests, and waiting without sleeping."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from local_cloud.sagemaker.namespaces import PLAIN
from local_cloud.testing import RunningCloud, wait_until
from tests.places import CDK, ROOT

INSTANCE = "ml.m5.large"
STATUS = {"TrainingJob": "training_job", "HyperParameterTuningJob": "hyper_parameter_tuning_job",
          "ProcessingJob": "processing_job", "TransformJob": "transform_job"}  # fmt: skip

# A training image whose program comes as a hyperparameter, so that a test shows its whole job in one place.
TRAINER = """
import json, os, pathlib, signal, sys, time
base = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
hyperparameters = json.loads((base / "input/config/hyperparameters.json").read_text())
config = lambda name: json.loads((base / f"input/config/{name}.json").read_text())
say = lambda *words: print(*words, flush=True)
exec(json.loads(hyperparameters["program"]))
"""

# A model server: answers with its model's text and the request; speaks the multi-model contract with room for two.
SERVER = """
import json, os, pathlib, socket, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
base = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
text = lambda folder: (pathlib.Path(folder) / "model.txt").read_text()
models = {}
if os.environ.get("BREAK") == "1":
    sys.exit("this server cannot start")

class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *words): print(*words, flush=True)
    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        if self.path == "/execution-parameters":
            return self.answer(200, b'{"MaxConcurrentTransforms": 2, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 1}')
        self.answer(200, b"")
    def do_DELETE(self):
        models.pop(self.path.split("/")[2], None)
        self.answer(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = self.path.split("/")
        if self.path == "/models":
            request = json.loads(body)
            if request["model_name"] in models: return self.answer(409, b"already loaded")
            if len(models) == 2: return self.answer(507, b"no room")
            models[request["model_name"]] = text(request["url"])
            return self.answer(200, b"")
        if parts[1] == "models":
            if parts[2] not in models: return self.answer(404, b"not loaded")
            return self.answer(200, models[parts[2]].encode() + b" of " + str(len(models)).encode())
        if body == b"fail": return self.answer(500, b"it broke")
        if body == b"refuse": return self.answer(415, b"not a photo")
        if body == b"die": os._exit(7)
        if body.startswith(b"wait:"): socket.create_connection(("127.0.0.1", int(body[5:]))).recv(1)  # until the test hangs up
        if self.headers["Content-Type"] == "text/csv":
            return self.answer(200, b"\\n".join(b"%d" % len(line) for line in body.split(b"\\n")) + b"\\n")
        self.answer(200, text(base / "model").encode() + b":" + body, **{"Content-Type": self.headers["Accept"] or "text/plain"})

ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Server).serve_forever()
"""


@dataclass
class Platform:
    """A cloud with a role, a bucket and images, and short ways to run jobs on it."""

    cloud: RunningCloud
    scratch: Path

    @cached_property
    def api(self) -> Any:
        return self.cloud.client("sagemaker")

    @cached_property
    def runtime(self) -> Any:
        return self.cloud.client("sagemaker-runtime")

    @cached_property
    def s3(self) -> Any:
        return self.cloud.client("s3")

    @cached_property
    def role(self) -> str:
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                                                          "Principal": {"Service": "sagemaker.amazonaws.com"}}]}  # fmt: skip
        iam = self.cloud.client("iam")
        return iam.create_role(RoleName=new_name("role"), AssumeRolePolicyDocument=json.dumps(policy))["Role"]["Arn"]

    @cached_property
    def bucket(self) -> str:
        name = new_name("bucket")
        self.s3.create_bucket(Bucket=name)
        return name

    @cached_property
    def trainer(self) -> str:
        return self.image("trainer", TRAINER)

    @cached_property
    def server(self) -> str:
        return self.image("server", SERVER)

    def image(self, repository: str, program: str, label: str = "") -> str:
        """Builds and pushes an image as a user would, from a Dockerfile of four lines."""
        folder = self.scratch / repository
        folder.mkdir(parents=True)
        (folder / "main.py").write_text(program)
        (folder / "Dockerfile").write_text(
            "FROM python:3.11-slim\nWORKDIR /opt/program\nCOPY main.py .\n"
            + (f"LABEL {label}\n" if label else "")
            + 'ENTRYPOINT ["python", "main.py"]\n'
        )
        self.cloud.client("ecr").create_repository(repositoryName=repository)
        uri = f"000000000000.dkr.ecr.us-east-1.amazonaws.com/{repository}:1"
        environment = self.cloud.environment() | {"LOCAL_CLOUD_STATE": str(self.cloud.state)}
        for words in (["build", "--tag", uri, str(folder)], ["push", uri]):
            subprocess.run(
                [sys.executable, "-m", "local_cloud.docker.cli", *words], cwd=ROOT, env=environment, check=True
            )
        return uri

    def put(self, key: str, data: bytes | str = b"x") -> str:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=data)
        return f"s3://{self.bucket}/{key}"

    def read(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def keys(self, prefix: str) -> list[str]:
        return [e["Key"] for e in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])]

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def training_request(self, program: str, *, metrics: dict[str, str] | None = None, channels: dict[str, str] | None = None,
                         **fields: Any) -> dict[str, Any]:  # fmt: skip
        """A CreateTrainingJob request whose job runs `program`."""
        definitions = [{"Name": name, "Regex": regex} for name, regex in (metrics or {}).items()]
        hyperparameters = {"program": json.dumps(textwrap.dedent(program)), **fields.pop("HyperParameters", {})}
        algorithm = {"TrainingImage": self.trainer, "TrainingInputMode": "File", "MetricDefinitions": definitions}
        return {
            "TrainingJobName": new_name("job"),
            "AlgorithmSpecification": algorithm | fields.pop("AlgorithmSpecification", {}),
            "RoleArn": self.role,
            "HyperParameters": hyperparameters,
            **({"InputDataConfig": [channel(*item) for item in channels.items()]} if channels else {}),
            "OutputDataConfig": {"S3OutputPath": self.uri("out")},
            "ResourceConfig": {"InstanceType": INSTANCE, "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **fields,
        }

    def train(self, program: str, **fields: Any) -> dict[str, Any]:
        """Runs a training job to its end; its description."""
        request = self.training_request(program, **fields)
        self.api.create_training_job(**request)
        return self.finished("TrainingJob", request["TrainingJobName"])

    def describe(self, kind: str, name: str) -> dict[str, Any]:
        return getattr(self.api, f"describe_{STATUS[kind]}")(**{f"{kind}Name": name})

    def until(self, kind: str, name: str, wanted: Callable[[dict], Any], seconds: float = 180) -> dict[str, Any]:
        """The first description that is as wanted."""
        found: dict[str, Any] = {}

        def look() -> bool:
            found.update(job=self.describe(kind, name))
            return wanted(found["job"])

        wait_until(look, seconds, f"{kind} {name} as wanted")
        return found["job"]

    def finished(self, kind: str, name: str, seconds: float = 180) -> dict[str, Any]:
        return self.until(kind, name, lambda job: job[f"{kind}Status"] in ("Completed", "Failed", "Stopped"), seconds)

    def lines(self, group: str, prefix: str) -> list[str]:
        """What CloudWatch Logs has of a job."""
        logs = self.cloud.client("logs")
        try:
            streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]
            names = [stream["logStreamName"] for stream in streams]
            events = logs.filter_log_events(logGroupName=group, logStreamNames=names)["events"] if names else []
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in events if event["message"] != PLAIN]

    def saying(self, job: str, line: str) -> None:
        """Waits until a training job has printed a line."""
        wait_until(lambda: line in self.lines("/aws/sagemaker/TrainingJobs", f"{job}/"), 120, f"{line!r} of {job}")

    def model_archive(self, key: str, text: str) -> str:
        """A model.tar.gz for the server image, in S3."""
        import io
        import tarfile

        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            member = tarfile.TarInfo("model.txt")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
        return self.put(key, out.getvalue())

    def model(self, text: str = "first", **container: Any) -> str:
        """A Model of the server image."""
        name = new_name("model")
        data = (
            {} if "ModelDataUrl" in container else {"ModelDataUrl": self.model_archive(f"models/{name}.tar.gz", text)}
        )
        primary = {"Image": self.server, **data, **container}
        self.api.create_model(ModelName=name, PrimaryContainer=primary, ExecutionRoleArn=self.role)
        return name

    def endpoint_config(self, model: str, **variant: Any) -> str:
        name = new_name("config")
        block = {"VariantName": "AllTraffic", "ModelName": model, "InstanceType": INSTANCE, "InitialInstanceCount": 1}
        self.api.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[block | variant])
        return name

    def endpoint(self, model: str, **variant: Any) -> str:
        """An endpoint that has left Creating."""
        name = new_name("endpoint")
        self.api.create_endpoint(EndpointName=name, EndpointConfigName=self.endpoint_config(model, **variant))
        self.settled(name)
        return name

    def settled(self, endpoint: str) -> dict[str, Any]:
        """The endpoint once nothing is in progress."""
        busy = ("Creating", "Updating", "SystemUpdating", "Deleting")
        wait_until(
            lambda: self.api.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] not in busy, 30, endpoint
        )
        return self.api.describe_endpoint(EndpointName=endpoint)

    def invoke(self, endpoint: str, body: bytes = b"hello", **parameters: Any) -> str:
        answer = self.runtime.invoke_endpoint(EndpointName=endpoint, Body=body, **parameters)
        return answer["Body"].read().decode()


def new_name(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:8]}"


def channel(name: str, uri: str, **fields: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, **fields.pop("source", {})}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **fields}


def started_platform(folder: Path, **settings: str) -> Platform:
    """A cloud whose jobs have two seconds to obey SIGTERM instead of AWS's 120."""
    cloud = RunningCloud(folder / "state")
    cloud.start(**quick_settings(), **settings)
    return Platform(cloud, folder / "scratch")


def quick_settings() -> dict[str, str]:
    return {"LOCAL_CLOUD_STOP_GRACE_SECONDS": "2", "LOCAL_CLOUD_SYNC_SECONDS": "0.2",
            "LOCAL_CLOUD_ENVIRONMENTS": os.environ.get("LOCAL_CLOUD_ENVIRONMENTS", ""),
            "LOCAL_CLOUD_NODE_MODULES": str(CDK.parents[1])}  # fmt: skip


def processes_of(training_job: str) -> list[int]:
    """The processes of a training job as this machine numbers them; a confined job knows only its own numbers."""
    wanted = f"TRAINING_JOB_NAME={training_job}".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
        except OSError:  # it has just ended, or is somebody else's
            continue
    return found
