"""The optimized SageMaker integration: calls go to the SageMaker service in process, `.sync` sleeps until the job changes.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-sagemaker.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from local_cloud.access.actions import Needed, needed
from local_cloud.access.authority import Authority, itself
from local_cloud.errors import AwsError
from local_cloud.own_services import JobService
from local_cloud.services import service_model
from local_cloud.stepfunctions.failures import ExecutionCancelled, StateFailure
from local_cloud.stepfunctions.integrations import Target, sdk_metadata
from local_cloud.stepfunctions.payload import dump
from local_cloud.stepfunctions.scope import Scope
from local_cloud.validation import Validator

if TYPE_CHECKING:
    from local_cloud.stepfunctions.interpreter import Branch

# AWS marks every job that it waits for: its role needs sagemaker:AddTags for that.
MANAGED_TAG = {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}
# A cancelled execution is noticed after at most this long; a finished job wakes the task at once.
CANCELLATION_SECONDS = 0.2
PLAIN = ("createModel", "createEndpointConfig", "createEndpoint", "updateEndpoint")


@dataclass(frozen=True)
class Job:
    """A kind of job that `.sync` waits for."""

    noun: str

    @property
    def name(self) -> str:
        """Its name's field."""
        return f"{self.noun}Name"

    @property
    def status(self) -> str:
        """Its status's field."""
        return f"{self.noun}Status"


JOBS = {
    f"create{noun}": Job(noun) for noun in ("TrainingJob", "ProcessingJob", "TransformJob", "HyperParameterTuningJob")
}
SUCCESSFUL = {"Completed", "Stopped"}
FAILED = {"Failed"}


class SageMakerTasks:
    """`arn:aws:states:::sagemaker:*`."""

    def __init__(self, service: JobService, authority: Authority):
        self._service, self._authority = service, authority
        self._validator = Validator()

    def fault(self, target: Target, parameters: dict[str, Any]) -> str | None:
        """What AWS would refuse when the state machine is created."""
        allowed = [*PLAIN, *JOBS]
        if target.action not in allowed:
            return f"sagemaker:{target.action} is no integration; there are {', '.join(allowed)}, and aws-sdk:sagemaker"
        if target.pattern not in ("", "sync") or (target.pattern == "sync" and target.action not in JOBS):
            return f"sagemaker:{target.action} has no pattern .{target.pattern}"
        operation = target.action[0].upper() + target.action[1:]
        members = service_model("sagemaker").operation_model(operation).input_shape.members
        unknown = [name for name in parameters if name.removesuffix(".$") not in members]
        return f"The field {unknown[0].removesuffix('.$')!r} is not supported by Step Functions" if unknown else None

    def submit(self, target: Target, parameters: dict[str, Any], branch: Branch, scope: Scope) -> Any:
        """Make the call; AWS's error names for what it refuses."""
        operation = target.action[0].upper() + target.action[1:]
        if target.pattern == "sync":
            parameters = {**parameters, "Tags": [*parameters.get("Tags", []), MANAGED_TAG]}
        try:
            request = self._validator.checked("sagemaker", operation, parameters)
            self._authority.check_here("sagemaker", self._needed(target, operation, request))
            with itself():
                response = self._made_before(operation, request, branch) or self._service.call(operation, request)
        except AwsError as error:
            raise _failure(error, dump(parameters)) from error
        return {**plain(response), **sdk_metadata()}

    def _made_before(self, operation: str, request: dict[str, Any], branch: Branch) -> dict[str, Any] | None:
        """The answer of a call that a killed cloud may have made and had no time to note: the resource is there, and ours."""
        noun = operation.removeprefix("Create")
        if branch.again_since is None or noun == operation:
            return None
        try:
            found = self._service.call(f"Describe{noun}", {f"{noun}Name": request[f"{noun}Name"]})
        except AwsError:
            return None
        # Times of resources are in whole milliseconds.
        ours = found["CreationTime"].timestamp() >= branch.again_since - 0.001
        return {f"{noun}Arn": found[f"{noun}Arn"]} if ours else None

    def await_end(self, target: Target, parameters: dict[str, Any], submitted: Any, scope: Scope) -> Any:
        """The job's description once it ended well; stops the job when nobody waits for it any more."""
        job = JOBS[target.action]
        name = parameters[job.name]
        try:
            while True:
                scope.check()
                described = self._service.call(f"Describe{job.noun}", {job.name: name})
                if described[job.status] in SUCCESSFUL:
                    return plain(described)
                if described[job.status] in FAILED:
                    raise StateFailure("States.TaskFailed", dump(plain(described)))
                self._service.wait_for_change(job.noun, name, scope.remaining(CANCELLATION_SECONDS))
        except (ExecutionCancelled, StateFailure) as end:
            if not (isinstance(end, StateFailure) and end.error == "States.TaskFailed"):
                self._stop(job, name)
            raise

    def _needed(self, target: Target, operation: str, request: dict[str, Any]) -> list[Needed]:
        """The call's own permissions; one that is waited for is also described, stopped, and watched through a managed rule.

        https://docs.aws.amazon.com/step-functions/latest/dg/sagemaker-iam.html
        """
        place = self._authority.place
        found = needed("sagemaker", operation, request, place)
        if target.pattern == "sync":
            job = JOBS[target.action]
            kind = job.noun.removeprefix("HyperParameter")
            rule = place.arn("events", f"rule/StepFunctionsGetEventsForSageMaker{kind}sRule")
            found += [Needed(f"events:{action}", rule) for action in ("DescribeRule", "PutRule", "PutTargets")]
            found += [Needed(f"sagemaker:{verb}{job.noun}", found[0].resource) for verb in ("Describe", "Stop")]
        return found

    def _stop(self, job: Job, name: str) -> None:
        try:
            self._service.call(f"Stop{job.noun}", {job.name: name})
        except AwsError:
            return  # it has just ended by itself


def _failure(error: AwsError, parameters: str) -> StateFailure:
    """AWS's name for the error: the SDK's exception class, or the service's general one."""
    if error.code == "SerializationException":
        return StateFailure(
            "States.Runtime", f"The Parameters '{parameters}' could not be used to start the Task: [{error.message}]"
        )
    specific = {"ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound", "ConflictException"}
    name = error.code.removesuffix("Exception")
    name = f"{name}Exception" if name in specific | {"Conflict"} else "AmazonSageMakerException"
    return StateFailure(
        f"SageMaker.{name}",
        f"{error.message} (Service: AmazonSageMaker; Status Code: {error.status}; Error Code: {error.code})",
    )


def plain(value: Any) -> Any:
    """An answer as `.sync` shows it: times as milliseconds since the epoch."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    return value
