"""Starts and stops the local cloud's process: the only module that knows how. All else speaks to it through AWS APIs."""

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkroom.failure import DarkroomError
from darkroom.home import Home
from local_cloud import lock

READY_SECONDS = 60
STOP_SECONDS = 30


@dataclass(frozen=True)
class LocalCloud:
    """A running cloud, as its `cloud.json` describes it."""

    endpoint: str
    pid: int
    region: str
    account_id: str
    access_key_id: str
    secret_access_key: str
    version: str = ""


def find(home: Home) -> LocalCloud | None:
    """The cloud of this home, None when none lives; one that is just starting or stopping is waited for.

    Whoever holds the lock lives, however busy it is: no time limit decides that.
    """
    deadline = time.monotonic() + READY_SECONDS
    while (pid := _owner(home)) is not None:
        cloud = _announced(home)
        if cloud is not None and cloud.pid == pid:
            return cloud
        if time.monotonic() > deadline:
            raise DarkroomError(
                f"The local cloud (process {pid}) is neither ready nor gone after {READY_SECONDS} s.",
                f"See {home.path / 'logs' / 'cloud.log'}, or stop it: darkroom down",
            )
        time.sleep(0.05)
    return None


def _owner(home: Home) -> int | None:
    try:
        return lock.owner(home.state)
    except OSError as fault:
        raise DarkroomError(f"{home.state} cannot be read: {fault}.", "Choose another DARKROOM_HOME.") from None


def _announced(home: Home) -> LocalCloud | None:
    try:
        said = json.loads((home.state / "cloud.json").read_text(encoding="utf-8"))
        return LocalCloud(**{name: said[name] for name in LocalCloud.__dataclass_fields__ if name in said})
    except (OSError, ValueError, TypeError):
        return None


def require(home: Home) -> LocalCloud:
    """The running cloud, or an error that says how to start it."""
    cloud = find(home)
    if cloud is None:
        raise DarkroomError(f"No local cloud runs in {home.path}.", "Start it: darkroom up")
    return cloud


def interrupt(cloud: LocalCloud, job: str) -> None:
    """Take the spot instance away from a running training job, as AWS may at any moment; DarkroomError when there is none."""
    try:
        _own_call(cloud, "POST", f"interrupt/{urllib.parse.quote(job, safe='')}")
    except DarkroomError as error:
        raise DarkroomError(
            str(error), "Spot training is the setting spot_training: darkroom deploy -c spot_training=true"
        ) from None


def permissions(cloud: LocalCloud, mode: str | None = None, unused: bool = False) -> dict[str, Any]:
    """What was asked of the cloud in the name of roles and how IAM judges it; with `mode`, judged so from now on.

    `unused` adds each action and resource of the roles' policies, and whether a call needed it.
    """
    if mode is None:
        return _own_call(cloud, "GET", "permissions?unused" if unused else "permissions")
    return _own_call(cloud, "POST", "permissions", json.dumps({"mode": mode}).encode())


def _own_call(cloud: LocalCloud, method: str, path: str, body: bytes = b"") -> Any:
    """A call of the cloud's own, which no AWS service has."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    address = f"{cloud.endpoint}/_darkroom/{path}"
    signed = AWSRequest(method, address, data=body, headers={"Host": urllib.parse.urlsplit(address).netloc})
    SigV4Auth(Credentials(cloud.access_key_id, cloud.secret_access_key), "sagemaker", cloud.region).add_auth(signed)
    request = urllib.request.Request(address, body or None, dict(signed.headers), method=method)  # noqa: S310 (our own address)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise DarkroomError(json.loads(error.read()).get("message", str(error))) from None


def start(home: Home, port: int = 0, region: str = "us-east-1") -> tuple[LocalCloud, bool]:
    """The cloud of this home, started unless it runs; and whether it was started now."""
    if running := find(home):
        return running, False
    state, log = home.folder("cloud"), home.folder("logs") / "cloud.log"
    with log.open("ab") as output:
        before = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "local_cloud", "--state", str(state), "--port", str(port), "--region", region],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=state, start_new_session=True,
            env={
                **_environment(), "DARKROOM_ENVIRONMENTS": str(home.environments), "LOCAL_CLOUD_HIDDEN": str(home.path),
            },
        )  # fmt: skip
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None:
        cloud = _announced(home)
        if cloud is not None and cloud.pid == process.pid == _owner(home):
            return cloud, True
        if time.monotonic() > deadline:
            process.terminate()
            raise DarkroomError(f"The local cloud was not ready within {READY_SECONDS} s.", f"Log: {log}")
        time.sleep(0.05)
    # Several may start at once: the lock lets one of them in, and the others find it.
    if running := find(home):
        return running, False
    raise DarkroomError(
        f"The local cloud ended at once (exit code {process.returncode}): {_last_line(log, before)}", f"Log: {log}"
    )


def stop(home: Home) -> bool:
    """Stop the cloud and wait until it has ended; False when none ran. Its state stays."""
    pid = _owner(home)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if _ended(pid):
            return True
        time.sleep(0.05)
    raise DarkroomError(
        f"The local cloud (process {pid}) did not end within {STOP_SECONDS} s.",
        f"See {home.path / 'logs' / 'cloud.log'}",
    )


def _ended(pid: int) -> bool:
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:  # it is our own child when up and down meet in one process
            return True
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def _environment() -> dict[str, str]:
    # The package lies beside this one, installed or not.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**environment, "PYTHONPATH": str(Path(__file__).parents[1])}


def _last_line(log: Path, start: int) -> str:
    with log.open("rb") as lines:
        lines.seek(start)
        said = lines.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
