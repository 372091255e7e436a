"""The HTTP contract of SageMaker: one ASGI application for single-model and multi-model endpoints and batch transform.

`GET /ping`, `POST /invocations`, `GET /execution-parameters`, and with SAGEMAKER_MULTI_MODEL `GET/POST /models`,
`GET/DELETE /models/{name}`, `POST /models/{name}/invoke`. Plain ASGI: six routes need no framework, and its overhead
would be a tenth of an answer. Photos are decoded and predicted in threads (both release the interpreter lock), usual and
costly ones in lanes of their own; a place is taken when a body is there, and bodies have a limit of memory for all of them.
"""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import numpy as np

from contract.abandon import Abandon
from contract.decode import UnreadablePhoto, is_costly
from contract.decode_apart import WALL_SECONDS
from contract.foreign_json import parse
from inference_code.answers import JSON_TYPE, Photos, Refused, accepts_array, encode, read_list, read_photos
from inference_code.bodies import Bodies, drain, is_expected_to_send
from inference_code.classifier import Classifier
from inference_code.model_store import LoadedModel, ModelStore
from inference_code.places import Lane, while_client_waits
from inference_code.settings import MEGABYTE, Settings
from inference_code.visitors import check_visitor

log = logging.getLogger("inference")
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html: the product may be 100 MB.
_TRANSFORM_TOTAL_MB: Final = 100
_MOST_BYTES_OF_A_MODEL: Final = 65_536  # a name and a path
_PATIENCE: Final = 60  # seconds in which a place for a usual photo must have become free


class Application:
    """Routes, limits and errors; what a photo means is the classifier's business."""

    def __init__(self, settings: Settings, classifier: Classifier | None) -> None:
        self._settings = settings
        self._classifier = classifier
        self._store = ModelStore(settings)
        self._usual = Lane("photo", settings.cores + 1, _PATIENCE)
        self._costly = Lane("costly", settings.cores, _PATIENCE + WALL_SECONDS)
        self._loaders = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._bodies = Bodies(settings.max_payload_bytes, settings.body_seconds)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        try:
            if not self._settings.in_container:
                check_visitor(scope, self._settings.visitor_secret)
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
        unread = status in (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT)
        if unread:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and is_expected_to_send(scope):
            # To close with unread data would reset the connection, and the client could not read the answer.
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await drain(receive)
            body = b""
        await send({"type": "http.response.body", "body": body})

    async def _route(self, scope: dict[str, Any], receive: Any) -> tuple[HTTPStatus, bytes]:
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1").split("?", 1)[0]
        method = scope["method"]
        if path == "/ping" and method == "GET":
            return self._ping()
        if path == "/execution-parameters" and method == "GET":
            return HTTPStatus.OK, json.dumps(self._execution_parameters()).encode()
        if path == "/invocations" and method == "POST" and self._classifier is not None:
            return await self._invoke(self._classifier, scope, receive)
        if self._settings.multi_model and (path == "/models" or path.startswith("/models/")):
            return await self._route_models(method, path, scope, receive)
        raise Refused(HTTPStatus.NOT_FOUND, "no_such_route", f"{method} {path}; {self._routes()}")

    def _ping(self) -> tuple[HTTPStatus, bytes]:
        """Not healthy where no place became free for long: the platform then replaces the instance."""
        for lane in (self._usual, self._costly):
            if lane.is_stuck:
                message = f"no place for a {lane.name} has become free for too long"
                return HTTPStatus.SERVICE_UNAVAILABLE, _error("stuck", message)
        return HTTPStatus.OK, b"{}"

    def _routes(self) -> str:
        own = "/models, /models/{name}, /models/{name}/invoke" if self._settings.multi_model else "/invocations"
        return f"this endpoint answers /ping, /execution-parameters, {own}"

    async def _route_models(self, method: str, path: str, scope: dict, receive: Any) -> tuple[HTTPStatus, bytes]:
        rest = path.removeprefix("/models").strip("/")
        if not rest and method == "GET":
            return HTTPStatus.OK, self._list_models(scope)
        if not rest and method == "POST":
            async with self._bodies.held(scope, receive) as body:
                return await self._load_model(body)
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
            request = parse(body if len(body) <= _MOST_BYTES_OF_A_MODEL else b"")
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
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        start, limit = query.get("next_page_token", ["0"])[0], query.get("limit", ["100"])[0]
        if not (_is_number(start) and _is_number(limit) and 1 <= int(limit) <= 1000):
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
        kind = headers.get(b"content-type", b"").decode("latin-1")
        async with self._bodies.held(scope, receive) as body:
            answer = await while_client_waits(self._answer(classifier, body, kind, array), receive)
        if answer is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "disconnected", "the client left before its answer was ready")
        return HTTPStatus.OK, answer

    async def _answer(self, classifier: Classifier, body: bytes, kind: str, array: bool) -> bytes:
        """Decode and predict; the photos of a list are spread over the threads."""
        photos = read_photos(body, kind)
        if photos is None:  # a list: reading it takes time, too
            async with self._usual.place():
                photos, costly = await self._usual.run(_read_list, body)
        else:
            costly = is_costly(photos.contents[0])
        lane = self._costly if costly else self._usual
        async with lane.place():
            probabilities = await self._predict(lane, classifier, photos)
        return encode(probabilities, classifier.manifest.classes, array, photos.listed)

    async def _predict(self, lane: Lane, classifier: Classifier, photos: Photos) -> np.ndarray:
        contents = photos.contents
        if not photos.listed:
            return await lane.run(_decode_and_predict, classifier, contents, None)
        step = classifier.engine.preferred_batch
        batches = [
            asyncio.ensure_future(lane.run(_decode_and_predict, classifier, contents[at : at + step], at))
            for at in range(0, len(contents), step)
        ]
        try:
            return np.concatenate(await asyncio.gather(*batches))
        finally:
            for batch in batches:  # the first refusal ends the others
                batch.cancel()

    def _execution_parameters(self) -> dict[str, Any]:
        """What batch transform should use where the job does not say: enough requests to keep every core busy."""
        concurrent = min(2 * self._settings.cores, _TRANSFORM_TOTAL_MB)
        payload = min(self._settings.max_payload_bytes // MEGABYTE, _TRANSFORM_TOTAL_MB // concurrent)
        return {"MaxConcurrentTransforms": concurrent, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": payload}


def _read_list(body: bytes, abandon: Abandon) -> tuple[Photos, bool]:
    photos = read_list(body)
    return photos, any(map(is_costly, photos.contents))


def _decode_and_predict(classifier: Classifier, photos: list[bytes], first: int | None, abandon: Abandon) -> np.ndarray:
    tensors = []
    for offset, photo in enumerate(photos):
        try:
            tensors.append(classifier.decode(photo, abandon))
        except UnreadablePhoto as error:
            if first is None:
                raise
            raise UnreadablePhoto(error.reason, f"instances[{first + offset}]: {error}") from None
    return classifier.predict(tensors)


def _described(model: LoadedModel) -> dict[str, str]:
    return {"modelName": model.name, "modelUrl": model.url}


def _error(code: str, message: str, **facts: str) -> bytes:
    return json.dumps({"error": {"code": code, **facts, "message": message}}, ensure_ascii=False).encode()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
