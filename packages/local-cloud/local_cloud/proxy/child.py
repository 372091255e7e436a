"""The proxy as the cloud sees it: a listening socket, a process that serves it, and what a shell must be told."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from local_cloud.documents import write_json
from local_cloud.environment import PROXIES
from local_cloud.lock import again
from local_cloud.proxy.certificates import CERTIFICATE

FOLDER = "proxy"
PORT_FILE = "port.json"


class ProxyProcess:
    """Started with the cloud; listens on the port of the last time where that is free, since shells have its address."""

    def __init__(self, state: Path, cloud_port: int):
        self._folder = state / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._cloud_port = cloud_port
        listening = self._listening()
        self.port = listening.getsockname()[1]
        write_json(self._folder / PORT_FILE, {"port": self.port})
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "local_cloud.proxy", "--listening", str(listening.fileno()), "--cloud", str(cloud_port),
                "--folder", str(self._folder),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=(listening.fileno(),), env={**os.environ, **PROXIES},
            start_new_session=True,
        )  # fmt: skip
        listening.close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        """The authority's certificate; the process makes it as it starts."""
        return self._folder / CERTIFICATE

    def stop(self) -> None:
        """End it; connections that it carries end with it."""
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listening(self) -> socket.socket:
        import json

        try:
            last = int(json.loads((self._folder / PORT_FILE).read_text(encoding="utf-8"))["port"])
        except (OSError, ValueError, KeyError, TypeError):
            last = 0
        try:
            return again(lambda: _listening(last)) if last else _listening(0)
        except (OSError, OverflowError):
            return _listening(0)


def _listening(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("127.0.0.1", port))
        made.listen(128)
    except BaseException:
        made.close()
        raise
    return made
