"""The weight store: pretrained weights that trainings read from S3, because a private subnet reaches no hub.

Layout, shared with the training image: `weights/<name>/weights.json` = {"file", "sha256", "bytes", "source"} beside that file in
the artifacts bucket, with `/` in names as `__`.
"""

import hashlib
import json
import secrets
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from contract.names import WEIGHTS, weights_key
from darkroom.failure import DarkroomError
from darkroom.target import Target

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
POLL_SECONDS = 1.0


def add_file(target: Target, name: str, path: Path) -> str:
    """Upload a weight file and its record; the record last, so that half an upload is never taken for weights."""
    if not path.is_file():
        raise DarkroomError(
            f"{path} is no file.", "Give the file with the weights: .safetensors, or a .pth checkpoint."
        )
    if path.suffix not in SUFFIXES:
        raise DarkroomError(f"{path.name} is no weight file.", f"Allowed endings: {', '.join(SUFFIXES)}.")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    bucket, prefix = target.parameter("artifacts-bucket"), weights_key(name)
    s3 = target.client("s3")
    s3.upload_file(str(path), bucket, f"{prefix}/{path.name}")
    record = {"file": path.name, "sha256": digest, "bytes": path.stat().st_size, "source": f"file {path.name}"}
    s3.put_object(Bucket=bucket, Key=f"{prefix}/weights.json", Body=json.dumps(record).encode())
    return f"s3://{bucket}/{prefix}/"


def fetch(target: Target, name: str, console: Console) -> str:
    """Let a processing job download the published weights into the store."""
    bucket = target.parameter("artifacts-bucket")
    job = target.names.weights_job(secrets.token_hex(4))
    client = target.client("sagemaker")
    client.create_processing_job(
        ProcessingJobName=job,
        AppSpecification={
            "ImageUri": target.parameter("images/training"),
            "ContainerEntrypoint": ["python", "-m", "training_code"],
            "ContainerArguments": ["fetch-weights", "--model", name],
        },
        RoleArn=target.parameter("weights-role-arn"),
        ProcessingResources={
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
        },
        ProcessingOutputConfig={
            "Outputs": [
                {
                    "OutputName": "weights",
                    "S3Output": {
                        "S3Uri": f"s3://{bucket}/{WEIGHTS}",
                        "LocalPath": "/opt/ml/processing/output/weights",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        StoppingCondition={"MaxRuntimeInSeconds": 3600},
    )
    console.print(f"  job {job} fetches the weights of {name}", markup=False)
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
    bucket, s3 = target.parameter("artifacts-bucket"), target.client("s3")
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
