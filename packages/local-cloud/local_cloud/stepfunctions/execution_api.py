"""Executions: started, stopped, redriven, described, listed, with their histories and map runs."""

from __future__ import annotations

import json
import logging
import math
import uuid
from typing import Any

from local_cloud import json_text
from local_cloud.errors import AwsError, words_for
from local_cloud.listing import page, start_of, token_for
from local_cloud.stepfunctions import history
from local_cloud.stepfunctions.arns import check_arn, check_name, unqualified
from local_cloud.stepfunctions.event_log import logger_for
from local_cloud.stepfunctions.execution import Execution, save
from local_cloud.stepfunctions.interpreter import TaskRunner
from local_cloud.stepfunctions.machine_api import KEPT, configured
from local_cloud.stepfunctions.map_runs import shown_run
from local_cloud.stepfunctions.redrive import status_of
from local_cloud.stepfunctions.store import Store, moment
from local_cloud.stepfunctions.variables import variable_references

logger = logging.getLogger("local_cloud.stepfunctions")

LISTED = (
    "executionArn", "stateMachineArn", "mapRunArn", "name", "status", "startDate", "stopDate", "redriveCount",
    "redriveDate", "stateMachineVersionArn", "stateMachineAliasArn",
)  # fmt: skip
# What belongs to our records and not to AWS's answers.
OURS = ("machine", "mapRuns", "index", "clientToken")
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_RedriveExecution.html
CLIENT_TOKEN_SECONDS = 15 * 60
# What UpdateMapRun changes.
CHANGEABLE = ("maxConcurrency", "toleratedFailureCount", "toleratedFailurePercentage")
BILLED_STEP_MS = 100
BILLED_MEMORY_MB = 64


class Executions:
    """Operations on executions."""

    def __init__(self, store: Store, tasks: TaskRunner):
        self._store = store
        self._tasks = tasks
        self._running: dict[str, Execution] = {}

    def take_up(self) -> set[str]:
        """Read where an earlier process left what still ran; the task tokens that are waited for."""
        left = {arn: record for arn, record in self._store.executions.items() if record["status"] == "RUNNING"}
        history.forget_notes_but(self._store.database, set(left))
        tokens: set[str] = set()
        for record in (record for record in left.values() if "mapRunArn" not in record):
            execution = self._again(record)
            try:
                tokens |= execution.take_up()
                self._remember(execution)
            except (KeyError, TypeError, ValueError) as damage:  # one damaged row must not keep everything else away
                logger.exception("The history of %s cannot be read", record["executionArn"])
                execution.give_up(f"Its history cannot be read: {words_for(damage)}")
        return tokens | self._item_tokens()

    def _item_tokens(self) -> set[str]:
        """Those of executions of items, which go on with the map run that they belong to."""
        items = [r for r in self._store.executions.values() if r["status"] == "RUNNING" and "mapRunArn" in r]
        return {t for record in items for t in history.past_of(self._store.database, record["executionArn"]).tokens()}

    def go_on(self) -> None:
        """Go on with it."""
        for execution in list(self._running.values()):
            execution.go_on()

    def stop(self) -> None:
        """Suspend what runs: it goes on at the next start. Express executions end: nothing of them is kept."""
        running = [execution for execution in list(self._running.values()) if not execution.join(0)]
        for execution in running:
            if execution.express:
                execution.stop("LocalCloud.Stopped", "The local cloud was stopped while this execution ran.")
        self._store.suspended.set()
        for execution in running:
            execution.suspend()

    def _again(self, record: dict[str, Any]) -> Execution:
        """An execution that was begun before; role and log are the state machine's own of today, the definition is the old one."""
        machine = {**record["machine"], "type": "STANDARD"}
        machine |= {
            k: v
            for k, v in self._store.machines.get(record["stateMachineArn"], {}).items()
            if k in ("roleArn", "loggingConfiguration")
        }
        log = logger_for(machine, record, self._store.context.logs)
        return Execution(record, machine, self._store, self._tasks, log)

    def join(self, arn: str, seconds: float) -> bool:
        """Whether an execution has ended, after waiting at most `seconds`."""
        running = self._running.get(arn)
        return running is None or running.join(seconds)

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """StartExecution."""
        machine, named = self._store.qualified(request["stateMachineArn"])
        if machine["type"] == "EXPRESS":
            execution = self._express(machine, named, request)
            self._remember(execution)
            execution.start()
            record = execution.record
        else:
            record = self._standard(machine, named, request)
        return {"executionArn": record["executionArn"], "startDate": moment(record["startDate"])}

    def _standard(self, machine: dict[str, Any], named: dict[str, str], request: dict[str, Any]) -> dict[str, Any]:
        record = self._record(machine, named, request)
        arn = record["executionArn"] = self._store.arn("execution", f"{machine['name']}:{record['name']}")
        with self._store.lock:
            existing = self._store.executions.get(arn)
            if existing:
                if existing["status"] == "RUNNING" and existing["input"] == record["input"]:
                    return existing
                raise AwsError("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
            log = logger_for(machine, record, self._store.context.logs)
            execution = Execution(record, machine, self._store, self._tasks, log)
            self._store.executions[arn] = record
            self._remember(execution)
        try:
            execution.start()
        except BaseException:  # a full disk: an execution that no row knows does not exist
            with self._store.lock:
                self._store.executions.pop(arn, None)
                self._running.pop(arn, None)
            raise
        return record

    def _express(
        self, machine: dict[str, Any], named: dict[str, str], request: dict[str, Any], synchronous: bool = False
    ) -> Execution:
        record = self._record(machine, named, request)
        record["executionArn"] = self._store.arn("express", f"{machine['name']}:{record['name']}:{uuid.uuid4()}")
        log = logger_for(machine, record, self._store.context.logs)
        return Execution(record, machine, self._store, self._tasks, log, synchronous)

    def _record(self, machine: dict[str, Any], named: dict[str, str], request: dict[str, Any]) -> dict[str, Any]:
        given = request.get("input", "{}")
        try:
            json_text.parse(given)
        except ValueError as fault:
            raise AwsError("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{fault}'") from None
        name = request.get("name") or str(uuid.uuid4())
        check_name(name)
        kept = ("stateMachineArn", "name", "definition", "roleArn", "type", "revisionId", *KEPT)
        return {
            "executionArn": "", "stateMachineArn": machine["stateMachineArn"], "name": name, "status": "RUNNING",
            "startDate": round(self._store.clock.now(), 3),  # as it is shown, to the millisecond
            "input": given, **named,
            **({"traceHeader": request["traceHeader"]} if "traceHeader" in request else {}),
            "machine": {k: machine[k] for k in kept if machine.get(k) is not None}
            | {"updateDate": machine.get("updateDate", machine["creationDate"])},
        }  # fmt: skip

    def _remember(self, execution: Execution) -> None:
        with self._store.lock:
            running = {arn: other for arn, other in self._running.items() if not other.join(0)}
            self._running = running | {execution.record["executionArn"]: execution}

    def _op_StartExecution(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.start(request)

    def _op_StartSyncExecution(self, request: dict[str, Any]) -> dict[str, Any]:
        machine, named = self._store.qualified(request["stateMachineArn"])
        if machine["type"] != "EXPRESS":
            raise AwsError(
                "StateMachineTypeNotSupported", "This operation is not supported by this type of state machine"
            )
        execution = self._express(machine, named, request, synchronous=True)
        self._remember(execution)
        execution.start()
        execution.join(None)
        record = execution.record
        took = (record["stopDate"] - record["startDate"]) * 1000
        with_data = request.get("includedData", "ALL_DATA") == "ALL_DATA"
        shown = {name: value for name, value in record.items() if name not in OURS and not name.endswith("nArn")}
        status = "FAILED" if record["status"] == "ABORTED" else record["status"]
        return {
            **{k: v for k, v in shown.items() if with_data or k not in ("input", "output", "error", "cause")},
            "executionArn": record["executionArn"], "stateMachineArn": request["stateMachineArn"], "status": status,
            "startDate": moment(record["startDate"]), "stopDate": moment(record["stopDate"]),
            "inputDetails": {"included": with_data}, "outputDetails": {"included": with_data},
            "billingDetails": {
                "billedDurationInMilliseconds": max(1, math.ceil(took / BILLED_STEP_MS)) * BILLED_STEP_MS,
                "billedMemoryUsedInMB": BILLED_MEMORY_MB,
            },
        }  # fmt: skip

    def _op_StopExecution(self, request: dict[str, Any]) -> dict[str, Any]:
        record = self._store.execution(request["executionArn"])
        running = self._running.get(request["executionArn"])
        if running:
            running.stop(request.get("error"), request.get("cause"))
        return {"stopDate": moment(record.get("stopDate", self._store.clock.now()))}

    def _op_RedriveExecution(self, request: dict[str, Any]) -> dict[str, Any]:
        token, now = request.get("clientToken"), self._store.clock.now()
        with self._store.lock:
            record = self._store.execution(request["executionArn"])
            again = token and token == record.get("clientToken")
            if again and now - record["redriveDate"] < CLIENT_TOKEN_SECONDS:
                return {"redriveDate": moment(record["redriveDate"])}
            status, reason = status_of(record, self._events_of(record["executionArn"]), now)
            if status != "REDRIVABLE":
                told = reason or f"Execution is {record['status']} and can only be redriven by its Map Run"
                raise AwsError("ExecutionNotRedrivable", f"Execution Not Redrivable: '{told}'")
            record.pop("clientToken", None)
            if token:
                record["clientToken"] = token
            execution = self._again(record)
            self._remember(execution)
            execution.redrive()
        return {"redriveDate": moment(record["redriveDate"])}

    def _op_DescribeExecution(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.described(request["executionArn"], request.get("includedData", "ALL_DATA") == "ALL_DATA")

    def described(self, arn: str, with_data: bool = True) -> dict[str, Any]:
        """An execution as DescribeExecution shows it."""
        record = self._store.execution(arn)
        shown = _dated(record)
        shown["inputDetails"] = {"included": with_data}
        if "output" in record:
            shown["outputDetails"] = {"included": with_data}
        if not with_data:
            shown = {k: v for k, v in shown.items() if k not in ("input", "output", "error", "cause")}
        status, reason = status_of(record, self._events_of(arn), self._store.clock.now())
        return {**shown, "redriveStatus": status, **({"redriveStatusReason": reason} if reason else {})}

    def _events_of(self, arn: str) -> int:
        ((last,),) = self._store.database.read(
            "SELECT COALESCE(MAX(id), 0) FROM execution_event WHERE arn=?", (arn,)
        )  # fmt: skip
        return last

    def _op_DescribeStateMachineForExecution(self, request: dict[str, Any]) -> dict[str, Any]:
        record = self._store.execution(request["executionArn"])
        machine = {name: value for name, value in record["machine"].items() if name != "type"}
        if "mapRunArn" in record:
            label = record["mapRunArn"].split("/")[1].split(":")[0]
            machine |= {"mapRunArn": record["mapRunArn"], "label": label}
        references = variable_references(json.loads(machine["definition"]))
        machine |= {"variableReferences": references} if references else {}
        return configured({**machine, "updateDate": moment(machine["updateDate"])})

    def _op_ListExecutions(self, request: dict[str, Any]) -> dict[str, Any]:
        arn, run = request.get("stateMachineArn"), request.get("mapRunArn")
        if bool(arn) == bool(run):
            raise AwsError("ValidationException", "Must specify exactly one of StateMachineArn or MapRunArn.")
        if arn:
            machine, _ = self._store.qualified(arn)
            if machine["type"] == "EXPRESS":
                raise AwsError(
                    "StateMachineTypeNotSupported", "This operation is not supported by this type of state machine"
                )
            field = _naming(arn, self._store)
        else:
            self._map_run(run)
            field = "mapRunArn"
        found = [
            {k: v for k, v in _dated(record).items() if k in LISTED}
            for record in sorted(list(self._store.executions.values()), key=lambda r: -r["startDate"])
            if record.get(field) == (arn or run) and _wanted(record, request)
        ]
        return page("executions", found, request, default=100)

    def _op_GetExecutionHistory(self, request: dict[str, Any]) -> dict[str, Any]:
        self._store.execution(request["executionArn"])
        limit, start = request.get("maxResults") or 100, start_of(request.get("nextToken"))
        events = history.read(
            self._store.database, request["executionArn"], request.get("reverseOrder", False), start, limit + 1,
            request.get("includeExecutionData", True),
        )  # fmt: skip
        shown = [{**event, "timestamp": moment(event["timestamp"])} for event in events[:limit]]
        return {"events": shown, **({"nextToken": token_for(start + limit)} if len(events) > limit else {})}

    def _op_ListMapRuns(self, request: dict[str, Any]) -> dict[str, Any]:
        runs = self._store.execution(request["executionArn"]).get("mapRuns", [])
        listed = ("executionArn", "mapRunArn", "stateMachineArn", "startDate", "stopDate")
        shown = [{name: value for name, value in shown_run(run).items() if name in listed} for run in reversed(runs)]
        return page("mapRuns", shown, request, default=100)

    def _op_DescribeMapRun(self, request: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in shown_run(self._map_run(request["mapRunArn"])).items() if k != "stateMachineArn"}

    def _op_UpdateMapRun(self, request: dict[str, Any]) -> dict[str, Any]:
        """Limits of a run that is under way; whoever waits for room looks again within a moment."""
        run = self._map_run(request["mapRunArn"])
        if run["status"] != "RUNNING":
            raise AwsError("ValidationException", f"The map run is {run['status']}; only a running one can be updated.")
        run.update({name: request[name] for name in CHANGEABLE if name in request})
        save(self._store.database, self._store.execution(run["executionArn"]))
        return {}

    def _map_run(self, arn: str) -> dict[str, Any]:
        check_arn(arn, "mapRun")
        for record in list(self._store.executions.values()):
            for run in record.get("mapRuns", []):
                if run["mapRunArn"] == arn:
                    return run
        raise AwsError("ResourceNotFound", f"Resource not found: '{arn}'")


def _naming(arn: str, store: Store) -> str:
    """The field of an execution's record that names what an ARN names: the state machine, its version or its alias."""
    if not unqualified(arn)[1]:
        return "stateMachineArn"
    return "stateMachineAliasArn" if arn in store.aliases else "stateMachineVersionArn"


def _wanted(record: dict[str, Any], request: dict[str, Any]) -> bool:
    redriven = {"REDRIVEN": True, "NOT_REDRIVEN": False}.get(request.get("redriveFilter"))
    if redriven is not None and redriven != bool(record.get("redriveCount")):
        return False
    return request.get("statusFilter") in (None, record["status"])


def _dated(record: dict[str, Any]) -> dict[str, Any]:
    """An execution's record with its times as answers show them."""
    shown = {name: value for name, value in record.items() if name not in OURS}
    for name in ("startDate", "stopDate", "redriveDate"):
        if name in record:
            shown[name] = moment(record[name])
    return {**shown, "redriveCount": record.get("redriveCount", 0)}
