"""Overheads of the local SageMaker: how long until user code runs, what a search costs per trial, what a call costs.

    .venv/bin/python benchmarks/local_jobs.py [--jobs 20] [--calls 500]

Starts a cloud of its own in a temporary folder, builds one image of two standard-library programs, and prints one JSON
object. Ratios and latencies only hold on a quiet machine.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys, time
moment = time.time()
import json, os
if sys.argv[1] == "train":
    print(f"began={moment}; score={moment % 1};", flush=True)
    sys.exit(0)
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
models = {}
class Server(BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1
    def log_message(self, *words): pass
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self): self.answer(json.dumps({"port": self.server.server_port}).encode())
    do_DELETE = do_GET
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(json.dumps({"port": self.server.server_port}).encode())
ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Server).serve_forever()
"""
TRUST = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "sagemaker.amazonaws.com"}}]}  # fmt: skip


class Bench:
    """One cloud with what the measurements need."""

    def __init__(self, folder: Path):
        self.state = folder / "state"
        self.process = subprocess.Popen([sys.executable, "-m", "local_cloud", "--state", str(self.state)], cwd=ROOT,
                                        stderr=subprocess.DEVNULL)  # fmt: skip
        while not (self.state / "cloud.json").exists():
            if self.process.poll() is not None:
                raise SystemExit("The cloud did not start.")
            time.sleep(0.05)
        self.described = json.loads((self.state / "cloud.json").read_text())
        self.role = self.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"][
            "Arn"
        ]
        self.client("s3").create_bucket(Bucket="bench")
        self.image = self._image(folder / "image")
        self.api, self.runtime = self.client("sagemaker"), self.client("sagemaker-runtime")

    def client(self, service: str) -> Any:
        keys = {f"aws_{name}": self.described[name] for name in ("access_key_id", "secret_access_key")}
        config = Config(retries={"total_max_attempts": 1})
        endpoint = self.described["endpoint"]
        return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1", config=config, **keys)

    def _image(self, folder: Path) -> str:
        folder.mkdir()
        (folder / "main.py").write_text(PROGRAM)
        (folder / "Dockerfile").write_text(
            'FROM python:3.11-slim\nCOPY main.py /main.py\nENTRYPOINT ["python", "/main.py"]\n'
        )
        self.client("ecr").create_repository(repositoryName="bench")
        uri = "000000000000.dkr.ecr.us-east-1.amazonaws.com/bench:1"
        environment = os.environ | {
            "LOCAL_CLOUD_STATE": str(self.state), "AWS_ENDPOINT_URL": self.described["endpoint"], "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": self.described["access_key_id"], "AWS_SECRET_ACCESS_KEY": self.described["secret_access_key"],
        }  # fmt: skip
        for words in (["build", "--tag", uri, str(folder)], ["push", uri]):
            command = [sys.executable, "-m", "local_cloud.docker.cli", *words]
            subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        return uri

    def training(self) -> dict[str, Any]:
        metrics = [{"Name": name, "Regex": f"{name}=([0-9.]+);"} for name in ("began", "score")]
        return {
            "AlgorithmSpecification": {"TrainingImage": self.image, "TrainingInputMode": "File", "MetricDefinitions": metrics},
            "RoleArn": self.role, "OutputDataConfig": {"S3OutputPath": "s3://bench/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        }  # fmt: skip

    def await_status(self, describe: Any, field: str, **name: str) -> dict[str, Any]:
        while True:
            found = describe(**name)
            if found[field] in ("Completed", "InService"):
                return found
            if found[field] == "Failed":
                raise SystemExit(f"{name}: {found['FailureReason']}")
            time.sleep(0.005)


def job_start(bench: Bench, count: int) -> dict[str, float]:
    """Milliseconds from before the create call to the first line of user code."""
    taken = []
    for number in range(count + 1):
        name, began = f"job-{number}", time.time()
        bench.api.create_training_job(TrainingJobName=name, **bench.training())
        job = bench.await_status(bench.api.describe_training_job, "TrainingJobStatus", TrainingJobName=name)
        moment = next(m["Value"] for m in job["FinalMetricDataList"] if m["MetricName"] == "began")
        taken.append(1e3 * (moment - began))
    return spread(taken[1:])


def search(bench: Bench, count: int) -> float:
    """Milliseconds per trial of a search one trial at a time."""
    training = bench.training()
    training["StaticHyperParameters"] = {}
    config = {
        "Strategy": "Bayesian", "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": count, "MaxParallelTrainingJobs": 1},
        "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]},
    }  # fmt: skip
    began = time.time()
    bench.api.create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="search", HyperParameterTuningJobConfig=config, TrainingJobDefinition=training)  # fmt: skip
    describe = bench.api.describe_hyper_parameter_tuning_job
    bench.await_status(describe, "HyperParameterTuningJobStatus", HyperParameterTuningJobName="search")
    return round(1e3 * (time.time() - began) / count, 1)


def calls(bench: Bench, count: int) -> dict[str, Any]:
    """Milliseconds of a call to the container itself, through a single-model and a multi-model endpoint."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("model.txt"))
    bench.client("s3").put_object(Bucket="bench", Key="many/a.tar.gz", Body=packed.getvalue())
    containers = {"single": {"Image": bench.image}, "multi": {"Image": bench.image, "Mode": "MultiModel",
                                                              "ModelDataUrl": "s3://bench/many/"}}  # fmt: skip
    for name, container in containers.items():
        variant = {"VariantName": "v", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        bench.api.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=bench.role)
        bench.api.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        bench.api.create_endpoint(EndpointName=name, EndpointConfigName=name)
        bench.await_status(bench.api.describe_endpoint, "EndpointStatus", EndpointName=name)
    body = os.urandom(100_000)
    answer = bench.runtime.invoke_endpoint(EndpointName="single", Body=body)["Body"].read()
    direct = http.client.HTTPConnection("127.0.0.1", json.loads(answer)["port"])

    def bare() -> None:
        direct.request("POST", "/invocations", body)
        direct.getresponse().read()

    target = {"TargetModel": "a.tar.gz"}
    return {
        "container": timed(bare, count),
        "single_model": timed(lambda: bench.runtime.invoke_endpoint(EndpointName="single", Body=body)["Body"].read(), count),
        "multi_model": timed(
            lambda: bench.runtime.invoke_endpoint(EndpointName="multi", Body=body, **target)["Body"].read(), count),
    }  # fmt: skip


def timed(call: Any, count: int) -> dict[str, float]:
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        taken.append(1e3 * (time.perf_counter() - began))
    return spread(taken)


def spread(taken: list[float]) -> dict[str, float]:
    ranked = sorted(taken)
    return {"p50_ms": round(statistics.median(ranked), 2), "p95_ms": round(ranked[int(0.95 * (len(ranked) - 1))], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--calls", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            result = {"job_start": job_start(bench, options.jobs), "search_ms_per_trial": search(bench, options.jobs),
                      "calls": calls(bench, options.calls), "load": os.getloadavg()}  # fmt: skip
        finally:
            bench.process.terminate()
            bench.process.wait()
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
