"""The corner of AWS that the analysis jobs speak to, over real HTTP: boto3 does not know the difference.

It keeps what was created, so that tests can see what is left; endpoints forward to a real server of ours.
"""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Answer = tuple[int, bytes]


class Aws:
    """Answers by operation name; `calls` remembers them in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.operations: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.objects: dict[str, bytes] = {}
        self.model_port: int | None = None
        self.takes_json = True
        self.endpoints: dict[str, str] = {}
        self.configs: set[str] = set()
        self.log_groups: dict[str, int | None] = {}
        for name in (
            "CreateLogGroup",
            "PutRetentionPolicy",
            "DeleteLogGroup",
            "CreateEndpointConfig",
            "CreateEndpoint",
            "DescribeEndpoint",
            "DeleteEndpoint",
            "DeleteEndpointConfig",
        ):
            self.operations[name] = getattr(self, name)

    def CreateEndpointConfig(self, request: dict[str, Any]) -> Any:
        self.configs.add(request["EndpointConfigName"])
        return {"EndpointConfigArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/x"}

    def CreateEndpoint(self, request: dict[str, Any]) -> Any:
        self.endpoints[request["EndpointName"]] = "Creating"
        return {"EndpointArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/x"}

    def DescribeEndpoint(self, request: dict[str, Any]) -> Any:
        status = self.endpoints[request["EndpointName"]]
        self.endpoints[request["EndpointName"]] = "InService"
        return {
            "EndpointName": request["EndpointName"], "EndpointArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/x",
            "EndpointStatus": status, "CreationTime": 0, "LastModifiedTime": 0,
        }  # fmt: skip

    def CreateLogGroup(self, request: dict[str, Any]) -> Any:
        self.log_groups[request["logGroupName"]] = None
        return {}

    def PutRetentionPolicy(self, request: dict[str, Any]) -> Any:
        self.log_groups[request["logGroupName"]] = request["retentionInDays"]
        return {}

    def DeleteLogGroup(self, request: dict[str, Any]) -> Any:
        assert not self.endpoints, "an endpoint that runs would write into it"
        return self._forget(self.log_groups, request["logGroupName"])

    def DeleteEndpoint(self, request: dict[str, Any]) -> Any:
        return self._forget(self.endpoints, request["EndpointName"])

    def DeleteEndpointConfig(self, request: dict[str, Any]) -> Any:
        return self._forget(self.configs, request["EndpointConfigName"])

    @staticmethod
    def _forget(kept: Any, name: str) -> Any:
        if name not in kept:
            raise Refusal("ValidationException", f'Could not find "{name}".')
        kept.pop(name) if isinstance(kept, dict) else kept.remove(name)
        return {}


class Refusal(Exception):
    """An error as AWS answers it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def running() -> Iterator[tuple[Aws, str]]:
    """The double and its address."""
    aws = Aws()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urlsplit(self.path).path
            if path.startswith("/endpoints/"):
                self._answer(*self._invoke(unquote(path.split("/")[2]), body))
                return
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            request = json.loads(body)
            aws.calls.append((operation, request))
            try:
                if operation not in aws.operations:
                    raise Refusal("AccessDeniedException", f"not allowed to perform {operation}")
                self._answer(200, json.dumps(aws.operations[operation](request)).encode())
            except Refusal as refusal:
                self._answer(400, json.dumps({"__type": refusal.code, "message": str(refusal)}).encode())

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path).lstrip("/")
            if path in aws.objects:
                self._answer(200, aws.objects[path])
            else:
                self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>")

        def _invoke(self, name: str, body: bytes) -> Answer:
            aws.calls.append(("InvokeEndpoint", {"EndpointName": name, "ContentType": self.headers["Content-Type"]}))
            if not aws.takes_json and self.headers["Content-Type"] == "application/json":
                return 415, b'{"message": "one photo, please"}'
            if aws.endpoints.get(name) != "InService" or aws.model_port is None:
                return 400, json.dumps({"message": f"Endpoint {name} not found."}).encode()
            connection = http.client.HTTPConnection("127.0.0.1", aws.model_port, timeout=120)
            headers = {"Content-Type": self.headers["Content-Type"], "Accept": self.headers.get("Accept", "*/*")}
            connection.request("POST", "/invocations", body, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answer.status, content

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self._headers_buffer.append(b"\r\n" + body)  # one packet
            self.flush_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield aws, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
