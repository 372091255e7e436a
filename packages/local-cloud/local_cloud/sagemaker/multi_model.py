"""Many models behind one container: loads on first use, unloads the least recently used when the container is full.

https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
A model that was overwritten in S3 is noticed by its ETag and loaded anew; it is looked at no more than every two seconds.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from local_cloud.errors import AwsError
from local_cloud.sagemaker.connections import Answer
from local_cloud.sagemaker.launch import literal_base
from local_cloud.sagemaker.model_hosting import HostedModel, bring_model, discard
from local_cloud.sagemaker.model_server import ModelServer
from local_cloud.sagemaker.s3_locations import Location

ETAG_SECONDS = 2.0
_FULL, _PRESENT, _ABSENT = 507, 409, 404


@dataclass
class LoadedModel:
    """One model in the container; `name` is what the container knows it by."""

    etag: str
    checked: float
    name: str
    calls: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class LoadRefused(Exception):
    """The container would not load the model; carries its answer."""

    def __init__(self, answer: Answer):
        super().__init__(f"status {answer.status}")
        self.answer = answer


class MultiModel:
    """The models loaded in one container."""

    def __init__(self, server: ModelServer):
        self._server = server
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, LoadedModel] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}

    def forget(self) -> None:
        """The container has started anew: nothing is loaded in it."""
        with self._lock:
            self._loaded.clear()

    def invoke(self, target: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Answer:
        """Calls a model, loading it first where needed."""
        for last in (False, True):
            model = self._ready(target)
            try:
                answer = self._server.call("POST", f"/models/{model.name}/invoke", body, headers, timeout)
            finally:
                with self._lock:
                    model.calls -= 1
            if answer.status != _ABSENT or last:
                break
            with self._lock:  # the container dropped it by itself
                self._loaded.pop(target, None)
        if not self._server.model.caches:
            self._unload(target)
        return answer

    def _ready(self, target: str) -> LoadedModel:
        """The loaded model with its call counted, so that nobody unloads it meanwhile."""
        if model := self._current(target):
            return model
        with self._lock:
            gate = self._loading.setdefault(target, threading.Lock())
        with gate:
            if model := self._current(target):
                return model
            etag = self._etag(target)
            with self._lock:
                known = self._loaded.get(target)
                if known and known.etag == etag:
                    known.checked = monotonic()
                    known.calls += 1
                    self._loaded.move_to_end(target)
                    return known
            if known:
                self._unload(target)
            model = LoadedModel(
                etag, monotonic(), hashlib.sha256(f"{target}\n{etag}".encode()).hexdigest()[:32], calls=1
            )
            self._load(target, model)
            with self._lock:
                self._loaded[target] = model
            return model

    def _current(self, target: str) -> LoadedModel | None:
        with self._lock:
            model = self._loaded.get(target)
            if model is None or monotonic() - model.checked > ETAG_SECONDS:
                return None
            model.calls += 1
            self._loaded.move_to_end(target)
            return model

    def _load(self, target: str, model: LoadedModel) -> None:
        folder = self._folder(model)
        hosted = self._server.model
        single = HostedModel(hosted.name, hosted.role, hosted.image, data_url=self._location(target).uri)
        try:
            bring_model(self._server.runtime.context, single, folder)
        except AwsError as error:
            raise AwsError("ValidationError", error.message) from error
        seen = literal_base(self._server.runtime, self._server.base) / "models" / model.name / "model"
        request = json.dumps({"model_name": model.name, "url": str(seen)}).encode()
        while True:
            answer = self._server.call("POST", "/models", request, {"Content-Type": "application/json"})
            if answer.status in (200, _PRESENT):
                return
            if answer.status != _FULL or not self._unload_oldest():
                discard(folder.parent)
                raise LoadRefused(answer)

    def _unload_oldest(self) -> bool:
        with self._lock:
            idle = next((target for target, model in self._loaded.items() if not model.calls), None)
        return idle is not None and self._unload(idle)

    def _unload(self, target: str) -> bool:
        with self._lock:
            model = self._loaded.pop(target, None)
        if model is None:
            return False
        self._server.call("DELETE", f"/models/{model.name}")
        discard(self._folder(model).parent)
        return True

    def _folder(self, model: LoadedModel) -> Path:
        return self._server.base / "models" / model.name / "model"

    def _location(self, target: str) -> Location:
        return Location.parse(self._server.model.data_url or "").below(target.lstrip("/"))

    def _etag(self, target: str) -> str:
        where = self._location(target)
        try:
            found = self._server.runtime.context.objects.info(where.bucket, where.key)
        except AwsError:
            found = None
        if found is None:
            raise AwsError(
                "ValidationError",
                f"Failed to download model data(bucket: {where.bucket}, key: {where.key}). Please "
                "ensure that there is an object located at the URL and that the role passed to CreateModel has "
                "permissions to download the model.",
            )
        return found.etag
