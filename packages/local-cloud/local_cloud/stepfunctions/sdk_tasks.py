"""AWS SDK integrations: any operation of the services that exist here, with Step Functions' names for members and errors.

What goes in and out is spelled by sdk_payload.py; errors are named after the Java SDK's exception classes:
`S3.NoSuchKeyException`, `Ssm.ParameterNotFoundException`, `SageMaker.SageMakerException`.
https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import BotoCoreError, ClientError

from local_cloud.moto_services import implemented_operations
from local_cloud.services import SERVICES, service_model
from local_cloud.stepfunctions.failures import StateFailure
from local_cloud.stepfunctions.integrations import Target, call_identity
from local_cloud.stepfunctions.payload import dump
from local_cloud.stepfunctions.scope import Scope
from local_cloud.stepfunctions.sdk_payload import api_name, from_response, step_functions_name, to_request
from local_cloud.wire import host_id

if TYPE_CHECKING:
    from local_cloud.stepfunctions.interpreter import Branch

# Step Functions' name of a service: botocore's name, and the prefix of its errors.
SDK_SERVICES = {
    "s3": ("s3", "S3"),
    "ssm": ("ssm", "Ssm"),
    "sagemaker": ("sagemaker", "SageMaker"),
    "iam": ("iam", "Iam"),
    "sts": ("sts", "Sts"),
    "kms": ("kms", "Kms"),
    "ecr": ("ecr", "Ecr"),
    "cloudwatchlogs": ("logs", "CloudWatchLogs"),
    "cloudwatch": ("cloudwatch", "CloudWatch"),
    "eventbridge": ("events", "EventBridge"),
    "sns": ("sns", "Sns"),
    "sqs": ("sqs", "Sqs"),
    "sfn": ("stepfunctions", "Sfn"),
    "secretsmanager": ("secretsmanager", "SecretsManager"),
    "cloudformation": ("cloudformation", "CloudFormation"),
    "lambda": ("lambda", "Lambda"),
}


class SdkTasks:
    """`arn:aws:states:::aws-sdk:<service>:<action>`."""

    def __init__(self, client: Callable[[str], Any]):
        self._client = client

    def fault(self, target: Target, parameters: dict[str, Any]) -> str | None:
        """What AWS would refuse when the state machine is created."""
        if target.service not in SDK_SERVICES:
            return f"aws-sdk:{target.service} is not one of {', '.join(SDK_SERVICES)}"
        model = service_model(SDK_SERVICES[target.service][0])
        operation = _operation(model, target.action)
        if operation is None:
            return f"aws-sdk:{target.service} has no action {target.action!r}"
        if target.pattern not in ("", "waitForTaskToken"):
            return f"aws-sdk integrations have no pattern .{target.pattern}"
        moto = next((s.moto for s in SERVICES.values() if s.model == model.service_name), "")
        if moto and operation not in implemented_operations(moto):
            return f"aws-sdk:{target.service}:{target.action} is not supported by the local cloud"
        shape = model.operation_model(operation).input_shape
        unknown = [n for n in parameters if api_name(shape, n.removesuffix(".$")) is None]
        return f"The field {unknown[0].removesuffix('.$')!r} is not supported by Step Functions" if unknown else None

    def submit(self, target: Target, parameters: dict[str, Any], branch: Branch, scope: Scope) -> Any:
        """Make the call in process."""
        name, prefix = SDK_SERVICES[target.service]
        model = service_model(name)
        try:
            return self.call(target, parameters, step_functions_name, call_identity(branch))
        except ClientError as error:
            raise _failure(model, prefix, error) from error

    def call(
        self, target: Target, parameters: dict[str, Any], spelling: Callable[[str], str], identity: str | None = None
    ) -> Any:  # fmt: skip
        """The answer with its members spelled by `spelling`; ClientError when the service refuses.

        `identity` is the client token of services that take one: a call that is made again after a kill does nothing twice.
        """
        name, _ = SDK_SERVICES[target.service]
        model = service_model(name)
        operation = model.operation_model(_operation(model, target.action))
        request = to_request(operation.input_shape, parameters or {})
        if identity:
            request = {**dict.fromkeys(_idempotency_tokens(operation.input_shape), identity), **request}
        if operation.name == "CopyObject" and isinstance(request.get("CopySource"), str):
            # The Java SDK sends the (already encoded) text as it is; botocore would encode it once more.
            request["CopySource"] = unquote(request["CopySource"])
        try:
            client = self._client(name)
            response = getattr(client, _method(client, operation.name))(**request)
        except (BotoCoreError, TypeError, ValueError) as error:
            raise StateFailure(
                "States.Runtime", f"The Parameters '{dump(parameters)}' could not be used to start the Task: [{error}]"
            ) from error
        response.pop("ResponseMetadata", None)
        return from_response(operation.output_shape, response, spelling)

    def await_end(self, target: Target, parameters: dict[str, Any], submitted: Any, scope: Scope) -> Any:
        """AWS SDK integrations start nothing that could be waited for."""
        raise NotImplementedError(f"{target.resource} has no .sync")


def _operation(model: Any, action: str) -> str | None:
    wanted = action[0].upper() + action[1:]
    return wanted if action[0].islower() and wanted in model.operation_names else None


def _idempotency_tokens(shape: Any) -> list[str]:
    members = shape.members if shape else {}
    return [name for name, member in members.items() if member.metadata.get("idempotencyToken")]


def _method(client: Any, operation: str) -> str:
    return next(method for method, name in client.meta.method_to_api_mapping.items() if name == operation)


def _failure(model: Any, prefix: str, error: ClientError) -> StateFailure:
    code, message, status, request_id = error_parts(error)
    code = "NoSuchKey" if code == "404" else code
    base = re.sub(r"(Exception|Error)$", "", code.rpartition("#")[2])
    shapes = {re.sub(r"(Exception|Error)$", "", name) for name in _error_codes(model)}
    name = f"{base}Exception" if base in shapes else f"{prefix}Exception"
    # S3's requests have a second name, which moto's refusals lack.
    extended = f", Extended Request ID: {error.response['ResponseMetadata'].get('HostId') or host_id()}"
    told = f"Service: {prefix}, Status Code: {status}, Request ID: {request_id}{extended if prefix == 'S3' else ''}"
    return StateFailure(f"{prefix}.{name}", f"{message} ({told}) (SDK Attempt Count: 1)")


def error_parts(error: ClientError) -> tuple[str, str, int, str]:
    """Code, message, HTTP status and request id of a service's refusal."""
    told, about = error.response["Error"], error.response["ResponseMetadata"]
    return told["Code"], told.get("Message", ""), about.get("HTTPStatusCode", 400), about.get("RequestId", "")


def _error_codes(model: Any) -> set[str]:
    codes = set()
    for name in model.shape_names:
        shape = model.shape_for(name)
        if shape.type_name == "structure" and shape.metadata.get("exception"):
            codes |= {name, shape.metadata.get("error", {}).get("code", name)}
    return codes
