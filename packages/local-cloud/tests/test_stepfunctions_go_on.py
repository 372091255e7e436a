"""A killed cloud's executions go on by themselves: nothing that was done is done twice, wherever the kill falls.

The kill is a database that takes so many writes and no more: one test dies at each write of an execution in turn and starts
again on what the rows say. Real processes are killed in test_kills.py.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from local_cloud.access.authority import Authority
from local_cloud.clock import Clock
from local_cloud.errors import AwsError
from local_cloud.functions.executions import Invocation
from local_cloud.persistence.database import Database
from local_cloud.stepfunctions.failures import ExecutionSuspended
from local_cloud.stepfunctions.history import read
from local_cloud.stepfunctions.service import StatesService
from local_cloud.testing import wait_until

ACCOUNT, REGION = "000000000000", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
DISTRIBUTED = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
NAME = "the-one"


class FastClock(Clock):
    """Two hundred seconds a second."""

    def ticks(self) -> float:
        return time.monotonic() * 200

    def now(self) -> float:
        return 1_700_000_000.0 + self.ticks()

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        return event.wait(None if seconds is None else seconds / 200)


class Dying(Database):
    """Takes so many writes; then it is as if the process were gone."""

    def __init__(self, path: Path, writes: float):
        self.left, self.dead, self.guard = writes, threading.Event(), threading.Lock()
        super().__init__(path)

    def write(self, statement: str, values: Iterable[object] = ()) -> None:
        with self.guard:
            if self.left <= 0:
                self.dead.set()
                raise ExecutionSuspended
            self.left -= 1
            super().write(statement, values)


class Jobs:
    """SageMaker's part: jobs outlive the cloud; the first attempt fails. A name that was given twice is refused."""

    def __init__(self, clock: Clock):
        self.clock, self.jobs = clock, {}

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        name = request["ProcessingJobName"]
        if operation == "CreateProcessingJob":
            if name in self.jobs:
                raise AwsError("ResourceInUse", f"{name} already exists")
            status = "Failed" if name.endswith("-0") else "Completed"
            self.jobs[name] = {
                "ProcessingJobName": name, "ProcessingJobArn": f"arn:{name}", "ProcessingJobStatus": status,
                "CreationTime": datetime.fromtimestamp(self.clock.now(), UTC),
            }  # fmt: skip
            return {"ProcessingJobArn": f"arn:{name}"}
        assert operation == "DescribeProcessingJob", f"nobody stops a job: {operation}"
        if name not in self.jobs:
            raise AwsError("ValidationException", "no such job")
        return self.jobs[name]

    def wait_for_change(self, kind: str, name: str, timeout: float) -> None:
        time.sleep(timeout)


ANSWER = Invocation(payload='{"answered": true}', request_id="r", error="", tail="", version="$LATEST")
FUNCTIONS = SimpleNamespace(wait=lambda request: ANSWER)


class World:
    """What is outside of the cloud's process: its files, its jobs, its messages."""

    def __init__(self, folder: Path):
        self.folder, self.clock = folder, FastClock()
        self.jobs, self.messages, self.answered = Jobs(self.clock), [], set()
        self.sqs = boto3.client("sqs", region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")
        self.sqs.meta.events.register("before-call.sqs.SendMessage", self._sent)

    def _sent(self, params: dict[str, Any], **_: Any) -> Any:
        self.messages.append(json.loads(json.loads(params["body"])["MessageBody"])["token"])
        return SimpleNamespace(status_code=200), {"MessageId": "1", "ResponseMetadata": {"HTTPStatusCode": 200}}

    def cloud(self, writes: float = float("inf")) -> tuple[StatesService, Dying]:
        database = Dying(self.folder / "rows.sqlite", writes)
        authority = Authority(ACCOUNT, REGION, self.folder / "permissions.json", self.clock)
        context = SimpleNamespace(
            region=REGION, account_id=ACCOUNT, clock=self.clock, authority=authority, logs=None, emit=lambda *_: None
        )
        service = StatesService(context, lambda name: self.sqs, self.jobs, FUNCTIONS, database)
        service.start()
        service.go_on()
        return service, database

    def answer(self, service: StatesService) -> None:
        """Answer each token once; an answer that was refused or not acknowledged is given again."""
        for token in set(self.messages) - self.answered:
            with contextlib.suppress(AwsError, ExecutionSuspended):
                service.call("SendTaskSuccess", {"taskToken": token, "output": '{"said": "yes"}'})
                self.answered.add(token)


def one(state: dict[str, Any], **states: Any) -> dict[str, Any]:
    return {"StartAt": "S", "States": {"S": {"End": True, **state}, **states}}


RETRIED = {"Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 2, "MaxAttempts": 2}]}
JOB = {
    "Type": "Task", "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync",
    "Parameters": {
        "ProcessingJobName.$": "States.Format('{}-{}', $$.Execution.Name, $$.State.RetryCount)", "RoleArn": ROLE,
        "AppSpecification": {"ImageUri": "i"},
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
    },
    "ResultSelector": {"job.$": "$.ProcessingJobName"}, **RETRIED,
}  # fmt: skip
ASK = {
    "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "TimeoutSeconds": 6000,
    "Parameters": {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/0/q", "MessageBody": {"token.$": "$$.Task.Token"}},
}  # fmt: skip
PAUSE = {"Type": "Wait", "Seconds": 2}
TWICE = {"Type": "Pass", "Parameters": {"twice.$": "States.MathAdd($, $)"}}
FAILING = {
    "StartAt": "First",
    "States": {
        "First": {"Type": "Wait", "Seconds": 5, "Next": "Fail"},
        "Fail": {"Type": "Fail", "Error": "Told", "Cause": "as the test says"},
    },
}
# It may be cancelled before it has entered its state, without a kill as well.
PAUSING = {"StartAt": "Long", "States": {"Long": {**PAUSE, "Seconds": 400000, "End": True}}}
MACHINES = {
    "a job that is retried, and a pause": {
        "StartAt": "Job",
        "States": {
            "Job": {**JOB, "Next": "Pause", "Assign": {"job.$": "$.job"}},
            "Pause": {**PAUSE, "Next": "End"},
            "End": {"Type": "Pass", "Parameters": {"job.$": "$.job", "kept.$": "$job"}, "End": True},
        },
    },
    "a question": one({**ASK, "Next": "Then"}, Then={"Type": "Pass", "End": True}) | {},
    "branches and iterations": {
        "StartAt": "Both",
        "States": {
            "Both": {
                "Type": "Parallel", "Next": "End", "ResultPath": "$.both",
                "Branches": [
                    {"StartAt": "Wait", "States": {"Wait": {**PAUSE, "Next": "Ask"}, "Ask": {**ASK, "End": True}}},
                    {"StartAt": "Each", "States": {"Each": {
                        "Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 2, "End": True, "ItemProcessor": {
                            "StartAt": "Rest", "States": {"Rest": {**PAUSE, "Next": "T"}, "T": {**TWICE, "End": True}}},
                    }}},
                ],
            },
            "End": {"Type": "Pass", "End": True},
        },
    },
    "a branch that fails, is tried again and then caught": one(
        {
            "Type": "Parallel", "Branches": [FAILING, PAUSING],
            "Retry": [{"ErrorEquals": ["Told"], "IntervalSeconds": 1, "MaxAttempts": 1}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
        },
        Caught={"Type": "Pass", "End": True},
    ),
    "a map run": one(
        {
            "Type": "Map", "Label": "Each", "ItemsPath": "$.items", "MaxConcurrency": 2,
            "ItemProcessor": {**DISTRIBUTED, "StartAt": "Rest",
                              "States": {"Rest": {**PAUSE, "Next": "T"}, "T": {**TWICE, "End": True}}},
        }
    ),
    "an execution inside": one(
        {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2",
         "Parameters": {"StateMachineArn": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:inner", "Input": {"a": 1}},
         "OutputPath": "$.Output"},
    ),
    "a function": one({"Type": "Task", "Resource": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f", "TimeoutSeconds": 6000}),
    "a failure": one({**PAUSE, "End": False, "Next": "F"}, F={"Type": "Fail", "Error": "Told", "Cause": "so"}),
}  # fmt: skip
del MACHINES["a question"]["States"]["S"]["End"], MACHINES["a failure"]["States"]["S"]["End"]
INNER = {
    "StartAt": "Rest",
    "States": {"Rest": {**PAUSE, "Next": "P"}, "P": {"Type": "Pass", "Result": "inner", "End": True}},
}


def arn_of(machine: str) -> str:
    return f"arn:aws:states:{REGION}:{ACCOUNT}:execution:{machine}:{NAME}"


def start(service: StatesService, definition: dict[str, Any]) -> None:
    for name, machine in (("inner", INNER), ("m", definition)):
        request = {"name": name, "definition": json.dumps(machine), "roleArn": ROLE}
        arn = service.call("CreateStateMachine", request)["stateMachineArn"]
    given = json.dumps({"items": [1, 2, 3]})
    service.call("StartExecution", {"stateMachineArn": arn, "name": NAME, "input": given})


def status(service: StatesService) -> str:
    try:
        return service.call("DescribeExecution", {"executionArn": arn_of("m")})["status"]
    except AwsError:
        return "none"


def until_ended_or_dead(world: World, service: StatesService, database: Dying) -> None:
    def over() -> bool:
        world.answer(service)
        known = list(service._store.executions)
        return database.dead.is_set() or (known and all(service.join(arn, 0) for arn in known))

    wait_until(over, 60, "the end")
    service.stop()  # of a dead one: whatever still waits in its threads ends, as it would with the process
    database.close()


def run_with_a_kill(folder: Path, definition: dict[str, Any], writes: float) -> tuple[World, bool]:
    """Start, die after so many writes, start again, and see the end; whether it died at all."""
    folder.mkdir()
    world = World(folder)
    service, database = world.cloud(writes)
    with contextlib.suppress(ExecutionSuspended):
        start(service, definition)
    until_ended_or_dead(world, service, database)
    if not database.dead.is_set():
        return world, False
    service, database = world.cloud()
    if status(service) == "none":  # never acknowledged
        start(service, definition)
    until_ended_or_dead(world, service, database)
    return world, True


def told(world: World) -> tuple[Any, Counter, list[str]]:
    """Record, how often each event is there, and what is wrong with the histories or left over."""
    database = Database(world.folder / "rows.sqlite")
    wrong, kinds = [], Counter()
    records = [json.loads(text) for (text,) in database.read("SELECT record FROM execution")]
    for record in records:
        events = read(database, record["executionArn"], False, 0, 1000, True)
        if [event["id"] for event in events] != list(range(1, len(events) + 1)):
            wrong.append(f"the events of {record['name']} are {[event['id'] for event in events]}")
        if not all(event["previousEventId"] < event["id"] for event in events):
            wrong.append("an event follows a later one")
        for event in events:
            name = event.get("stateEnteredEventDetails", event.get("stateExitedEventDetails", {})).get("name", "")
            kinds[f"{event['type']} {name}"] += name != "Long"
        wrong += [f"{record['name']} is {record['status']}"] * (record["status"] == "RUNNING")
        wrong += [f"the run is {run}" for run in record.get("mapRuns", []) if run["status"] == "RUNNING"]
    for table in ("execution_note", "task_answer"):
        wrong += [f"left in {table}: {row}" for row in database.read(f"SELECT * FROM {table}")]  # noqa: S608
    database.close()
    record = next(record for record in records if record["executionArn"] == arn_of("m"))
    return {k: record.get(k) for k in ("status", "output", "error", "cause")}, kinds, wrong


@pytest.mark.parametrize("what", list(MACHINES))
def test_wherever_the_kill_falls_the_execution_ends_as_if_there_had_been_none(tmp_path, what):
    whole, _ = run_with_a_kill(tmp_path / "whole", MACHINES[what], float("inf"))
    record, kinds, wrong = told(whole)
    assert (wrong, record["status"]) == ([], "FAILED" if what == "a failure" else "SUCCEEDED"), record
    writes, died = 2, True  # the first two make the state machines
    while died:
        world, died = run_with_a_kill(tmp_path / str(writes), MACHINES[what], writes)
        after, seen, wrong = told(world)
        assert wrong == [], f"killed after {writes} writes"
        assert after == record, f"killed after {writes} writes"
        assert seen == kinds, f"killed after {writes} writes"
        assert world.jobs.jobs.keys() == whole.jobs.jobs.keys()
        assert len(set(world.messages)) == len(whole.messages)
        writes += 1
    assert writes > 8


def redriven_with_a_kill(folder: Path, writes: float) -> tuple[World, bool]:
    """An execution that has failed, redriven, killed after so many writes, and gone on with."""
    world, _ = run_with_a_kill(folder, MACHINES["a failure"], float("inf"))
    service, database = world.cloud(writes)
    with contextlib.suppress(ExecutionSuspended):
        service.call("RedriveExecution", {"executionArn": arn_of("m")})
    until_ended_or_dead(world, service, database)
    if not database.dead.is_set():
        return world, False
    service, database = world.cloud()
    if not service.call("DescribeExecution", {"executionArn": arn_of("m")})["redriveCount"]:  # never acknowledged
        service.call("RedriveExecution", {"executionArn": arn_of("m")})
    until_ended_or_dead(world, service, database)
    return world, True


def test_a_redrive_goes_on_wherever_the_kill_falls(tmp_path):
    whole, _ = redriven_with_a_kill(tmp_path / "whole", float("inf"))
    record, kinds, wrong = told(whole)
    assert (wrong, record["status"], kinds["ExecutionRedriven "], kinds["FailStateEntered F"]) == ([], "FAILED", 1, 1)
    writes, died = 0, True
    while died:
        world, died = redriven_with_a_kill(tmp_path / str(writes), writes)
        assert told(world) == (record, kinds, []), f"killed after {writes} writes"
        writes += 1
    assert writes > 3


def test_a_history_that_cannot_be_read_fails_its_execution_and_nothing_else(tmp_path):
    world = World(tmp_path)
    service, database = world.cloud(12)
    with contextlib.suppress(ExecutionSuspended):
        start(service, MACHINES["a job that is retried, and a pause"])
    wait_until(database.dead.is_set, 60, "the kill")
    service.stop()
    database.close()
    spoilt = Database(tmp_path / "rows.sqlite")
    spoilt.write("UPDATE execution_event SET event='{\"id\": 2' WHERE id=2")
    spoilt.close()
    service, database = world.cloud()
    told = service.call("DescribeExecution", {"executionArn": arn_of("m")})
    assert (told["status"], told["error"]) == ("FAILED", "States.Runtime")
    assert told["cause"].startswith("Its history cannot be read: ")
    assert service.call("ListStateMachines", {})["stateMachines"]
    database.close()
