"""Random `kill -9` of the cloud while it works, and a look at what is left (`test_kills.py` runs it, `make kills` longer).

Three kinds of work: S3 writes (put, overwrite, delete, copy, multipart), training jobs, and `cdk deploy`. After each kill
the cloud starts again and everything that it had acknowledged must be there, nothing half-written may be taken for done, and
no process of a job may live on. A difference is a row in the table, never passed over.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local_cloud.testing import RunningCloud, wait_until
from tests.conftest import CDK
from tests.sagemaker.platform import Platform, processes_of, quick_settings

KEYS = 8
PART = 5 * 1024 * 1024
BROKEN = (BotoCoreError, ClientError, OSError)
# A client must not repeat a write by itself: then one attempt would be two.
ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=60)


@dataclass
class Tally:
    """What one kind of work has shown over its kills."""

    work: str
    kills: int = 0
    acknowledged: int = 0
    interrupted: int = 0  # calls that the kill left without an answer
    wrong: list[str] = field(default_factory=list)

    def row(self) -> str:
        """A line of the table."""
        return f"| {self.work} | {self.kills} | {self.acknowledged} | {self.interrupted} | {len(self.wrong)} |"


class S3Writes:
    """One writer per key, so that after a kill a key may hold its last acknowledged state or the one in flight."""

    work = "S3 writes: put, overwrite, delete, copy, multipart"

    def __init__(self, cloud: RunningCloud, dice: random.Random):
        self.cloud, self.dice = cloud, dice
        self.settled: dict[str, str | None] = {}  # the digest that a key must have; None for no object
        self.possible: dict[str, list[str | None]] = {}

    def prepare(self) -> None:
        """The bucket, and the source of copies."""
        s3 = self.cloud.client("s3")
        s3.create_bucket(Bucket="kills")
        s3.put_object(Bucket="kills", Key="source", Body=b"source")
        self.settled["source"] = _digest(b"source")

    def until_killed(self, tally: Tally) -> None:
        """Write until the cloud is gone."""
        writers = [threading.Thread(target=self._write, args=(f"k{n}", n, tally)) for n in range(KEYS)]
        for writer in writers:
            writer.start()
        time.sleep(self.dice.uniform(0.05, 1.0))
        self.cloud.kill()
        for writer in writers:
            writer.join()

    def _write(self, key: str, seed: int, tally: Tally) -> None:
        s3, dice = self.cloud.client("s3", config=ONCE), random.Random(f"{seed}-{self.dice.random()}")
        while True:
            body = dice.randbytes(dice.choice((10, 1000, 70_000, 900_001)))
            kind = dice.choices(("put", "delete", "copy", "multipart"), (6, 2, 2, 1))[0]
            if kind == "multipart":
                body = dice.randbytes(PART + 10)
            after = {"delete": None, "copy": _digest(b"source")}.get(kind, _digest(body))
            self.possible[key] = [self.settled.get(key), after]
            try:
                getattr(self, f"_{kind}")(s3, key, body)
            except (*BROKEN, KeyError):  # an answer may be cut off behind its header
                tally.interrupted += 1
                return
            self.settled[key], self.possible[key] = after, [after]
            tally.acknowledged += 1

    def _put(self, s3: Any, key: str, body: bytes) -> None:
        s3.put_object(Bucket="kills", Key=key, Body=body)

    def _delete(self, s3: Any, key: str, body: bytes) -> None:
        s3.delete_object(Bucket="kills", Key=key)

    def _copy(self, s3: Any, key: str, body: bytes) -> None:
        s3.copy_object(Bucket="kills", Key=key, CopySource="kills/source")

    def _multipart(self, s3: Any, key: str, body: bytes) -> None:
        upload = {"Bucket": "kills", "Key": key}
        upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
        pieces = (body[:PART], body[PART:])
        tags = [s3.upload_part(**upload, PartNumber=n, Body=piece)["ETag"] for n, piece in enumerate(pieces, 1)]
        parts = {"Parts": [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]}
        s3.complete_multipart_upload(**upload, MultipartUpload=parts)

    def faults(self) -> Iterator[str]:
        """Whatever is not as acknowledged; what is found becomes the settled state."""
        s3 = self.cloud.client("s3")
        listed = {e["Key"]: e["Size"] for e in s3.list_objects_v2(Bucket="kills").get("Contents", [])}
        for key in ["source", *(f"k{n}" for n in range(KEYS))]:
            found = None
            if key in listed:
                try:
                    body = s3.get_object(Bucket="kills", Key=key)["Body"].read()
                except BROKEN as fault:
                    yield f"{key} is listed and cannot be read: {fault}"
                    continue
                found = _digest(body)
                if len(body) != listed[key]:
                    yield f"{key} is listed with {listed[key]} bytes and has {len(body)}"
            if found not in self.possible.get(key, [self.settled.get(key)]):
                yield f"{key} is neither what was acknowledged nor what was being written"
            self.settled[key], self.possible[key] = found, [found]
        files = sum(len(names) for _, _, names in os.walk(self.cloud.state / "objects"))
        if files != len(listed) and len(s3.list_buckets()["Buckets"]) == 1:
            yield f"{files} content files for {len(listed)} objects"


class TrainingJobs:
    """Jobs that write a checkpoint and a model; afterwards each is Completed with a whole model, or Failed."""

    work = "training jobs with checkpoints and models"
    PROGRAM = """
        print("working", flush=True)
        for n in range(3):
            (base / "checkpoints" / f"{n}.bin").write_bytes(bytes([n]) * 300_000)
            time.sleep(0.2)
        (base / "model" / "weights.bin").write_bytes(b"w" * 2_000_000)
    """

    def __init__(self, cloud: RunningCloud, dice: random.Random):
        self.cloud, self.dice = cloud, dice
        self.platform = Platform(cloud, Path(tempfile.mkdtemp()))
        self.jobs: list[str] = []
        self.done: set[str] = set()

    def prepare(self) -> None:
        """The image and the role."""
        _ = self.platform.trainer, self.platform.role, self.platform.bucket

    def until_killed(self, tally: Tally) -> None:
        """Start two jobs, look at what is done, kill at any moment of their lives."""
        self.__dict__.pop("started", None)
        kept = {k: v for k, v in self.platform.__dict__.items() if k in ("role", "bucket", "trainer")}
        self.platform = Platform(self.cloud, self.platform.scratch)
        self.platform.__dict__.update(kept)
        started = []
        for _ in range(2):
            request = self.platform.training_request(
                self.PROGRAM, CheckpointConfig={"S3Uri": self.platform.uri("checkpoints")}
            )
            self.platform.api.create_training_job(**request)
            started.append(request["TrainingJobName"])
            tally.acknowledged += 1
        self.jobs += started
        end = time.monotonic() + self.dice.uniform(0.1, 4.0)
        while time.monotonic() < end:
            for name in started:
                if self.platform.describe("TrainingJob", name)["TrainingJobStatus"] == "Completed":
                    self.done.add(name)
        self.cloud.kill()
        tally.interrupted += len([name for name in started if name not in self.done])

    def faults(self) -> Iterator[str]:
        """Whatever a client could take for a finished job and is not, and every process that lives on."""
        for name in self.jobs[-2:]:
            try:
                wait_until(lambda name=name: not processes_of(name), 10)
            except AssertionError:
                yield f"processes of {name} live on: {processes_of(name)}"
            job = self.cloud.client("sagemaker").describe_training_job(TrainingJobName=name)
            status = job["TrainingJobStatus"]
            if name in self.done and status != "Completed":
                yield f"{name} was Completed and is {status}"
            if status not in ("Completed", "Failed"):
                yield f"{name} is {status}"
            if status == "Completed":
                yield from self._model_faults(name)
        left = list((self.cloud.state / "sagemaker" / "jobs").glob("*/*"))
        if left:
            yield f"folders are left: {left}"

    def _model_faults(self, name: str) -> Iterator[str]:
        s3 = self.cloud.client("s3")
        packed = s3.get_object(Bucket=self.platform.bucket, Key=f"out/{name}/output/model.tar.gz")["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            if archive.extractfile("weights.bin").read() != b"w" * 2_000_000:
                yield f"the model of {name} is not whole"


class Deployments:
    """`cdk deploy` of two templates in turn, killed anywhere; the next deployment must bring what it says."""

    work = "`cdk deploy` (create and update of two stacks)"
    APP = """
        import aws_cdk as cdk
        from aws_cdk import aws_iam as iam, aws_s3 as s3, aws_sqs as sqs, aws_ssm as ssm
        app = cdk.App()
        word = app.node.try_get_context("word")
        env = cdk.Environment(account="000000000000", region="us-east-1")
        synthesizer = lambda: cdk.LegacyStackSynthesizer()
        for name in ("One", "Two"):
            stack = cdk.Stack(app, name, env=env, synthesizer=synthesizer())
            rule = s3.LifecycleRule(id=f"{word}-rule", expiration=cdk.Duration.days(10))
            s3.Bucket(stack, "Bucket", lifecycle_rules=[rule], removal_policy=cdk.RemovalPolicy.DESTROY)
            role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
            for number in range(8):
                ssm.StringParameter(stack, f"P{number}", parameter_name=f"/{name}/{number}", string_value=f"{word}{number}")
            sqs.Queue(stack, f"Queue-{word}")
        app.synth()
    """

    def __init__(self, cloud: RunningCloud, dice: random.Random):
        self.cloud, self.dice = cloud, dice
        self.folder = Path(tempfile.mkdtemp())
        self.turn = 0
        self.acknowledged: str | None = None

    def prepare(self) -> None:
        """Both assemblies, so that a deployment is the CLI and the cloud only."""
        (self.folder / "app.py").write_text(textwrap.dedent(self.APP))
        for word in "ab":
            command = [*self._cdk(f"{sys.executable} app.py"), "synth", "-q", "-c", f"word={word}", "-o", f"out-{word}"]
            subprocess.run(command, cwd=self.folder, env=self._environment(), check=True, capture_output=True)

    def _cdk(self, app: str) -> list[str]:
        cdk = str(CDK)
        return [cdk, "--app", app, "--ci", "--no-version-reporting", "--no-notices"]

    def _environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return self.cloud.environment() | {"PATH": path, "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1"}

    def _deploy(self) -> subprocess.Popen:
        words = ["deploy", "--all", "--require-approval", "never", "--method", "direct", "--progress", "events"]
        return subprocess.Popen(
            [*self._cdk(f"out-{'ab'[self.turn % 2]}"), *words], cwd=self.folder, env=self._environment(),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def until_killed(self, tally: Tally) -> None:
        """Deploy the other template; kill when a random event of the deployment has been seen, or it is done."""
        self.turn += 1
        cli, wanted, events = self._deploy(), self.dice.randint(0, 24), 0
        for line in cli.stdout:
            if "|" in line and "AWS::" in line:
                events += 1
                if events > wanted:
                    break
        time.sleep(self.dice.uniform(0, 0.2))
        self.cloud.kill()
        cli.communicate()
        self.acknowledged = "ab"[self.turn % 2] if cli.returncode == 0 else None
        tally.acknowledged += cli.returncode == 0
        tally.interrupted += cli.returncode != 0

    def faults(self) -> Iterator[str]:
        """Stacks that hang, a deployment that was told done and is not, or one that cannot be completed."""
        cfn = self.cloud.client("cloudformation")
        for stack in cfn.describe_stacks()["Stacks"]:
            if stack["StackStatus"].endswith("IN_PROGRESS"):
                yield f"{stack['StackName']} hangs in {stack['StackStatus']}"
        if self.acknowledged:
            yield from self._differences()
        cli = self._deploy()
        said, _ = cli.communicate()
        if cli.returncode:
            yield f"the next deployment failed: {said[-500:]}"
        else:
            yield from self._differences()

    def _differences(self) -> Iterator[str]:
        word, cfn = "ab"[self.turn % 2], self.cloud.client("cloudformation")
        for name in ("One", "Two"):
            if not cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"].endswith("_COMPLETE"):
                yield f"{name} is not complete"
            shown = self.cloud.client("ssm").get_parameters_by_path(Path=f"/{name}")["Parameters"]
            if {p["Value"] for p in shown} != {f"{word}{number}" for number in range(8)}:
                yield f"the parameters of {name} are {sorted(p['Value'] for p in shown)}"
            found = cfn.describe_stack_resources(StackName=name)["StackResources"]
            ids = {r["ResourceType"]: r["PhysicalResourceId"] for r in found}
            rules = self.cloud.client("s3").get_bucket_lifecycle_configuration(Bucket=ids["AWS::S3::Bucket"])["Rules"]
            if [rule["ID"] for rule in rules] != [f"{word}-rule"]:
                yield f"the bucket of {name} has the rules {rules}"
            self.cloud.client("iam").get_role(RoleName=ids["AWS::IAM::Role"])
        queues = self.cloud.client("sqs").list_queues().get("QueueUrls", [])
        if len(queues) != 2:
            yield f"{len(queues)} queues for two stacks"


KINDS = {"s3": S3Writes, "jobs": TrainingJobs, "deploy": Deployments}


def kill_randomly(cloud: RunningCloud, kind: type, kills: int, seed: int) -> Tally:
    """So many kills over one kind of work; the cloud runs before and after."""
    work, tally = kind(cloud, random.Random(seed)), Tally(kind.work)
    work.prepare()
    for _ in range(kills):
        work.until_killed(tally)
        tally.kills += 1
        cloud.start(**quick_settings())
        try:
            tally.wrong += work.faults()
        except BROKEN as fault:
            tally.wrong.append(f"{type(fault).__name__}: {fault}")
        if "Traceback" in cloud.log():
            tally.wrong.append(f"a traceback in {cloud.state / 'cloud.log'}")
        print(tally.row(), tally.wrong[-3:], flush=True)
    return tally


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
