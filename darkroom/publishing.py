"""Publishes an approved model as the state machine's `Publish` would: under a key of its own, which is never written twice.

The same steps are states in infra/workflow/publish.py; that module says why.
"""

from typing import Any

from contract.names import (
    APPROVED_DATA,
    APPROVED_PACKAGE,
    FIXED_MODELS,
    TARGET_MODELS,
    fixed_target_model,
    multi_model_key,
    registered_key,
    target_model,
)
from darkroom.failure import DarkroomError
from darkroom.target import Target


def publish(target: Target, package: str, data: str, name: str, execution: str) -> str:
    """Copy the artifact `data` for the multi-model endpoint and note what is approved; the target model to ask for."""
    bucket, _, key = data.removeprefix("s3://").partition("/")
    s3, source = target.client("s3"), {"Bucket": bucket, "Key": key}
    versioned = target_model(name, execution)
    if not _is_there(s3, bucket, multi_model_key(versioned)):  # a model that is served again was published before
        s3.copy_object(Bucket=bucket, Key=multi_model_key(versioned), CopySource=source)
    fixed = multi_model_key(fixed_target_model(name))
    if not _is_there(s3, bucket, fixed):
        owner = _claim(target, name, execution)
        of_owner = source if owner == execution else {"Bucket": bucket, "Key": registered_key(owner)}
        s3.copy_object(Bucket=bucket, Key=fixed, CopySource=of_owner)
    # The package last, because it is what makes endpoints possible.
    notes = {f"{TARGET_MODELS}{name}": versioned, APPROVED_DATA: data, APPROVED_PACKAGE: package}
    for parameter, value in notes.items():
        target.client("ssm").put_parameter(
            Name=target.names.parameter(parameter), Value=value, Type="String", Overwrite=True
        )
    target.forget_parameters()
    return versioned


def _is_there(s3: Any, bucket: str, key: str) -> bool:
    """Asked as a list, as the state machine does: to whoever may not list, a missing object is forbidden."""
    return bool(s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)["KeyCount"])


def _claim(target: Target, name: str, execution: str) -> str:
    """The execution whose model has the name without a version: this one, unless another was first."""
    ssm, parameter = target.client("ssm"), target.names.fixed_model_parameter(name)
    try:
        ssm.put_parameter(Name=parameter, Value=execution, Type="String", Overwrite=False)
    except ssm.exceptions.ParameterAlreadyExists:
        return ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
    return execution


def find_target_model(target: Target, model: str) -> str:
    """`pets/run-1/model.tar.gz` as it is; for a plain name such as `pets`, the version that was published last."""
    if "/" in model:
        return model
    known = {
        name.removeprefix(TARGET_MODELS): value
        for name, value in target.parameters.items()
        if name.startswith(TARGET_MODELS)
    }
    if model not in known:
        raise DarkroomError(
            f"--target-model {model}: no model was published under this name.",
            f"Published: {', '.join(sorted(known)) or 'none'}. Or give a whole target model: NAME/EXECUTION/model.tar.gz.",
        )
    return known[model]


def remove_notes(target: Target) -> None:
    """Delete what `publish` and the state machine have noted; no stack owns it."""
    target.forget_parameters()
    written = [
        target.names.parameter(name)
        for name in target.parameters
        if name in (APPROVED_DATA, APPROVED_PACKAGE) or name.startswith((TARGET_MODELS, FIXED_MODELS))
    ]
    for start in range(0, len(written), 10):  # more is refused
        target.client("ssm").delete_parameters(Names=written[start : start + 10])
    target.forget_parameters()
