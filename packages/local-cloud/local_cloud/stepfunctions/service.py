"""The Step Functions API: one operation after the other, each in the module of what it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_cloud.context import CloudContext
from local_cloud.errors import AwsError
from local_cloud.own_services import FunctionService, JobService
from local_cloud.persistence.database import Database
from local_cloud.services import COVERAGE_PAGE
from local_cloud.stepfunctions.activity_api import Activities
from local_cloud.stepfunctions.execution_api import Executions
from local_cloud.stepfunctions.integrations import Integration, Integrations
from local_cloud.stepfunctions.lambda_tasks import LambdaTasks
from local_cloud.stepfunctions.machine_api import Machines
from local_cloud.stepfunctions.message_tasks import MessageTasks, NestedExecutions
from local_cloud.stepfunctions.sagemaker_tasks import SageMakerTasks
from local_cloud.stepfunctions.sdk_tasks import SdkTasks
from local_cloud.stepfunctions.store import Store
from local_cloud.stepfunctions.tagging import Tagging
from local_cloud.stepfunctions.token_api import Callbacks
from local_cloud.stepfunctions.tokens import Tokens
from local_cloud.stepfunctions.trial import Trials
from local_cloud.stepfunctions.version_api import Versions

PARTS = (Machines, Versions, Executions, Activities, Callbacks, Tagging, Trials)


class StatesService:
    """All state machines and executions of this cloud."""

    def __init__(
        self, context: CloudContext, clients: Callable[[str], Any], sagemaker: JobService, functions: FunctionService,
        database: Database,
    ):  # fmt: skip
        self._store = Store(context, database)
        tokens = self._tokens = Tokens(context.clock, database, self._store.suspended)
        self._activities = Activities(self._store, tokens)
        sdk = SdkTasks(clients)
        messages = MessageTasks(sdk)
        nested = NestedExecutions(
            lambda request: self._executions.start(request), lambda arn: self._executions.described(arn), self.join,
            self._stop_nested,
        )  # fmt: skip
        tasks = LambdaTasks(functions, context.authority)
        optimized: dict[str, Integration] = {
            "sagemaker": SageMakerTasks(sagemaker, context.authority), "sns": messages, "sqs": messages, "events": messages,
            "states": nested, "lambda": tasks,
        }  # fmt: skip
        self.integrations = Integrations(context.region, sdk, optimized, tokens, clients, self._activities, tasks)
        self._executions = Executions(self._store, self.integrations)
        versions = Versions(self._store)
        machines = Machines(self._store, versions, self.integrations.fault)
        parts = [machines, versions, self._executions, self._activities, Callbacks(tokens), Tagging(self._store)]
        parts.append(Trials(self._store, self.integrations))
        self._handlers = {
            name.removeprefix("_op_"): getattr(part, name) for part in parts for name in _handlers(type(part))
        }

    def start(self) -> None:
        """Read what earlier processes wrote. From here on the tokens that executions wait for can be answered."""
        self._store.load()
        self._tokens.expect(self._executions.take_up())

    def go_on(self) -> None:
        """Go on with what still ran; the services that it calls have started."""
        self._executions.go_on()

    def stop(self) -> None:
        """Suspend what runs, before its jobs end."""
        self._activities.stop()
        self._executions.stop()

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """One API operation; request and response in the API's shape."""
        handler = self._handlers.get(operation)
        if handler is None:
            raise AwsError(
                "NotImplemented", f"The local cloud does not support states:{operation}. See {COVERAGE_PAGE}.", 501
            )
        return handler(request)

    @classmethod
    def operations(cls) -> list[str]:
        """The operations that are supported."""
        return sorted(name.removeprefix("_op_") for part in PARTS for name in _handlers(part))

    def join(self, arn: str, seconds: float) -> bool:
        """Whether an execution has ended, after waiting at most `seconds`."""
        return self._executions.join(arn, seconds)

    def _stop_nested(self, arn: str) -> None:
        self.call("StopExecution", {"executionArn": arn, "cause": "The execution that started it was stopped."})


def _handlers(part: type) -> list[str]:
    return [name for name in vars(part) if name.startswith("_op_")]
