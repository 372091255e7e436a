"""`serve`: SageMaker's /ping and /invocations, and /models of multi-model endpoints, over the handlers of a script.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html and mms-container-apis.html. A fault in the
user's code ends the server at once, so that its last lines name file and line in the endpoint's failure reason.
"""

import json
import os
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from script_mode import BASE, FRAMEWORK, MANY, MODEL, UserError, formats
from script_mode.code import fetch, install_requirements
from script_mode.handlers import DEFAULTS, BuiltInXGBoost, Handler


def serve() -> None:
    """Loads the model, then answers until it is stopped."""
    handlers: dict[str, Handler] = {}
    if not MANY:
        try:
            handlers[""] = loaded(MODEL)
        except UserError as error:
            sys.exit(str(error))
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    # SageMaker reaches a container from outside; the local cloud gives a port, and stays on this machine.
    everywhere = "0.0.0.0"  # noqa: S104
    server = Server(("127.0.0.1" if "SAGEMAKER_BIND_TO_PORT" in os.environ else everywhere, port), Calls)
    server.handlers = handlers
    print(f"Serving on port {port}", flush=True)
    server.serve_forever()


def loaded(model_dir: Path) -> Handler:
    """The handler for one model folder: its code is in `code/`, in the container's folder for code, or on S3."""
    program = os.environ.get("SAGEMAKER_PROGRAM", "")
    submitted = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
    inside = model_dir / "code"
    if not program and (inside / "inference.py").is_file():
        program = "inference.py"
    if not program:
        if FRAMEWORK == "xgboost":
            DEFAULTS["xgboost"] = BuiltInXGBoost
            # AWS's multi-model container answers JSON where nothing is asked for, the other one CSV.
            os.environ.setdefault("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", formats.JSON if MANY else formats.CSV)
        return Handler(model_dir, None, "")
    elsewhere = submitted.startswith("s3://") or not inside.is_dir()
    folder = fetch(submitted or str(inside), program) if elsewhere else inside
    install_requirements(folder)
    return Handler(model_dir, folder, program)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    handlers: dict[str, Handler]
    changing = threading.Lock()


class Calls(BaseHTTPRequestHandler):
    """One connection of SageMaker's."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *words: object) -> None:
        """Nothing for each call: errors say what they have to."""

    def do_GET(self) -> None:
        if self.path == "/ping":
            self._answer(200, b"")
        elif MANY and self.path == "/models":
            self._json(200, {"models": [{"modelName": name, "modelUrl": str(BASE)} for name in self.server.handlers]})
        elif MANY and self.path.startswith("/models/"):
            name = unquote(self.path.removeprefix("/models/"))
            there = name in self.server.handlers
            self._json(200 if there else 404, {"modelName": name} if there else {"message": f"{name} is not loaded"})
        elif self.path == "/execution-parameters":
            self._json(404, {"message": "no execution parameters"})
        else:
            self._json(404, {"message": f"There is no {self.path}."})

    def do_DELETE(self) -> None:
        name = unquote(self.path.removeprefix("/models/"))
        gone = self.server.handlers.pop(name, None)
        self._json(200 if gone else 404, {"modelName": name})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/invocations":
            self._invoke("", body)
        elif MANY and self.path == "/models":
            self._load(json.loads(body))
        elif MANY and self.path.endswith("/invoke"):
            self._invoke(unquote(self.path.removeprefix("/models/").removesuffix("/invoke")), body)
        else:
            self._json(404, {"message": f"There is no {self.path}."})

    def _load(self, asked: dict) -> None:
        name = asked["model_name"]
        with self.server.changing:
            if name in self.server.handlers:
                return self._json(409, {"message": f"{name} is loaded already"})
            try:
                self.server.handlers[name] = loaded(Path(asked["url"]))
            except MemoryError:
                return self._json(507, {"message": f"There is no memory for {name}"})
            except Exception as error:
                traceback.print_exc()
                return self._json(500, {"message": f"{type(error).__name__}: {error}"})
        self._json(200, {"modelName": name})

    def _invoke(self, name: str, body: bytes) -> None:
        handler = self.server.handlers.get(name)
        if handler is None:
            return self._json(404, {"message": f"{name} is not loaded"})
        kind = (self.headers.get("Content-Type") or formats.JSON).split(";")[0].strip()
        try:
            answer, answered = handler.answer(body, kind, self.headers.get("Accept") or "")
        except formats.NotSupported as error:
            return self._answer(415, str(error).encode(), "text/plain")
        except Exception as error:
            said = f"{error}\n{traceback.format_exc()}"
            print(said, file=sys.stderr, flush=True)
            return self._answer(500, said.encode(), "text/plain")
        self._answer(200, answer, answered)

    def _json(self, status: int, document: dict) -> None:
        self._answer(status, json.dumps(document).encode(), formats.JSON)

    def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
