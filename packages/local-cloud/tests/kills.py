"""Random `kill -9` of the cloud while it works, and a look at what is left (`test_kills.py` runs it, `make kills` longer).

Three kinds of work: S3 writes (put, overwrite, delete, copy, multipart), runs of a state machine with training jobs, and
`cdk deploy`. After each kill the cloud starts again and everything that it had acknowledged must be there, nothing
half-written may be taken for done, and no process that the killed cloud had started may live on. A difference is a row in
the table, never passed over.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
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

import psutil
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local_cloud.testing import RunningCloud, wait_until
from tests.places import CDK
from tests.sagemaker.platform import Platform, new_name, quick_settings

KEYS = 8
PART = 5 * 1024 * 1024
NAMES = ("One", "Two")
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
    processes: int = 0  # that the cloud had started and that ran when it was killed
    orphans: int = 0  # of these, the ones that lived on
    wrong: list[str] = field(default_factory=list)

    def row(self) -> str:
        """A line of the table."""
        cells = (
            self.work,
            self.kills,
            self.acknowledged,
            self.interrupted,
            len(self.wrong),
            self.processes,
            self.orphans,
        )
        return "| " + " | ".join(map(str, cells)) + " |"


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
        kill(self.cloud, tally)
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


class Runs:
    """A state machine trains twice at once and then says so; each job writes a checkpoint and a model.

    After the next start each run goes on to SUCCEEDED and its last word, each job to a whole model; none is made twice.
    """

    work = "runs of a state machine with two training jobs, checkpoints and models"
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
        self.machine = ""
        self.run, self.jobs = "", []
        self.all_runs: list[str] = []
        self.all_jobs: list[str] = []
        self.usual_seconds, self.usual_events = 10.0, 0

    def prepare(self) -> None:
        """The image, the role and the state machine; one run to its end says how long one takes."""
        bucket, states = self.platform.bucket, self.cloud.client("stepfunctions")
        train = {"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
                 "Parameters": self._job("$.name"), "End": True}  # fmt: skip
        branches = [
            {"StartAt": f"Train {n}", "States": {f"Train {n}": train | {"InputPath": f"$[{n}]"}}} for n in (0, 1)
        ]
        say = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:putObject", "End": True,
               "Parameters": {"Bucket": bucket, "Key.$": "States.Format('said/{}', $$.Execution.Name)", "Body": "done"}}  # fmt: skip
        both = {"Type": "Parallel", "Branches": branches, "Next": "Say"}
        definition = json.dumps({"StartAt": "Both", "States": {"Both": both, "Say": say}})
        made = states.create_state_machine(name="kills", definition=definition, roleArn=self.platform.role)
        self.machine = made["stateMachineArn"]
        began = time.monotonic()
        self._start()
        wait_until(lambda: self._status(states) == "SUCCEEDED", 120, "a run without a kill")
        self.usual_seconds = time.monotonic() - began
        self.usual_events = len(states.get_execution_history(executionArn=self.run, maxResults=1000)["events"])

    def _job(self, name: str) -> dict[str, Any]:
        request = self.platform.training_request(
            self.PROGRAM, CheckpointConfig={"S3Uri": self.platform.uri("checkpoints")}
        )
        request.pop("TrainingJobName")
        return request | {"TrainingJobName.$": name}

    def _start(self) -> None:
        self.jobs = [new_name("job") for _ in range(2)]
        self.all_jobs += self.jobs
        started = self.cloud.client("stepfunctions").start_execution(
            stateMachineArn=self.machine, input=json.dumps([{"name": name} for name in self.jobs])
        )
        self.run = started["executionArn"]
        self.all_runs.append(self.run)

    def _status(self, states: Any) -> str:
        return states.describe_execution(executionArn=self.run)["status"]

    def until_killed(self, tally: Tally) -> None:
        """Start a run, look at what is done, kill at any moment of its life."""
        self._start()
        tally.acknowledged += 1
        time.sleep(self.dice.uniform(0.0, self.usual_seconds * 1.1))
        ended = self._status(self.cloud.client("stepfunctions")) == "SUCCEEDED"
        kill(self.cloud, tally)
        tally.interrupted += not ended

    def faults(self) -> Iterator[str]:
        """Whatever a client could take for a finished run or job and is not."""
        states, sagemaker = self.cloud.client("stepfunctions"), self.cloud.client("sagemaker")
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self._status(states) != "RUNNING", 180, "the end of the run")
        status = self._status(states)
        if status != "SUCCEEDED":
            yield f"the run is {status}"
        pages = sagemaker.get_paginator("list_training_jobs").paginate()
        listed = [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]]
        if sorted(listed) != sorted(self.all_jobs):
            yield f"{len(listed)} jobs were made for {len(self.all_jobs)} names"
        for name in self.jobs:
            job = sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
            if job != "Completed":
                yield f"{name} is {job}"
            yield from self._model_faults(name)
        events = states.get_execution_history(executionArn=self.run, maxResults=1000)["events"]
        if [event["id"] for event in events] != list(range(1, len(events) + 1)):
            yield f"the events of {self.run} are {[event['id'] for event in events]}"
        if len(events) != self.usual_events:
            yield f"the run has {len(events)} events and not {self.usual_events}: something was done twice"
        if status == "SUCCEEDED" and json.loads(self._read(f"said/{self.run.rpartition(':')[2]}")) != "done":
            yield "the run is SUCCEEDED without its last word"
        pages = states.get_paginator("list_executions").paginate(stateMachineArn=self.machine)
        missing = set(self.all_runs) - {e["executionArn"] for page in pages for e in page["executions"]}
        if missing:
            yield f"runs are gone: {missing}"
        left = list((self.cloud.state / "sagemaker" / "jobs").glob("*/*"))
        if left:
            yield f"folders are left: {left}"

    def _read(self, key: str) -> bytes:
        return self.cloud.client("s3").get_object(Bucket=self.platform.bucket, Key=key)["Body"].read()

    def _model_faults(self, name: str) -> Iterator[str]:
        packed = self._read(f"out/{name}/output/model.tar.gz")
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
            sqs.Queue(stack, "Replaced", queue_name=f"{name}-{word}")
        app.synth()
    """

    def __init__(self, cloud: RunningCloud, dice: random.Random):
        self.cloud, self.dice = cloud, dice
        self.folder = Path(tempfile.mkdtemp())
        self.turn = 0
        self.acknowledged: str | None = None
        self.usual_events = 0

    def prepare(self) -> None:
        """Both assemblies, so that a deployment is the CLI and the cloud only; the first update says how many events one has."""
        (self.folder / "app.py").write_text(textwrap.dedent(self.APP))
        for word in "ab":
            command = [*self._cdk(f"{sys.executable} app.py"), "synth", "-q", "-c", f"word={word}", "-o", f"out-{word}"]
            subprocess.run(command, cwd=self.folder, env=self._environment(), check=True, capture_output=True)
        for self.turn in (0, 1):
            began, cli = time.time(), self._deploy()
            said, _ = cli.communicate()
            assert cli.returncode == 0, said
        self.usual_events = self._events(self.cloud.client("cloudformation"), began)

    @staticmethod
    def _events(cfn: Any, since: float) -> int:
        """How many events both stacks have had; fewer than a page of them."""
        pages = [cfn.describe_stack_events(StackName=name)["StackEvents"] for name in NAMES]
        return sum(event["Timestamp"].timestamp() > since for page in pages for event in page)

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
        """Deploy the other template; kill when a random number of its events has been noted, or when it is done."""
        self.turn += 1
        began, wanted = time.time(), self.dice.randint(1, self.usual_events)
        cli, cfn = self._deploy(), self.cloud.client("cloudformation")
        while cli.poll() is None and self._events(cfn, began) < wanted:
            time.sleep(0.002)
        kill(self.cloud, tally)
        cli.communicate()
        self.acknowledged = "ab"[self.turn % 2] if cli.returncode == 0 else None
        tally.acknowledged += cli.returncode == 0
        tally.interrupted += cli.returncode != 0

    def faults(self) -> Iterator[str]:
        """Stacks that hang or are between two templates, a deployment that was told done and is not or cannot be completed."""
        cfn = self.cloud.client("cloudformation")
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not any(s["StackStatus"].endswith("IN_PROGRESS") for s in _stacks(cfn)), 300)
        for stack in _stacks(cfn):
            if stack["StackStatus"].endswith("IN_PROGRESS"):
                yield f"{stack['StackName']} hangs in {stack['StackStatus']}"
        words = {name: self._word(cfn, name) for name in NAMES}
        yield from self._differences(words, "after the kill")
        word = "ab"[self.turn % 2]
        if self.acknowledged and set(words.values()) != {word}:
            yield f"the deployment of {word} was told done, and the stacks have {words}"
        cli = self._deploy()
        said, _ = cli.communicate()
        if cli.returncode:
            yield f"the next deployment failed: {said[-500:]}"
        else:
            yield from self._differences(dict.fromkeys(NAMES, word), "after the next deployment")

    @staticmethod
    def _word(cfn: Any, name: str) -> str:
        return "a" if "a-rule" in json.dumps(cfn.get_template(StackName=name)["TemplateBody"]) else "b"

    def _differences(self, words: dict[str, str], when: str) -> Iterator[str]:
        cfn = self.cloud.client("cloudformation")
        for name, word in words.items():
            status = cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
            if not status.endswith("_COMPLETE"):
                yield f"{when}, {name} is {status}"
            shown = self.cloud.client("ssm").get_parameters_by_path(Path=f"/{name}")["Parameters"]
            if {p["Value"] for p in shown} != {f"{word}{number}" for number in range(8)}:
                yield f"{when}, the parameters of {name} are {sorted(p['Value'] for p in shown)} and not {word}"
            found = cfn.describe_stack_resources(StackName=name)["StackResources"]
            ids = {r["ResourceType"]: r["PhysicalResourceId"] for r in found}
            rules = self.cloud.client("s3").get_bucket_lifecycle_configuration(Bucket=ids["AWS::S3::Bucket"])["Rules"]
            if [rule["ID"] for rule in rules] != [f"{word}-rule"]:
                yield f"{when}, the bucket of {name} has the rules {rules} and not {word}'s"
            self.cloud.client("iam").get_role(RoleName=ids["AWS::IAM::Role"])
        queues = [url.rpartition("/")[2] for url in self.cloud.client("sqs").list_queues().get("QueueUrls", [])]
        if len(queues) != 4 or not {f"{name}-{word}" for name, word in words.items()} <= set(queues):
            yield f"{when}, the queues {queues} for two stacks"


def _stacks(cfn: Any) -> list[dict[str, Any]]:
    return [stack for stack in cfn.describe_stacks()["Stacks"] if stack["StackName"] in NAMES]


KINDS = {"s3": S3Writes, "runs": Runs, "deploy": Deployments}


def kill(cloud: RunningCloud, tally: Tally) -> None:
    """`kill -9` of the cloud; remembers which processes it had."""
    theirs = set(psutil.Process(cloud.process.pid).children(recursive=True))
    cloud.kill()
    theirs |= {process for process in psutil.process_iter() if _belongs(process, cloud.state)}
    tally.kills += 1
    tally.processes += len(theirs)
    cloud.description["killed"] = theirs


def _belongs(process: psutil.Process, state: Path) -> bool:
    """Whether a process names the cloud's folder: one whose parent is gone is nobody's child any more."""
    try:
        words = [*process.cmdline(), process.cwd(), *process.environ().values()]
    except psutil.Error:
        return False
    return process.pid != os.getpid() and any(str(state) in word for word in words)


def _living(processes: set[psutil.Process]) -> list[psutil.Process]:
    """A process whose number was given to another does not count, nor one that only waits to be reaped."""
    living = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
    return living


def kill_randomly(cloud: RunningCloud, kind: type, kills: int, seed: int) -> Tally:
    """So many kills over one kind of work; the cloud runs before and after."""
    work, tally = kind(cloud, random.Random(seed)), Tally(kind.work)
    work.prepare()
    for _ in range(kills):
        work.until_killed(tally)
        theirs, read = cloud.description["killed"], len(cloud.log())
        cloud.start(**quick_settings())
        try:
            tally.wrong += work.faults()
        except BROKEN as fault:
            tally.wrong.append(f"{type(fault).__name__}: {fault}")
        if "Traceback" in cloud.log()[read:]:
            tally.wrong.append(f"a traceback in {cloud.state / 'cloud.log'}: {cloud.log()[-500:]}")
        with contextlib.suppress(AssertionError):
            wait_until(lambda theirs=theirs: not _living(theirs), 60, "the end of what the killed cloud had started")
        if orphans := _living(theirs):
            tally.orphans += len(orphans)
            tally.wrong.append(f"still there: {[process.cmdline() for process in orphans]}")
        print(tally.row(), tally.wrong[-3:], flush=True)
    return tally


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
