"""The weight store: pretrained weights that trainings read from S3, because a private subnet reaches no hub.

Layout, shared with the training image: `weights/<name>/weights.json` = {"file", "sha256", "bytes", "source"} beside that file in
the artifacts bucket, with `/` in names as `__`.
"""

import hashlib
import json
import math
import secrets
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from contract import architectures, weight_file
from contract.names import (
    ARTIFACTS_BUCKET,
    IMAGE_URIS,
    WEIGHTS,
    WEIGHTS_INCOMING,
    WEIGHTS_JOB,
    WEIGHTS_ROLE,
    WITH_PYTORCH,
    weights_key,
)
from contract.validation import InvalidField
from darkroom.failure import DarkroomError
from darkroom.target import Target

POLL_SECONDS = 1.0
MOUNTED = "/opt/ml/processing"


def require_known(name: str) -> None:
    try:
        architectures.require("NAME", name)
    except InvalidField as error:
        raise DarkroomError(str(error), "Nothing was uploaded or started.") from None


def look(path: Path) -> str:
    """What a weight file holds, in words; refuses what no training could load. Needs neither torch nor the file's own code."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DarkroomError(
            f"{path} {what}.", "Give the file with the weights: .safetensors, or a checkpoint of torch.save."
        )
    try:
        tensors = weight_file.tensors(weight_file.read(path))
    except weight_file.NotWeights as error:
        raise DarkroomError(
            f"{path} {error}.", "Save it with safetensors, or with torch.save(model.state_dict(), …)."
        ) from None
    except OSError as error:
        raise DarkroomError(f"{path} cannot be read: {error.strerror}.") from None
    numbers = sum(math.prod(tensor.shape) for tensor in tensors.values())
    return f"{len(tensors)} tensors, {numbers / 1e6:.1f} million numbers"


def add_file(target: Target, name: str, path: Path, console: Console, check: bool = True) -> str:
    """Store a weight file when a job has loaded it into the architecture: what does not fit is never in the store."""
    console.print(f"  {path.name}: {look(path)}", markup=False, soft_wrap=True)
    bucket, s3 = target.parameter(ARTIFACTS_BUCKET), target.client("s3")
    if not check:
        return _put(s3, bucket, name, path)
    image = target.parameter(f"{IMAGE_URIS}{WITH_PYTORCH}")  # before the upload: a missing deploy should cost nothing
    prefix = f"{WEIGHTS_INCOMING}{secrets.token_hex(8)}/"
    key = f"{prefix}{path.name}"
    s3.upload_file(str(path), bucket, key)
    try:
        file_input = {
            "InputName": "weights",
            "S3Input": {
                "S3Uri": f"s3://{bucket}/{prefix}", "LocalPath": f"{MOUNTED}/input/weights", "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }  # fmt: skip
        return _run(target, image, "check-weights", name, "loads them into", console, [file_input])
    finally:
        s3.delete_object(Bucket=bucket, Key=key)


def _put(s3: Any, bucket: str, name: str, path: Path) -> str:
    """Upload a weight file and its record; the record last, so that half an upload is never taken for weights."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    prefix = weights_key(name)
    s3.upload_file(str(path), bucket, f"{prefix}/{path.name}")
    record = {"file": path.name, "sha256": digest, "bytes": path.stat().st_size, "source": f"file {path.name}"}
    s3.put_object(Bucket=bucket, Key=f"{prefix}/weights.json", Body=json.dumps(record).encode())
    return f"s3://{bucket}/{prefix}/"


def record(target: Target, name: str) -> dict[str, Any]:
    """What the store says about the weights of a name; nothing where it has none."""
    s3 = target.client("s3")
    try:
        answer = s3.get_object(Bucket=target.parameter(ARTIFACTS_BUCKET), Key=f"{weights_key(name)}/weights.json")
    except s3.exceptions.NoSuchKey:
        return {}
    return json.loads(answer["Body"].read())


def replaced(before: dict[str, Any], after: dict[str, Any]) -> str:
    """A sentence when a name stands for other weights than before: the next trainings start from these."""
    if not before or before.get("sha256") == after.get("sha256"):
        return ""
    old, new = (f"{one.get('source')}, SHA-256 {str(one.get('sha256'))[:12]}" for one in (before, after))
    return f"This name had other weights: {old}. From now on trainings start from {new}; features are extracted anew."


def fetch(target: Target, name: str, console: Console) -> str:
    """Let a processing job download the published weights into the store."""
    return _run(
        target,
        target.parameter(f"{IMAGE_URIS}{WITH_PYTORCH}"),
        "fetch-weights",
        name,
        "fetches the weights of",
        console,
        [],
    )


def _run(
    target: Target, image: str, command: str, name: str, doing: str, console: Console, inputs: list[dict[str, Any]]
) -> str:
    """A processing job that fills the store with the weights of `name`; where they are."""
    bucket = target.parameter(ARTIFACTS_BUCKET)
    job = target.names.weights_job(secrets.token_hex(4))
    client = target.client("sagemaker")
    # A deployment of an earlier version does not say it.
    deployed: dict[str, Any] = json.loads(target.parameters.get(WEIGHTS_JOB, "{}"))
    client.create_processing_job(
        ProcessingJobName=job,
        AppSpecification={
            "ImageUri": image,
            "ContainerEntrypoint": ["python", "-m", "training_code"],
            "ContainerArguments": [command, "--model", name],
        },
        RoleArn=target.parameter(WEIGHTS_ROLE),
        ProcessingResources={
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType": "ml.m5.large",
                "VolumeSizeInGB": 30,
                **deployed.pop("ClusterConfig", {}),
            }
        },
        ProcessingInputs=inputs,
        ProcessingOutputConfig={
            **deployed.pop("ProcessingOutputConfig", {}),
            "Outputs": [
                {
                    "OutputName": "weights",
                    "S3Output": {
                        "S3Uri": f"s3://{bucket}/{WEIGHTS}",
                        "LocalPath": f"{MOUNTED}/output/weights",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ],
        },
        StoppingCondition={"MaxRuntimeInSeconds": 3600},
        **deployed,
    )
    console.print(f"  job {job} {doing} {name}", markup=False, soft_wrap=True)
    described = _wait(client, job)
    if described["ProcessingJobStatus"] != "Completed":
        reason = described.get("ExitMessage") or described.get("FailureReason") or "no reason was given"
        raise DarkroomError(f"The weights of {name} were not stored: {reason}", f"The log: darkroom logs {job}")
    return f"s3://{bucket}/{weights_key(name)}/"


def _wait(client: Any, job: str) -> dict[str, Any]:
    while True:
        described = client.describe_processing_job(ProcessingJobName=job)
        if described["ProcessingJobStatus"] in ("Completed", "Failed", "Stopped"):
            return described
        time.sleep(POLL_SECONDS)


def stored(target: Target) -> list[dict[str, Any]]:
    """Name, file, size and source of everything in the store."""
    bucket, s3 = target.parameter(ARTIFACTS_BUCKET), target.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=WEIGHTS)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    records = [key for key in keys if key.endswith("/weights.json")]
    return [
        {
            "name": key.split("/")[1].replace("__", "/"),
            **json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()),
        }
        for key in records
    ]
