"""Asks an endpoint about photos through boto3 `sagemaker-runtime`, as an application would.

Names may be files, folders and patterns. Refuses what no endpoint could take, each photo in a sentence of its own.
"""

import difflib
import glob
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from contract.names import MODEL_FILE, MODELS_BUCKET, MULTI_MODEL
from contract.photo_set.questions import some
from contract.photo_set.sources import TreeSource
from darkroom.failure import DarkroomError
from darkroom.target import Target

# InvokeEndpoint takes at most 25 MiB: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
BODY_LIMIT = 25 * 1024**2


@dataclass(frozen=True)
class Prediction:
    """The answer for one photo."""

    file: str
    label: str
    probability: float
    probabilities: dict[str, float]

    def short(self) -> dict[str, Any]:
        """As in summary.json."""
        return {"file": self.file, "label": self.label, "probability": self.probability}

    def full(self) -> dict[str, Any]:
        return asdict(self)

    def top(self, count: int) -> list[tuple[str, float]]:
        """The likeliest classes, the first one first."""
        return sorted(self.probabilities.items(), key=lambda item: -item[1])[:count]


def photos_in(names: Sequence[str], tell: Callable[[str], None] = lambda line: None) -> list[Path]:
    """The photos that files, folders (with all below) and patterns such as `photos/*.jpg` name, each once.

    Of a folder those count that a data set would have; `tell` hears what was not sent. A file that is named itself is always sent.
    """
    paths: list[Path] = []
    for name in names:
        if "://" in name:
            raise DarkroomError(
                f"{name} is an address, and predict reads files.",
                "Download it first: aws s3 cp for s3://, curl -O for https://.",
            )
        path = Path(name)
        if path.is_dir():
            source = TreeSource(path)
            files = source.files()
            inside = [Path(file.handle) for file in files if file.is_photo]
            other = [file.name for file in files if not file.is_photo] + [left for left, _ in source.passed_over]
            if not inside:
                held = f" It holds {some(other, 3)}." if other else " It is empty."
                raise DarkroomError(
                    f"The folder {name} holds no photos.{held}",
                    "Photos are JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC.",
                )
            if other:
                tell(f"Of {name}, {len(other):,} file(s) that are no photos were not sent: {some(other, 3)}.")
            paths += inside
        elif not path.exists() and glob.has_magic(name):
            matching = sorted(Path(one) for one in glob.glob(name, recursive=True) if Path(one).is_file())
            if not matching:
                raise DarkroomError(f"No file matches {name}.", "Give files, folders, or a pattern that matches some.")
            paths += matching
        else:
            paths.append(path)
    return list(dict.fromkeys(paths))


def read_photo(path: Path) -> bytes:
    """The bytes to send. Raises DarkroomError for what no endpoint could take."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DarkroomError(
            f"{path} cannot be read: {error.strerror}.", "Give the path of a JPEG or PNG file."
        ) from None
    if not data:
        raise DarkroomError(f"{path} is empty (0 bytes).", "Give a JPEG or PNG file.")
    if len(data) > BODY_LIMIT:
        raise DarkroomError(
            f"{path} has {len(data) / 1024**2:.1f} MiB; SageMaker endpoints take at most {BODY_LIMIT // 1024**2} MiB.",
            "Send a smaller version of the photo, or use a batch transform.",
        )
    return data


def predict(target: Target, endpoint: str, path: Path, target_model: str | None = None) -> Prediction:
    """The endpoint's answer for one photo."""
    data = read_photo(path)
    options = {"TargetModel": target_model} if target_model else {}
    try:
        answer = target.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint, Body=data, ContentType="application/x-image", Accept="application/json", **options
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            raise _not_there(target, endpoint, target_model, error) from None
        raise DarkroomError(f"{path}: {_reason(error)}", "The endpoint's log: darkroom logs " + endpoint) from None
    prediction = json.loads(answer["Body"].read())["predictions"][0]
    return Prediction(str(path), prediction["label"], prediction["probability"], prediction["probabilities"])


class NotThere(DarkroomError):
    """The endpoint or its model does not exist: no further photo needs to be sent."""


def _not_there(target: Target, endpoint: str, target_model: str | None, error: ClientError) -> DarkroomError:
    endpoints = [
        one["EndpointName"]
        for page in target.client("sagemaker").get_paginator("list_endpoints").paginate()
        for one in page["Endpoints"]
    ]
    if endpoint not in endpoints:
        return NotThere(f"There is no endpoint {endpoint}.", _known("Endpoints", endpoint, endpoints))
    if target_model:
        models = models_of(target)
        if target_model.lstrip("/") not in models:
            return NotThere(
                f"There is no model {target_model} behind {endpoint}.", _known("Models", target_model, models)
            )
    return NotThere(f"{endpoint}: {_reason(error)}", "Endpoints and their state: darkroom status")


def models_of(target: Target) -> list[str]:
    """What TargetModel may be: the published models, below the multi-model endpoint's prefix."""
    pages = (
        target.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=target.parameter(MODELS_BUCKET), Prefix=MULTI_MODEL)
    )
    keys = [item["Key"].removeprefix(MULTI_MODEL) for page in pages for item in page.get("Contents", [])]
    return [key for key in keys if key.endswith(MODEL_FILE)]


def _known(what: str, name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"Did you mean {close[0]}? " if close else ""
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return f"{meant}{what}: {shown or 'none yet; darkroom run makes the first'}"


def _reason(error: ClientError) -> str:
    """The container's own sentence where it gave one (ModelError carries it as OriginalMessage)."""
    original = error.response.get("OriginalMessage")
    if not original:
        return error.response["Error"]["Message"]
    try:
        said = json.loads(original)
    except ValueError:
        return original
    reason = said.get("error", said) if isinstance(said, dict) else said
    if isinstance(reason, dict):
        reason = reason.get("message") or reason
    return reason if isinstance(reason, str) else original


def wait_in_service(target: Target, endpoint: str) -> None:
    """Until the endpoint serves; raises with SageMaker's reason when it fails."""
    from botocore.exceptions import WaiterError

    delay = {"Delay": 1, "MaxAttempts": 600} if target.is_local else {"Delay": 15, "MaxAttempts": 120}
    try:
        target.client("sagemaker").get_waiter("endpoint_in_service").wait(EndpointName=endpoint, WaiterConfig=delay)
    except WaiterError:
        said = target.client("sagemaker").describe_endpoint(EndpointName=endpoint)
        reason = said.get("FailureReason", "no reason was given")
        raise DarkroomError(
            f"Endpoint {endpoint} is {said['EndpointStatus']}: {reason}", f"Log: darkroom logs {endpoint}"
        ) from None
