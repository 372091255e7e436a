"""A cloud as a process: start it, find it, stop it. For command lines, this package's own and its hosts'.

Whoever holds the lock of a state directory lives, however busy it is: no time limit decides that. Several that start at once
get one cloud.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cloud import lock

READY_SECONDS = 60
STOP_SECONDS = 30


class ProcessFault(Exception):
    """The cloud could not be started, found or stopped: one sentence, and what to do in `advice`."""

    def __init__(self, said: str, advice: str):
        super().__init__(said)
        self.advice = advice


@dataclass(frozen=True)
class LivingCloud:
    """A running cloud, as its `cloud.json` describes it."""

    endpoint: str
    pid: int
    region: str
    account_id: str
    access_key_id: str
    secret_access_key: str
    version: str = ""

    def variables(self) -> dict[str, str]:
        """What leads AWS's tools to this cloud."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }


def owner(state: Path) -> int | None:
    """The process that has this state directory, None when nobody has."""
    try:
        return lock.owner(state)
    except OSError as fault:
        raise ProcessFault(f"{state} cannot be read: {fault}.", "Choose another state directory.") from None


def find(state: Path) -> LivingCloud | None:
    """The cloud of this state directory, None when none lives; one that is just starting or stopping is waited for."""
    deadline = time.monotonic() + READY_SECONDS
    while (pid := owner(state)) is not None:
        cloud = announced(state)
        if cloud is not None and cloud.pid == pid:
            return cloud
        if time.monotonic() > deadline:
            raise ProcessFault(
                f"The local cloud (process {pid}) is neither ready nor gone after {READY_SECONDS} s.",
                "See its log, or stop it.",
            )
        time.sleep(0.05)
    return None


def announced(state: Path) -> LivingCloud | None:
    """What the last cloud of this state directory said of itself, alive or not."""
    try:
        said = json.loads((state / "cloud.json").read_text(encoding="utf-8"))
        return LivingCloud(**{name: said[name] for name in LivingCloud.__dataclass_fields__ if name in said})
    except (OSError, ValueError, TypeError):
        return None


def start(state: Path, log: Path, port: int, region: str, settings: Mapping[str, str]) -> tuple[LivingCloud, bool]:
    """The cloud of this state directory, started unless it runs; and whether it was started now.

    `settings`: variables of the process beside the caller's own, of which those of AWS are left out.
    """
    if running := find(state):
        return running, False
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with log.open("ab") as output:
        before = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "local_cloud", "--state", str(state), "--port", str(port), "--region", region],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=state, start_new_session=True,
            env={**inherited, **settings},
        )  # fmt: skip
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None:
        cloud = announced(state)
        if cloud is not None and cloud.pid == process.pid == owner(state):
            return cloud, True
        if time.monotonic() > deadline:
            process.terminate()
            raise ProcessFault(f"The local cloud was not ready within {READY_SECONDS} s.", f"Log: {log}")
        time.sleep(0.05)
    # Several may start at once: the lock lets one of them in, and the others find it.
    if running := find(state):
        return running, False
    raise ProcessFault(
        f"The local cloud ended at once (exit code {process.returncode}): {_last_line(log, before)}", f"Log: {log}"
    )


def stop(state: Path) -> bool:
    """Stop the cloud and wait until it has ended; False when none ran. Its state stays."""
    pid = owner(state)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if _ended(pid):
            return True
        time.sleep(0.05)
    raise ProcessFault(f"The local cloud (process {pid}) did not end within {STOP_SECONDS} s.", "See its log.")


def interrupt(cloud: LivingCloud, job: str) -> None:
    """Take the spot instance away from a running training job, as AWS may at any moment; ProcessFault when there is none."""
    _own_call(cloud, "POST", f"interrupt/{urllib.parse.quote(job, safe='')}")


def permissions(cloud: LivingCloud, mode: str | None = None, unused: bool = False) -> dict[str, Any]:
    """What was asked of the cloud in the name of roles and how IAM judges it; with `mode`, judged so from now on.

    `unused` adds each action and resource of the roles' policies, and whether a call needed it.
    """
    if mode is None:
        return _own_call(cloud, "GET", "permissions?unused" if unused else "permissions")
    return _own_call(cloud, "POST", "permissions", json.dumps({"mode": mode}).encode())


def _own_call(cloud: LivingCloud, method: str, path: str, body: bytes = b"") -> Any:
    """A call of the cloud's own, which no AWS service has."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    address = f"{cloud.endpoint}/_local/{path}"
    signed = AWSRequest(method, address, data=body, headers={"Host": urllib.parse.urlsplit(address).netloc})
    SigV4Auth(Credentials(cloud.access_key_id, cloud.secret_access_key), "sagemaker", cloud.region).add_auth(signed)
    request = urllib.request.Request(address, body or None, dict(signed.headers), method=method)  # noqa: S310 (our own address)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise ProcessFault(json.loads(error.read()).get("message", str(error)), "See the cloud's log.") from None


def _ended(pid: int) -> bool:
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:  # it is our own child when start and stop meet in one process
            return True
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def _last_line(log: Path, start: int) -> str:
    with log.open("rb") as lines:
        lines.seek(start)
        said = lines.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
