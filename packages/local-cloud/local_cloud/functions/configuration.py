"""A function's configuration: made and changed as requests say, in the shape that Lambda answers with."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from local_cloud.functions.environment import RESERVED
from local_cloud.functions.names import LATEST, failure
from local_cloud.functions.package import Code
from local_cloud.functions.runtimes import require_offered

# What a request may say and nothing here can do: what asks for something, and why it is refused.
REFUSED: dict[str, tuple[Any, str]] = {
    "Layers": (lambda value: bool(value), "layers are not offered; put their files into the function's package"),
    "VpcConfig": (
        lambda value: bool(value.get("SubnetIds") or value.get("SecurityGroupIds")),
        "there are no VPCs here",
    ),
    "FileSystemConfigs": (lambda value: bool(value), "there is no EFS here"),
    "ImageConfig": (lambda value: bool(value), "container images are not offered"),
    "PackageType": (lambda value: value == "Image", "container images are not offered; use a Zip package"),
    "SnapStart": (lambda value: value.get("ApplyOn", "None") != "None", "SnapStart is not offered"),
    "CodeSigningConfigArn": (lambda value: bool(value), "code signing is not offered"),
    "DeadLetterConfig": (lambda value: bool(value.get("TargetArn")), "dead-letter queues of functions are not offered"),
    "CapacityProviderConfig": (lambda value: bool(value), "capacity providers are not offered"),
    "DurableConfig": (lambda value: bool(value), "durable functions are not offered"),
    "TenancyConfig": (lambda value: bool(value), "tenant isolation is not offered"),
    "PublishTo": (lambda value: bool(value), "only numbered versions are published"),
}
# Accepted, with no effect here, and why.
WITHOUT_EFFECT = {
    "KMSKeyArn": "environment variables are not encrypted here",
    "TracingConfig": "there is no X-Ray here",
    "EphemeralStorage": "the temporary folder has what the disk has",
    "Architectures": "functions run on this machine's processor",
}
DEFAULT_TIMEOUT, DEFAULT_MEMORY = 3, 128
MAXIMUM_ENVIRONMENT_BYTES = 4096
TEXTS = ("Role", "Handler", "Runtime", "Description", "KMSKeyArn")
NUMBERS = ("Timeout", "MemorySize")
OBJECTS = ("EphemeralStorage", "TracingConfig", "LoggingConfig")
ROLE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/?[\w+=,.@/-]+")


def refuse(request: Mapping[str, Any]) -> None:
    """Raise InvalidParameterValueException for what is not offered here."""
    for name, (asks, why) in REFUSED.items():
        if name in request and asks(request[name]):
            raise failure("InvalidParameterValueException", f"{name} is not supported by the local cloud: {why}.")


def made(request: Mapping[str, Any], arn: str, code: Code) -> dict[str, Any]:
    """The configuration of a new function."""
    refuse(request)
    for name in ("Runtime", "Handler"):
        if not request.get(name):
            words = "Runtime and Handler are mandatory parameters for functions created with deployment packages."
            raise failure("InvalidParameterValueException", words)
    name = request["FunctionName"]
    config: dict[str, Any] = {
        "FunctionName": name, "FunctionArn": arn, "Description": "", "Timeout": DEFAULT_TIMEOUT, "MemorySize": DEFAULT_MEMORY,
        "Version": LATEST, "PackageType": "Zip", "Architectures": list(request.get("Architectures") or ["x86_64"]),
        "EphemeralStorage": {"Size": 512}, "TracingConfig": {"Mode": "PassThrough"},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}, "State": "Active",
        "LastUpdateStatus": "Successful",
    }  # fmt: skip
    change(config, request)
    with_code(config, code)
    return config


def change(config: dict[str, Any], request: Mapping[str, Any]) -> None:
    """Set what the request says about anything but the code."""
    refuse(request)
    for name in (*TEXTS, *NUMBERS):
        if name in request:
            config[name] = request[name]
    for name in OBJECTS:
        if request.get(name):
            config[name] = {**config[name], **request[name]}
    if config["LoggingConfig"].get("LogFormat") == "JSON":
        words = "LoggingConfig is not supported by the local cloud: logs are text; leave LogFormat out."
        raise failure("InvalidParameterValueException", words)
    if "Runtime" in request:
        require_offered(request["Runtime"])
    if "Environment" in request:
        config["Environment"] = {"Variables": _variables(request["Environment"].get("Variables") or {})}
    touch(config)


def with_code(config: dict[str, Any], code: Code) -> None:
    """Set the package."""
    config.update(CodeSha256=code.sha256, CodeSize=code.size, _package=code.key)
    touch(config)


def touch(config: dict[str, Any]) -> None:
    """A new revision."""
    now = datetime.now(UTC)
    config["LastModified"] = f"{now.strftime('%Y-%m-%dT%H:%M:%S')}.{now.microsecond // 1000:03d}+0000"
    config["RevisionId"] = config["_environment"] = str(uuid.uuid4())


def shown(config: Mapping[str, Any], arn: str | None = None, progress: str = "") -> dict[str, Any]:
    """As the API answers; `progress` is "create" or "update" right after one."""
    answer = {name: value for name, value in config.items() if not name.startswith("_") and value != ""}
    answer.setdefault("Description", "")
    if arn:
        answer["FunctionArn"] = arn
    if progress == "create":
        del answer["LastUpdateStatus"]
        answer.update(State="Pending", StateReason="The function is being created.", StateReasonCode="Creating")
    elif progress == "update":
        answer.update(
            LastUpdateStatus="InProgress", LastUpdateStatusReason="The function is being created.",
            LastUpdateStatusReasonCode="Creating",
        )  # fmt: skip
    return answer


# ListFunctions and ListVersionsByFunction leave these out: https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html
NOT_LISTED = ("State", "StateReason", "StateReasonCode", "LastUpdateStatus", "LastUpdateStatusReason",
              "LastUpdateStatusReasonCode", "RuntimeVersionConfig")  # fmt: skip


def listed(config: Mapping[str, Any], arn: str | None = None) -> dict[str, Any]:
    """As lists of functions and of versions show it."""
    return {name: value for name, value in shown(config, arn).items() if name not in NOT_LISTED}


def _variables(given: Mapping[str, str]) -> dict[str, str]:
    reserved = sorted(set(given) & RESERVED)
    if reserved:
        raise failure(
            "InvalidParameterValueException",
            "Lambda was unable to configure your environment variables because the environment variables you have provided "
            f"contains reserved keys that are currently not supported for modification. Reserved keys used in this request: "
            f"{', '.join(reserved)}",
        )
    if sum(len(name.encode()) + len(value.encode()) for name, value in given.items()) > MAXIMUM_ENVIRONMENT_BYTES:
        raise failure(
            "InvalidParameterValueException",
            "Lambda was unable to configure your environment variables because the environment variables you have provided "
            "exceeded the 4KB limit.",
        )
    return dict(given)
