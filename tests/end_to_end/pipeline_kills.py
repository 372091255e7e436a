"""`kill -9` of the local cloud at random moments of the pipeline, `darkroom up`, and a look at what the execution came to.

Each execution is killed as often as it takes until it ends, and compared with one that nothing disturbed: the same model to
the last byte, the same figures, the same steps as often, no job made twice, and no folder, file or process left over.
`make kills` runs the demo (its photos and its input); test_kills.py a small form.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import signal
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.exceptions import BotoCoreError, ClientError

# An execution that has not ended by then does not go on.
PATIENCE = 1800
LISTS = {
    "list_training_jobs": ("TrainingJobSummaries", "TrainingJobName"),
    "list_processing_jobs": ("ProcessingJobSummaries", "ProcessingJobName"),
    "list_transform_jobs": ("TransformJobSummaries", "TransformJobName"),
    "list_hyper_parameter_tuning_jobs": ("HyperParameterTuningJobSummaries", "HyperParameterTuningJobName"),
    "list_models": ("Models", "ModelName"),
    "list_model_packages": ("ModelPackageSummaryList", "ModelPackageArn"),
}


@dataclass
class Tally:
    """What the kills have shown."""

    work: str
    kills: int = 0
    executions: int = 0
    processes: int = 0
    orphans: int = 0
    wrong: list[str] = field(default_factory=list)

    def row(self) -> str:
        """A line of the table."""
        cells = (self.work, self.kills, self.executions, len(self.wrong), self.processes, self.orphans)
        return "| " + " | ".join(map(str, cells)) + " |"


class Pipeline:
    """The deployed pipeline of one home, asked through AWS's APIs."""

    def __init__(self, command: Any, data: Path, given: Path):
        self.command, self.data, self.given = command, data, given
        self.usual_seconds, self.whole = 0.0, {}
        self.port = self._description()["port"]

    def _description(self) -> dict[str, Any]:
        return json.loads((self.command.home / "cloud" / "cloud.json").read_text())

    def client(self, service: str) -> Any:
        """A boto3 client of the cloud that runs now."""
        cloud = self._description()
        session = boto3.Session(cloud["access_key_id"], cloud["secret_access_key"], region_name=cloud["region"])
        return session.client(service, endpoint_url=cloud["endpoint"])

    def start(self, name: str) -> str:
        """Begin an execution; its ARN."""
        words = ["run", "--data", str(self.data), "--input", str(self.given), "--name", name, "--no-wait"]
        self.command(*words, "--no-endpoint")
        ssm = self.client("ssm")
        machine = ssm.get_parameter(Name="/darkroom/dev/state-machine-arn")["Parameter"]["Value"]
        return f"{machine.replace(':stateMachine:', ':execution:')}:{name}"

    def status(self, arn: str) -> str:
        return self.client("stepfunctions").describe_execution(executionArn=arn)["status"]

    def undisturbed(self) -> None:
        """One execution from beginning to end: what all others must come to, and how long one takes."""
        first = self.start("first")  # fills the cache of features, compiles the images' bytecode
        self.run_to_the_end(first)
        began = time.monotonic()
        arn = self.start("whole")
        self.run_to_the_end(arn)
        self.usual_seconds, self.whole = time.monotonic() - began, self.outcome(arn)
        assert self.whole["status"] == "SUCCEEDED", self.whole
        before = self.outcome(first)
        # Its steps were more: only the first execution of a deployment takes the fixed name.
        whole = {name: value for name, value in self.whole.items() if name != "steps"}
        differing = {name: (before[name], value) for name, value in whole.items() if before.get(name) != value}
        assert not differing, f"two executions differ that nothing disturbed: {differing}"

    def run_to_the_end(self, arn: str) -> None:
        end = time.monotonic() + PATIENCE
        while self.status(arn) == "RUNNING" and time.monotonic() < end:
            time.sleep(0.2)

    def resources(self) -> dict[str, set[str]]:
        """All jobs, models and packages by the operation that lists them."""
        sagemaker = self.client("sagemaker")
        group = {"ModelPackageGroupName": sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"][0][
            "ModelPackageGroupName"]}  # fmt: skip
        found = {}
        for operation, (list_name, name) in LISTS.items():
            asked = group if operation == "list_model_packages" else {}
            pages = sagemaker.get_paginator(operation).paginate(**asked)
            found[operation] = {entry[name] for page in pages for entry in page[list_name]}
        return found

    def outcome(self, arn: str) -> dict[str, Any]:
        """What may not differ between two executions: steps, figures, the model's bytes."""
        states, s3 = self.client("stepfunctions"), self.client("s3")
        described = states.describe_execution(executionArn=arn)
        pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
        events = [event for page in pages for event in page["events"]]
        assert [event["id"] for event in events] == list(range(1, len(events) + 1)), "the events are not contiguous"
        steps = Counter(f"{e['type']} {e.get('stateEnteredEventDetails', {}).get('name', '')}".strip() for e in events)
        told = {"status": described["status"], "steps": steps, "error": described.get("cause")}
        if described["status"] != "SUCCEEDED":
            return told
        bucket = self.client("ssm").get_parameter(Name="/darkroom/dev/artifacts-bucket")["Parameter"]["Value"]
        folder = f"executions/{arn.rpartition(':')[2]}"
        keys = [
            entry["Key"]
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/")
            for entry in page["Contents"]
        ]
        read = lambda key: s3.get_object(Bucket=bucket, Key=key)["Body"].read()  # noqa: E731
        (packed,) = [read(key) for key in keys if key.endswith("/model.tar.gz")]
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            model = archive.extractfile("model.onnx").read()
        figures = json.loads(read(f"{folder}/evaluation/evaluation.json"))
        return {**told, "model": hashlib.sha256(model).hexdigest(), "figures": figures}

    def kill(self, tally: Tally) -> set[psutil.Process]:
        """`kill -9` of the cloud; the processes that it had started."""
        cloud = psutil.Process(self._description()["pid"])
        theirs = set(cloud.children(recursive=True))
        os.kill(cloud.pid, signal.SIGKILL)
        tally.kills += 1
        tally.processes += len(theirs)
        return theirs

    def faults(self, arn: str, before: dict[str, set[str]]) -> Iterator[str]:
        """Everything in which a disturbed execution differs from the undisturbed one, and what lies about."""
        after = self.outcome(arn)
        for what, expected in self.whole.items():
            if after.get(what) != expected:
                yield f"{arn.rpartition(':')[2]}: {what} is {after.get(what)} and not {expected}"
        for operation, names in self.resources().items():
            new, usual = len(names - before[operation]), self.made[operation]
            if new != usual:
                yield f"{arn.rpartition(':')[2]}: {operation} shows {new} new ones and not {usual}"
        state = self.command.home / "cloud"
        if left := list((state / "sagemaker" / "jobs").glob("*/*")):
            yield f"folders are left: {left}"
        if self._description()["port"] != self.port:
            yield f"the port is {self._description()['port']} and was {self.port}"

    def kill_randomly(self, kills: int, seed: int, work: str) -> Tally:
        """So many kills over as many executions as they take."""
        dice, tally = random.Random(seed), Tally(work)
        before_whole = self.resources()
        self.undisturbed()
        after_whole = self.resources()
        # Two executions were made; each makes the same number of everything.
        self.made = {what: len(after_whole[what] - before_whole[what]) // 2 for what in LISTS}
        while tally.kills < kills:
            tally.executions += 1
            before = self.resources()
            arn, theirs = self.start(f"killed-{seed}-{tally.executions}"), set()
            with contextlib.suppress(BotoCoreError, ClientError, OSError):
                self._disturb(arn, dice, tally, kills, theirs)
            try:
                self.run_to_the_end(arn)
                tally.wrong += self.faults(arn, before)
            except (BotoCoreError, ClientError, OSError, AssertionError) as fault:
                tally.wrong.append(f"{type(fault).__name__}: {fault}")
            _, alive = psutil.wait_procs(theirs, timeout=30)
            tally.orphans += len(alive)
            print(tally.row(), tally.wrong[-3:], flush=True)
        return tally

    def _disturb(self, arn: str, dice: random.Random, tally: Tally, kills: int, theirs: set[psutil.Process]) -> None:
        """Kill and start again, at moments within the time that is left of it, until it has ended."""
        left = self.usual_seconds
        while tally.kills < kills and self.status(arn) == "RUNNING":
            # Not later than the third of an execution: several kills then fall into each.
            time.sleep(dice.uniform(0, left / 3))
            theirs |= self.kill(tally)
            self.command("up")
