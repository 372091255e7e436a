"""Starts and stops the local cloud's process: the only module that knows how. All else speaks to it through AWS APIs."""

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

from darkroom.failure import DarkroomError
from darkroom.home import Home

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
    """The cloud of this home if it runs and answers."""
    try:
        said = json.loads((home.state / "cloud.json").read_text(encoding="utf-8"))
        cloud = LocalCloud(**{name: said[name] for name in LocalCloud.__dataclass_fields__ if name in said})
    except (OSError, ValueError, TypeError):
        return None
    try:
        # No proxy of the user's environment may stand between us and our own loopback port.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{cloud.endpoint}/_darkroom/health", timeout=5) as answer:
            health = json.loads(answer.read())
    except (OSError, ValueError, urllib.error.URLError):
        return None
    # Another process may have got the port after a crash.
    return cloud if health.get("pid", cloud.pid) == cloud.pid else None


def require(home: Home) -> LocalCloud:
    """The running cloud, or an error that says how to start it."""
    cloud = find(home)
    if cloud is None:
        raise DarkroomError(f"No local cloud runs in {home.path}.", "Start it: darkroom up")
    return cloud


def interrupt(cloud: LocalCloud, job: str) -> None:
    """Take the spot instance away from a running training job, as AWS may at any moment; DarkroomError when there is none."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    address = f"{cloud.endpoint}/_darkroom/interrupt/{urllib.parse.quote(job, safe='')}"
    signed = AWSRequest("POST", address, data=b"", headers={"Host": urllib.parse.urlsplit(address).netloc})
    SigV4Auth(Credentials(cloud.access_key_id, cloud.secret_access_key), "sagemaker", cloud.region).add_auth(signed)
    request = urllib.request.Request(address, b"", dict(signed.headers), method="POST")  # noqa: S310 (our own address)
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        said = json.loads(error.read()).get("message", str(error))
        raise DarkroomError(
            said, "Spot training is the setting spot_training: darkroom deploy -c spot_training=true"
        ) from None


def start(home: Home, port: int = 0, region: str = "us-east-1") -> tuple[LocalCloud, bool]:
    """The cloud of this home, started unless it runs; and whether it was started now."""
    if running := find(home):
        return running, False
    state, log = home.folder("cloud"), home.folder("logs") / "cloud.log"
    (state / "cloud.json").unlink(missing_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "local_cloud", "--state", str(state), "--port", str(port), "--region", region],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=state, start_new_session=True,
            env={**_environment(), "DARKROOM_ENVIRONMENTS": str(home.environments)},
        )  # fmt: skip
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if cloud := find(home):
            return cloud, True
        if process.poll() is not None:
            raise DarkroomError(
                f"The local cloud ended at once (exit code {process.returncode}):\n{_tail(log)}", f"Log: {log}"
            )
        time.sleep(0.05)
    process.terminate()
    raise DarkroomError(f"The local cloud was not ready within {READY_SECONDS} s:\n{_tail(log)}", f"Log: {log}")


def stop(home: Home) -> bool:
    """Stop the cloud and wait until it has ended; False when none ran. Its state stays."""
    cloud = find(home)
    if cloud is None:
        return False
    os.kill(cloud.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if _ended(cloud.pid):
            return True
        time.sleep(0.05)
    raise DarkroomError(
        f"The local cloud (process {cloud.pid}) did not end within {STOP_SECONDS} s.",
        f"See {home.folder('logs') / 'cloud.log'}",
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


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
