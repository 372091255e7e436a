"""boto3 clients whose requests never leave the process: they go straight to the application that answers the socket.

Step Functions and CloudFormation call other services with them. There is no endpoint to reach and no key to steal, so
nothing outside can make itself look like an inside call.
"""

from __future__ import annotations

import io
import threading
from typing import Any
from urllib.parse import urlsplit

import botocore.awsrequest

from local_cloud.application import Application
from local_cloud.services import SERVICES, Service
from local_cloud.wire import Request

BY_MODEL = {service.model: service for service in SERVICES.values()}


class Clients:
    """In-process clients by service name; each is made once and may be used from any thread."""

    def __init__(self, application: Application, region: str):
        self._application = application
        self._region = region
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __call__(self, service: str) -> Any:
        """The client of a service, by botocore's name."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    def _make(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        client = boto3.client(
            service,
            region_name=self._region,
            endpoint_url="http://127.0.0.1",
            aws_access_key_id="in-process",
            aws_secret_access_key="in-process",
            config=Config(
                retries={"total_max_attempts": 1},
                parameter_validation=False,
                s3={"addressing_style": "path"},
                # Nobody asked for the checksums of an object: a state's output must not show them.
                response_checksum_validation="when_required",
            ),
        )
        known = BY_MODEL[service]
        client.meta.events.register("before-send.*.*", lambda request, **_: self._send(known, request))
        return client

    def _send(self, service: Service, request: botocore.awsrequest.AWSPreparedRequest) -> Any:
        answer = self._application.trusted(Request(_environ(request)), service)
        body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
        headers = {name: str(value) for name, value in answer.headers.items() if value is not None}
        return botocore.awsrequest.AWSResponse(request.url, answer.status, headers, _Raw(body))


class _Raw(io.BytesIO):
    """A body as urllib3 hands it over."""

    def stream(self, amount: int = 65536, **_: Any) -> Any:
        while block := self.read(amount):
            yield block


def _environ(request: botocore.awsrequest.AWSPreparedRequest) -> dict[str, Any]:
    url = urlsplit(request.url)
    body = request.body
    if body is None:
        body = b""
    elif isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes | bytearray):
        body = body.read()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "REQUEST_URI": url.path + (f"?{url.query}" if url.query else ""),
        "PATH_INFO": url.path,
        "QUERY_STRING": url.query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        text = value.decode() if isinstance(value, bytes) else str(value)
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = text
    environ["CONTENT_LENGTH"] = str(len(body))
    environ.setdefault("HTTP_HOST", "127.0.0.1")
    return environ
