"""The model under explanation, asked through SageMaker: an endpoint that exists, or a shadow endpoint.

A shadow endpoint lives as long as the job: whatever happens in between, endpoint and configuration are deleted. Its log stays
after a failure only, and not for ever (`shadow_logs.py`).
"""

import base64
import io
import json
import logging
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import simplejpeg
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from PIL import Image

from analysis_code import aws
from analysis_code.clarify import shadow_logs
from analysis_code.clarify.config import JSON_TYPE, Predictor
from contract.failure import JobFailure
from contract.foreign_json import parse

log = logging.getLogger("clarify")
_DEADLINE_SECONDS: Final = 30 * 60
_BATCH: Final = 16  # photos of at most 384 pixels a side: far below the 25 MB of a real-time request
_PARALLEL: Final = 2


class Model:
    """Photos in, probabilities out; remembers the names of the classes where the endpoint tells them."""

    def __init__(self, endpoint: str, predictor: Predictor, labels: tuple[str, ...] | None) -> None:
        settings = Config(retries={"max_attempts": 5, "mode": "standard"}, read_timeout=120, max_pool_connections=8)
        self._client = aws.client("sagemaker-runtime", config=settings)
        self._endpoint = endpoint
        self._predictor = predictor
        self.labels = labels
        # An endpoint of the user's is asked in the configured form and no other; a shadow endpoint may be tried.
        self._several = True if predictor.content_type == JSON_TYPE else False if predictor.endpoint_name else None

    def ask(self, photos: list[np.ndarray]) -> np.ndarray:
        """RGB photos to float64 (N, classes)."""
        if self._several is None:
            self._several = self._takes_several(photos[0])
        step = _BATCH if self._several else 1
        batches = [photos[at : at + step] for at in range(0, len(photos), step)]
        with ThreadPoolExecutor(_PARALLEL) as threads:
            return np.concatenate(list(threads.map(self._ask, batches)))

    def _takes_several(self, photo: np.ndarray) -> bool:
        """Whether this model answers several photos in one JSON request, as Darkroom's server does; asked once."""
        try:
            self._numbers(self._invoke(_instances([photo, photo]), JSON_TYPE), 2)
        except (JobFailure, ClientError, BotoCoreError):
            return False
        return True

    def _ask(self, photos: list[np.ndarray]) -> np.ndarray:
        kind = JSON_TYPE if self._several else self._predictor.content_type
        body = _instances(photos) if self._several else _ENCODERS[kind](photos[0])
        try:
            answer = self._invoke(body, kind)
        except (ClientError, BotoCoreError) as error:
            raise JobFailure(f"endpoint {self._endpoint}: {error}; its log says more") from None
        return self._numbers(answer, len(photos))

    def _invoke(self, body: bytes, kind: str) -> bytes:
        asked = {"ContentType": kind, "Accept": self._predictor.accept_type}
        return self._client.invoke_endpoint(EndpointName=self._endpoint, Body=body, **asked)["Body"].read()

    def _numbers(self, answer: bytes, count: int) -> np.ndarray:
        """The two forms of answer: named predictions, or plain numbers in the order of label_headers."""
        try:
            document = parse(answer)
            if isinstance(document, dict):
                rows = [one["probabilities"] for one in document["predictions"]]
                self.labels = self.labels or tuple(rows[0])
                values = np.array([[row[label] for label in self.labels] for row in rows], dtype=float)
            else:
                values = np.atleast_2d(np.array(document, dtype=float))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            start = answer[:120].decode("utf-8", "replace")
            raise JobFailure(f"endpoint {self._endpoint}: no probabilities in its answer {start!r}: {error}") from None
        self.labels = self.labels or tuple(str(index) for index in range(values.shape[1]))
        if values.shape != (count, len(self.labels)):
            raise JobFailure(
                f"endpoint {self._endpoint}: the answer's shape is {values.shape}; needed: {count} photos x "
                f"{len(self.labels)} classes; check label_headers"
            )
        return values


def _jpeg(photo: np.ndarray) -> bytes:
    return simplejpeg.encode_jpeg(np.ascontiguousarray(photo), quality=95, colorsubsampling="444")


def _png(photo: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _instances(photos: list[np.ndarray]) -> bytes:
    return json.dumps({"instances": [{"b64": base64.b64encode(_jpeg(photo)).decode()} for photo in photos]}).encode()


_ENCODERS: Final = {"image/jpeg": _jpeg, "image/png": _png}


@contextmanager
def endpoint_for(predictor: Predictor) -> Iterator[str]:
    """The name of an endpoint in service; one that was made for this job is deleted at the end, always."""
    if predictor.endpoint_name:
        yield predictor.endpoint_name
        return
    client = aws.client("sagemaker")
    # It begins with the model's name: the job's role may create and delete exactly such endpoints.
    prefix = predictor.endpoint_name_prefix or predictor.model_name
    name = f"{prefix[:46]}-explain-{uuid.uuid4().hex[:8]}"
    try:
        shadow_logs.make(name)
        try:
            _create(client, name, predictor)
        except (ClientError, BotoCoreError) as error:
            raise JobFailure(
                f"predictor.model_name {predictor.model_name!r}: no endpoint could be made: {error}"
            ) from None
        yield name
    except BaseException:
        _delete(client, name)
        raise
    _delete(client, name)
    shadow_logs.delete(name)


def _create(client: Any, name: str, predictor: Predictor) -> None:
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": predictor.model_name,
        "InstanceType": predictor.instance_type,
        "InitialInstanceCount": predictor.instance_count,
    }
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)
    begin, pause = time.monotonic(), 0.05
    while True:
        state = client.describe_endpoint(EndpointName=name)
        if state["EndpointStatus"] == "InService":
            log.info("shadow endpoint %s in service after %.1f s", name, time.monotonic() - begin)
            return
        if state["EndpointStatus"] == "Failed":
            raise JobFailure(f"shadow endpoint {name} failed: {state.get('FailureReason', 'no reason given')}")
        if time.monotonic() - begin > _DEADLINE_SECONDS:
            raise JobFailure(f"shadow endpoint {name} was not in service after {_DEADLINE_SECONDS // 60} minutes")
        time.sleep(pause)
        pause = min(10.0, pause * 1.3)


def _delete(client: Any, name: str) -> None:
    for delete, argument in ((client.delete_endpoint, "EndpointName"),
                             (client.delete_endpoint_config, "EndpointConfigName")):  # fmt: skip
        try:
            delete(**{argument: name})
        except (ClientError, BotoCoreError) as error:
            # What was never created cannot be deleted; anything else costs money until a person removes it.
            if "ould not find" not in str(error) and "does not exist" not in str(error):
                log.error("could not delete %s %s, which costs money while it exists: %s", argument, name, error)
