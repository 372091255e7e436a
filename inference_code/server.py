"""The HTTP contract of SageMaker: one ASGI application for single-model and multi-model endpoints and batch transform.

`GET /ping`, `POST /invocations`, `GET /execution-parameters`, and with SAGEMAKER_MULTI_MODEL `GET/POST /models`,
`GET/DELETE /models/{name}`, `POST /models/{name}/invoke`. Plain ASGI: six routes need no framework, and its overhead
would be a tenth of an answer. Photos are decoded and predicted in threads (both release the interpreter lock); a
request's body is read only once a place is free, so that memory stays bounded however many clients come.
"""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import numpy as np

from contract.decode import UnreadablePhoto
from inference_code.answers import JSON_TYPE, Refused, accepts_array, encode, read_photos
from inference_code.classifier import Classifier
from inference_code.model_store import LoadedModel, ModelStore
from inference_code.settings import MEGABYTE, Settings

log = logging.getLogger("inference")
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html: the product may be 100 MB.
_TRANSFORM_TOTAL_MB: Final = 100
_PLACES_PER_CORE: Final = 4


class Application:
    """Routes, limits and errors; what a photo means is the classifier's business."""

    def __init__(self, settings: Settings, classifier: Classifier | None) -> None:
        self._settings = settings
        self._classifier = classifier
        self._store = ModelStore(settings)
        self._threads = ThreadPoolExecutor(settings.cores + 1, thread_name_prefix="photo")
        self._loaders = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._places = asyncio.Semaphore(_PLACES_PER_CORE * (settings.cores + 1))

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        try:
            status, body = await self._route(scope, receive)
        except Refused as refused:
            status, body = refused.status, _error(refused.code, str(refused))
            log.warning("%s %s -> %d: %s", scope["method"], scope["path"], status, refused)
        except UnreadablePhoto as error:
            status, body = HTTPStatus.BAD_REQUEST, _error("unreadable_photo", str(error), reason=error.reason)
            log.warning("%s %s -> 400: %s", scope["method"], scope["path"], error)
        except Exception:
            log.exception("%s %s -> 500", scope["method"], scope["path"])
            status, body = HTTPStatus.INTERNAL_SERVER_ERROR, _error("internal_error", "see the endpoint's log")
        headers = [(b"content-type", JSON_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            headers.append((b"connection", b"close"))  # the rest of the body is not read
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _route(self, scope: dict[str, Any], receive: Any) -> tuple[HTTPStatus, bytes]:
        path = scope.get("raw_path", scope["path"].encode()).decode("ascii").split("?", 1)[0]
        method = scope["method"]
        if path == "/ping" and method == "GET":
            return HTTPStatus.OK, b"{}"
        if path == "/execution-parameters" and method == "GET":
            return HTTPStatus.OK, json.dumps(self._execution_parameters()).encode()
        if path == "/invocations" and method == "POST" and self._classifier is not None:
            return await self._invoke(self._classifier, scope, receive)
        if self._settings.multi_model and (path == "/models" or path.startswith("/models/")):
            return await self._route_models(method, path, scope, receive)
        raise Refused(HTTPStatus.NOT_FOUND, "no_such_route", f"{method} {path}; {self._routes()}")

    def _routes(self) -> str:
        own = "/models, /models/{name}, /models/{name}/invoke" if self._settings.multi_model else "/invocations"
        return f"this endpoint answers /ping, /execution-parameters, {own}"

    async def _route_models(self, method: str, path: str, scope: dict, receive: Any) -> tuple[HTTPStatus, bytes]:
        rest = path.removeprefix("/models").strip("/")
        if not rest and method == "GET":
            return HTTPStatus.OK, self._list_models(scope)
        if not rest and method == "POST":
            return await self._load_model(await self._body(scope, receive))
        if rest.endswith("/invoke") and method == "POST":
            model = self._store.get(unquote(rest.removesuffix("/invoke")))
            return await self._invoke(model.classifier, scope, receive)
        if rest and method == "GET":
            return HTTPStatus.OK, json.dumps(_described(self._store.get(unquote(rest)))).encode()
        if rest and method == "DELETE":
            self._store.unload(unquote(rest))
            log.info("unloaded model %s", unquote(rest))
            return HTTPStatus.OK, b"{}"
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", f"{method} {path}; {self._routes()}")

    async def _load_model(self, body: bytes) -> tuple[HTTPStatus, bytes]:
        try:
            request = json.loads(body)
            name, url = request["model_name"], request["url"]
            if not (isinstance(name, str) and name and isinstance(url, str) and url):
                raise TypeError
        except (ValueError, TypeError, KeyError):
            form = '{"model_name": "…", "url": "…"}'
            raise Refused(HTTPStatus.BAD_REQUEST, "bad_json", f"the body is not of the form {form}") from None
        loop = asyncio.get_running_loop()
        model = await loop.run_in_executor(self._loaders, self._store.load, name, url)
        log.info("loaded model %s: %s, %d classes", name, model.classifier.manifest.architecture,
                 len(model.classifier.manifest.classes))  # fmt: skip
        return HTTPStatus.OK, json.dumps(_described(model)).encode()

    def _list_models(self, scope: dict[str, Any]) -> bytes:
        query = parse_qs(scope.get("query_string", b"").decode())
        start, limit = query.get("next_page_token", ["0"])[0], query.get("limit", ["100"])[0]
        if not (start.isdigit() and limit.isdigit() and 1 <= int(limit) <= 1000):
            allowed = "limit: 1 to 1000; next_page_token: the one this route gave"
            raise Refused(HTTPStatus.BAD_REQUEST, "bad_query", f"limit {limit!r}, next_page_token {start!r}; {allowed}")
        models, end = self._store.all(), int(start) + int(limit)
        page: dict[str, Any] = {"models": [_described(model) for model in models[int(start) : end]]}
        if end < len(models):
            page["nextPageToken"] = str(end)
        return json.dumps(page).encode()

    async def _invoke(self, classifier: Classifier, scope: dict, receive: Any) -> tuple[HTTPStatus, bytes]:
        headers = dict(scope["headers"])
        array = accepts_array(headers.get(b"accept", b"").decode("latin-1"))
        async with self._places:
            body = await self._body(scope, receive)
            photos = read_photos(body, headers.get(b"content-type", b"").decode("latin-1"))
            probabilities = await self._answer(classifier, photos.contents, photos.listed)
            return HTTPStatus.OK, encode(probabilities, classifier.manifest.classes, array, photos.listed)

    async def _answer(self, classifier: Classifier, photos: list[bytes], listed: bool) -> np.ndarray:
        """Decode and predict; the photos of a list are spread over the threads."""
        loop = asyncio.get_running_loop()
        if not listed:
            return await loop.run_in_executor(self._threads, _decode_and_predict, classifier, photos)
        step = classifier.engine.preferred_batch
        batches = [
            loop.run_in_executor(self._threads, _decode_and_predict, classifier, photos[at : at + step], at)
            for at in range(0, len(photos), step)
        ]
        answers = await asyncio.gather(*batches, return_exceptions=True)  # all of them end before the places are freed
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return np.concatenate(answers)

    async def _body(self, scope: dict[str, Any], receive: Any) -> bytes:
        limit = self._settings.max_payload_bytes
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if int(declared) > limit:
            raise _too_large(int(declared), limit)
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(HTTPStatus.BAD_REQUEST, "disconnected", "the client went away before its body was read")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(size, limit)
            if not message.get("more_body"):
                return b"".join(parts)

    def _execution_parameters(self) -> dict[str, Any]:
        """What batch transform should use where the job does not say: enough requests to keep every core busy."""
        concurrent = min(2 * self._settings.cores, _TRANSFORM_TOTAL_MB)
        payload = min(self._settings.max_payload_bytes // MEGABYTE, _TRANSFORM_TOTAL_MB // concurrent)
        return {"MaxConcurrentTransforms": concurrent, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": payload}


def _decode_and_predict(classifier: Classifier, photos: list[bytes], first: int | None = None) -> np.ndarray:
    tensors = []
    for offset, photo in enumerate(photos):
        try:
            tensors.append(classifier.decode(photo))
        except UnreadablePhoto as error:
            if first is None:
                raise
            raise UnreadablePhoto(error.reason, f"instances[{first + offset}]: {error}") from None
    return classifier.predict(tensors)


def _described(model: LoadedModel) -> dict[str, str]:
    return {"modelName": model.name, "modelUrl": model.url}


def _error(code: str, message: str, **facts: str) -> bytes:
    return json.dumps({"error": {"code": code, **facts, "message": message}}, ensure_ascii=False).encode()


def _too_large(size: int, limit: int) -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "payload_too_large",
        f"the body has {size:,} bytes; at most {limit:,} are allowed (SAGEMAKER_MAX_PAYLOAD_IN_MB)",
    )
