"""The Step Functions API. Standard workflows only; Express, activities, versions and redrive are refused by name."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from local_cloud import json_text
from local_cloud.context import CloudContext
from local_cloud.errors import AwsError
from local_cloud.listing import page
from local_cloud.persistence.database import Database
from local_cloud.services import COVERAGE_PAGE
from local_cloud.stepfunctions import history
from local_cloud.stepfunctions.definition import parse_definition
from local_cloud.stepfunctions.event_log import checked_logging, logger_for
from local_cloud.stepfunctions.execution import Execution, end_abandoned
from local_cloud.stepfunctions.integrations import Integrations
from local_cloud.stepfunctions.map_runs import shown_run
from local_cloud.stepfunctions.message_tasks import MessageTasks, NestedExecutions
from local_cloud.stepfunctions.sagemaker_tasks import SageMakerTasks
from local_cloud.stepfunctions.sdk_tasks import SdkTasks
from local_cloud.stepfunctions.tokens import Tokens

KEPT = ("loggingConfiguration", "tracingConfiguration", "encryptionConfiguration")
LISTED = (
    "executionArn", "stateMachineArn", "mapRunArn", "name", "status", "startDate", "stopDate", "redriveCount",
)  # fmt: skip


class StatesService:
    """All state machines and executions of this cloud."""

    def __init__(self, context: CloudContext, clients: Callable[[str], Any], sagemaker: Any, database: Database):
        self._context, self._clock = context, context.clock
        self._database = database
        self._tokens = Tokens(context.clock)
        sdk = SdkTasks(clients)
        messages = MessageTasks(sdk)
        nested = NestedExecutions(
            lambda request: self.call("StartExecution", request), self._describe_by_arn, self.join, self._stop_nested
        )
        optimized = {
            "sagemaker": SageMakerTasks(sagemaker),
            "sns": messages,
            "sqs": messages,
            "events": messages,
            "states": nested,
        }
        self.integrations = Integrations(context.region, sdk, optimized, self._tokens, clients)
        self._machines: dict[str, dict[str, Any]] = {}
        self._executions: dict[str, dict[str, Any]] = {}
        self._running: dict[str, Execution] = {}
        self._lock = threading.RLock()

    def start(self) -> None:
        """Read what earlier processes wrote; what still ran then is aborted."""
        self._machines = {arn: json.loads(r) for arn, r in self._database.read("SELECT arn, record FROM state_machine")}
        self._executions = {arn: json.loads(r) for arn, r in self._database.read("SELECT arn, record FROM execution")}
        for record in self._executions.values():
            if record["status"] == "RUNNING":
                end_abandoned(self._database, record, self._clock)

    def stop(self) -> None:
        """Abort what runs, so that its jobs end too."""
        for execution in list(self._running.values()):
            if not execution.join(0):
                execution.stop("LocalCloud.Stopped", "The local cloud was stopped while this execution ran.")

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """One API operation; request and response in the API's shape."""
        handler = getattr(self, f"_op_{operation}", None)
        if handler is None:
            raise AwsError(
                "NotImplemented", f"The local cloud does not support states:{operation}. See {COVERAGE_PAGE}.", 501
            )
        return handler(request)

    @classmethod
    def operations(cls) -> list[str]:
        """The operations that are supported."""
        return sorted(name.removeprefix("_op_") for name in vars(cls) if name.startswith("_op_"))

    def join(self, arn: str, seconds: float) -> bool:
        """Whether an execution has ended, after waiting at most `seconds`."""
        running = self._running.get(arn)
        return running is None or running.join(seconds)

    def _op_CreateStateMachine(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("type", "STANDARD") != "STANDARD":
            raise AwsError(
                "InvalidDefinition", f"The local cloud runs STANDARD state machines only, not {request['type']}."
            )
        if request.get("publish"):
            raise AwsError(
                "ValidationException", f"Versions are not supported by the local cloud. See {COVERAGE_PAGE}."
            )
        parse_definition(request["definition"], self.integrations.fault)
        arn = self._arn("stateMachine", request["name"])
        with self._lock:
            existing = self._machines.get(arn)
            if existing:
                same = all(existing[name] == request[name] for name in ("definition", "roleArn"))
                if not same:
                    raise AwsError("StateMachineAlreadyExists", f"State Machine Already Exists: '{arn}'")
                return {"stateMachineArn": arn, "creationDate": _moment(existing["creationDate"])}
            machine = {
                "stateMachineArn": arn,
                "name": request["name"],
                "definition": request["definition"],
                "roleArn": request["roleArn"],
                "type": "STANDARD",
                "status": "ACTIVE",
                "creationDate": self._clock.now(),
                "revisionId": None,
                "tags": [{"key": key, "value": value} for key, value in _tags(request.get("tags", [])).items()],
                **self._kept(request),
            }
            self._save(machine)
        return {"stateMachineArn": arn, "creationDate": _moment(machine["creationDate"])}

    def _op_UpdateStateMachine(self, request: dict[str, Any]) -> dict[str, Any]:
        if "definition" in request:
            parse_definition(request["definition"], self.integrations.fault)
        with self._lock:
            machine = self._machine(request["stateMachineArn"])
            changes = {name: request[name] for name in ("definition", "roleArn") if name in request} | self._kept(
                request
            )
            if not changes:
                raise AwsError(
                    "MissingRequiredParameter",
                    "Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be "
                    "specified",
                )
            if any(machine.get(name) != value for name, value in changes.items()):
                changes["revisionId"] = str(uuid.uuid4())
            machine = {**machine, **changes}
            self._save(machine)
        return {"updateDate": self._clock.moment(), "revisionId": machine["revisionId"]}

    def _op_DescribeStateMachine(self, request: dict[str, Any]) -> dict[str, Any]:
        machine = self._machine(request["stateMachineArn"])
        shown = {name: value for name, value in machine.items() if name != "tags" and value is not None}
        return _configured({**shown, "creationDate": _moment(machine["creationDate"])})

    def _op_DescribeStateMachineForExecution(self, request: dict[str, Any]) -> dict[str, Any]:
        machine = self._execution(request["executionArn"])["machine"]
        return _configured({**machine, "updateDate": _moment(machine["updateDate"])})

    def _op_ListStateMachines(self, request: dict[str, Any]) -> dict[str, Any]:
        found = sorted(self._machines.values(), key=lambda machine: machine["name"])
        shown = [
            {
                "stateMachineArn": m["stateMachineArn"],
                "name": m["name"],
                "type": m["type"],
                "creationDate": _moment(m["creationDate"]),
            }
            for m in found
        ]
        return page("stateMachines", shown, request, default=100)

    def _op_DeleteStateMachine(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if request["stateMachineArn"] in self._machines:
                self._database.write("DELETE FROM state_machine WHERE arn=?", (request["stateMachineArn"],))
                del self._machines[request["stateMachineArn"]]
        return {}

    def _op_ValidateStateMachineDefinition(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            parse_definition(request["definition"], self.integrations.fault)
        except AwsError as error:
            fault = {"severity": "ERROR", "code": "SCHEMA_VALIDATION_FAILED", "message": error.message}
            return {"result": "FAIL", "diagnostics": [fault], "truncated": False}
        return {"result": "OK", "diagnostics": [], "truncated": False}

    def _op_StartExecution(self, request: dict[str, Any]) -> dict[str, Any]:
        machine = self._machine(request["stateMachineArn"])
        given = request.get("input", "{}")
        try:
            json_text.parse(given)
        except ValueError as fault:
            raise AwsError("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{fault}'") from None
        name = request.get("name") or str(uuid.uuid4())
        arn = self._arn("execution", f"{machine['name']}:{name}")
        with self._lock:
            existing = self._executions.get(arn)
            if existing:
                if existing["status"] == "RUNNING" and existing["input"] == given:
                    return {"executionArn": arn, "startDate": _moment(existing["startDate"])}
                raise AwsError("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
            record = {
                "executionArn": arn,
                "stateMachineArn": machine["stateMachineArn"],
                "name": name,
                "status": "RUNNING",
                "startDate": round(self._clock.now(), 3),  # as it is shown, to the millisecond
                "input": given,
                "machine": {
                    k: machine[k] for k in ("stateMachineArn", "name", "definition", "roleArn", *KEPT) if k in machine
                }
                | {"updateDate": machine.get("updateDate", machine["creationDate"])},
            }
            log = logger_for(machine, record, self._context.logs)
            execution = Execution(record, machine, self._database, self.integrations, log, self._keep, self._clock)
            self._executions[arn] = record
            self._running = {a: e for a, e in self._running.items() if not e.join(0)} | {arn: execution}
        try:
            execution.start()
        except BaseException:  # a full disk: an execution that no row knows does not exist
            with self._lock:
                self._executions.pop(arn, None)
                self._running.pop(arn, None)
            raise
        return {"executionArn": arn, "startDate": _moment(record["startDate"])}

    def _op_StopExecution(self, request: dict[str, Any]) -> dict[str, Any]:
        record = self._execution(request["executionArn"])
        running = self._running.get(request["executionArn"])
        if running:
            running.stop(request.get("error"), request.get("cause"))
        return {"stopDate": _moment(record.get("stopDate", self._clock.now()))}

    def _op_DescribeExecution(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._describe_by_arn(request["executionArn"])

    def _op_ListExecutions(self, request: dict[str, Any]) -> dict[str, Any]:
        arn, run = request.get("stateMachineArn"), request.get("mapRunArn")
        if bool(arn) == bool(run):
            raise AwsError("ValidationException", "Must specify exactly one of StateMachineArn or MapRunArn.")
        if arn:
            self._machine(arn)
        else:
            self._map_run(run)
        wanted = request.get("statusFilter")
        found = [
            {k: v for k, v in _shown(record).items() if k in LISTED}
            for record in sorted(self._executions.values(), key=lambda r: -r["startDate"])
            if (record.get("mapRunArn") == run if run else record["stateMachineArn"] == arn)
            and (wanted is None or record["status"] == wanted)
        ]
        return page("executions", found, request, default=100)

    def _op_GetExecutionHistory(self, request: dict[str, Any]) -> dict[str, Any]:
        self._execution(request["executionArn"])
        limit, start = request.get("maxResults") or 100, int(request.get("nextToken") or 0)
        events = history.read(
            self._database,
            request["executionArn"],
            request.get("reverseOrder", False),
            start,
            limit + 1,
            request.get("includeExecutionData", True),
        )
        shown = [{**event, "timestamp": _moment(event["timestamp"])} for event in events[:limit]]
        return {"events": shown, **({"nextToken": str(start + limit)} if len(events) > limit else {})}

    def _op_ListMapRuns(self, request: dict[str, Any]) -> dict[str, Any]:
        runs = self._execution(request["executionArn"]).get("mapRuns", [])
        listed = ("executionArn", "mapRunArn", "stateMachineArn", "startDate", "stopDate")
        shown = [{name: value for name, value in shown_run(run).items() if name in listed} for run in reversed(runs)]
        return page("mapRuns", shown, request, default=100)

    def _op_DescribeMapRun(self, request: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in shown_run(self._map_run(request["mapRunArn"])).items() if k != "stateMachineArn"}

    def _op_SendTaskSuccess(self, request: dict[str, Any]) -> dict[str, Any]:
        self._tokens.succeed(request["taskToken"], request["output"])
        return {}

    def _op_SendTaskFailure(self, request: dict[str, Any]) -> dict[str, Any]:
        self._tokens.fail(request["taskToken"], request.get("error"), request.get("cause"))
        return {}

    def _op_SendTaskHeartbeat(self, request: dict[str, Any]) -> dict[str, Any]:
        self._tokens.beat(request["taskToken"])
        return {}

    def _op_TagResource(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._retag(request["resourceArn"], _tags(request["tags"]), [])

    def _op_UntagResource(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._retag(request["resourceArn"], {}, request["tagKeys"])

    def _op_ListTagsForResource(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"tags": self._tagged(request["resourceArn"])["tags"]}

    def _retag(self, arn: str, added: dict[str, str], removed: list[str]) -> dict[str, Any]:
        with self._lock:
            machine = self._tagged(arn)
            tags = _tags(machine["tags"]) | added
            machine["tags"] = [{"key": key, "value": value} for key, value in tags.items() if key not in removed]
            self._save(machine)
        return {}

    def _tagged(self, arn: str) -> dict[str, Any]:
        if arn not in self._machines:
            raise AwsError("ResourceNotFound", f"Resource not found: '{arn}'")
        return self._machines[arn]

    def _kept(self, request: dict[str, Any]) -> dict[str, Any]:
        kept = {name: request[name] for name in KEPT if name in request}
        if "loggingConfiguration" in kept:
            kept["loggingConfiguration"] = checked_logging(kept["loggingConfiguration"], self._context.logs)
        return kept

    def _keep(self, record: dict[str, Any]) -> None:
        self._executions[record["executionArn"]] = record

    def _map_run(self, arn: str) -> dict[str, Any]:
        _check_arn(arn)
        for record in list(self._executions.values()):
            for run in record.get("mapRuns", []):
                if run["mapRunArn"] == arn:
                    return run
        raise AwsError("ResourceNotFound", f"Resource not found: '{arn}'")

    def _machine(self, arn: str) -> dict[str, Any]:
        _check_arn(arn)
        if arn not in self._machines:
            raise AwsError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")
        return self._machines[arn]

    def _execution(self, arn: str) -> dict[str, Any]:
        _check_arn(arn)
        if arn not in self._executions:
            raise AwsError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        return self._executions[arn]

    def _describe_by_arn(self, arn: str) -> dict[str, Any]:
        return _shown(self._execution(arn))

    def _stop_nested(self, arn: str) -> None:
        self.call("StopExecution", {"executionArn": arn, "cause": "The execution that started it was stopped."})

    def _save(self, machine: dict[str, Any]) -> None:
        row = (machine["stateMachineArn"], json.dumps(machine))
        self._database.write("INSERT OR REPLACE INTO state_machine VALUES (?,?)", row)
        self._machines[machine["stateMachineArn"]] = machine

    def _arn(self, kind: str, name: str) -> str:
        return f"arn:aws:states:{self._context.region}:{self._context.account_id}:{kind}:{name}"


def _check_arn(arn: str) -> None:
    if not arn.startswith("arn:"):
        raise AwsError("InvalidArn", f"Invalid Arn: 'Invalid ARN prefix: {arn}'")


def _configured(shown: dict[str, Any]) -> dict[str, Any]:
    """A state machine with AWS's defaults for what it was not given."""
    return {
        "loggingConfiguration": {"level": "OFF", "includeExecutionData": False},
        "tracingConfiguration": {"enabled": False},
        "encryptionConfiguration": {"type": "AWS_OWNED_KEY"},
        **shown,
    }


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    """An execution as DescribeExecution shows it."""
    shown = {name: value for name, value in record.items() if name not in ("machine", "mapRuns")}
    shown["startDate"] = _moment(record["startDate"])
    if "stopDate" in record:
        shown["stopDate"] = _moment(record["stopDate"])
    shown["inputDetails"] = {"included": True}
    if "output" in record:
        shown["outputDetails"] = {"included": True}
    if record["status"] not in ("RUNNING", "SUCCEEDED"):
        return {**shown, "redriveCount": 0, "redriveStatus": "REDRIVABLE"}
    reason = f"Execution is {record['status']} and cannot be redriven"
    return {**shown, "redriveCount": 0, "redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": reason}


def _tags(given: list[dict[str, str]]) -> dict[str, str]:
    # The model lets a tag be without its key; AWS does not.
    if not all(tag.get("key") for tag in given):
        raise AwsError("ValidationException", "Each tag needs a key.")
    return {tag["key"]: tag.get("value", "") for tag in given}
