"""Asks an endpoint about photos through boto3 `sagemaker-runtime`, as an application would."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

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
        raise DarkroomError(f"{path}: {_reason(error)}", "Endpoints and their state: darkroom status") from None
    found = json.loads(answer["Body"].read())["predictions"][0]
    return Prediction(str(path), found["label"], found["probability"], found["probabilities"])


def _reason(error: ClientError) -> str:
    """The container's own sentence where it gave one (ModelError carries it as OriginalMessage)."""
    original = error.response.get("OriginalMessage")
    if original:
        try:
            said = json.loads(original)
            return said.get("error") or said.get("message") or original
        except (ValueError, AttributeError):
            return original
    return error.response["Error"]["Message"]


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
