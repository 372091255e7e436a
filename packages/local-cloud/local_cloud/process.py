"""A cloud as a process: start it, find it, stop it. For command lines, this package's own and its hosts'.

Whoever holds the lock of a state directory lives, however busy it is: no time limit decides that. Several that start at once
get one cloud.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
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

# Which proxy a shell had before `env` gave it the cloud's own.
OUTER_PROXY = "LOCAL_CLOUD_OUTER_PROXY"
LOOPBACK = ("127.0.0.1", "localhost")
# Of botocore, and of requests, which the SDK uses.
BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
SDK_CONFIGURATION = """SchemaVersion: '1.0'
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
"""
NOTEBOOK_ROLE = "AmazonSageMaker-ExecutionRole"
NOTEBOOK_SECONDS = 12 * 3600  # the longest session that AWS gives
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
    proxy: str = ""
    certificate: str = ""

    def variables(self) -> dict[str, str]:
        """What leads AWS's tools to this cloud."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }


def shell_variables(cloud: LivingCloud, folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """What a shell needs beside `variables` so that no AWS program goes elsewhere: proxy, certificates, SDK configuration.

    Writes the SDK's configuration and the bundle of certificates to `folder`. `environment` is the shell's: its own
    certificates stay trusted, its own proxy is where everything but AWS's hosts goes.
    """
    told = {
        # The SageMaker SDK reads a site's and a user's defaults, such as roles of a real account, and reports its use to AWS.
        # https://sagemaker.readthedocs.io/en/v2/overview.html#configuring-and-using-defaults-with-the-sagemaker-python-sdk
        name: str(_written(folder / "sagemaker.yaml", SDK_CONFIGURATION.encode()))
        for name in ("SAGEMAKER_ADMIN_CONFIG_OVERRIDE", "SAGEMAKER_USER_CONFIG_OVERRIDE")
    }
    direct = [word for name in ("NO_PROXY", "no_proxy") for word in environment.get(name, "").split(",")]
    # An exception of the user's for AWS's hosts, or for all, would lead around the proxy.
    kept = [word.strip() for word in direct if word.strip() not in ("", "*") and "amazonaws" not in word]
    excepted = ",".join(dict.fromkeys([*kept, *LOOPBACK]))
    told |= {"NO_PROXY": excepted, "no_proxy": excepted}
    if not cloud.proxy:
        return told
    outer = environment.get(OUTER_PROXY, environment.get("https_proxy") or environment.get("HTTPS_PROXY") or "")
    trusted, own = _trusted(environment), _certificate(Path(cloud.certificate))
    # A shell that took up `env` before names our own bundle.
    bundle = str(_written(folder / "certificates.pem", trusted if own in trusted else trusted + b"\n" + own))
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        told[name] = cloud.proxy
    for name in BUNDLES:
        told[name] = bundle
    return told | {OUTER_PROXY: outer, "NODE_EXTRA_CA_CERTS": cloud.certificate}


def notebook_variables(cloud: LivingCloud) -> dict[str, str]:
    """The keys of a session of NOTEBOOK_ROLE, as a SageMaker notebook has them: `sagemaker.get_execution_role()` is that role.

    The role is made where it is missing: SageMaker may assume it, and it has AWS's policy for notebooks and all of S3.
    """
    import boto3

    def client(service: str) -> Any:
        return boto3.client(
            service, endpoint_url=cloud.endpoint, region_name=cloud.region, aws_access_key_id=cloud.access_key_id,
            aws_secret_access_key=cloud.secret_access_key,
        )  # fmt: skip

    iam = client("iam")
    owner = {"AWS": f"arn:aws:iam::{cloud.account_id}:root"}
    trusted = [{"Service": "sagemaker.amazonaws.com"}, owner]
    statements = [{"Effect": "Allow", "Principal": each, "Action": "sts:AssumeRole"} for each in trusted]
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(
            RoleName=NOTEBOOK_ROLE, MaxSessionDuration=NOTEBOOK_SECONDS, Description="Made by `env --notebook`",
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
        )  # fmt: skip
        for policy in ("AmazonSageMakerFullAccess", "AmazonS3FullAccess"):
            iam.attach_role_policy(RoleName=NOTEBOOK_ROLE, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
    arn = iam.get_role(RoleName=NOTEBOOK_ROLE)["Role"]["Arn"]
    session = client("sts").assume_role(RoleArn=arn, RoleSessionName="SageMaker", DurationSeconds=NOTEBOOK_SECONDS)
    keys = session["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }


def _certificate(path: Path) -> bytes:
    """The authority's certificate; its process makes it in the first moments of a cloud's life."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        with contextlib.suppress(OSError):
            return path.read_bytes()
        if time.monotonic() > deadline:
            raise ProcessFault(f"There is no certificate {path}.", "See the cloud's log, or set LOCAL_CLOUD_PROXY=0.")
        time.sleep(0.02)


def _trusted(environment: Mapping[str, str]) -> bytes:
    """The certificates that programs of this shell trust already: those that it names, else the public ones."""
    import certifi

    for name in BUNDLES:
        named = environment.get(name, "")
        if named and Path(named).is_file():
            return Path(named).read_bytes()
    system = ssl.get_default_verify_paths().cafile
    public = Path(certifi.where()).read_bytes()
    return public + b"\n" + Path(system).read_bytes() if system and Path(system).is_file() else public


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
    return path


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
    if OUTER_PROXY in inherited:  # started from a shell of a cloud: that one's proxy may be gone tomorrow
        outer = inherited.pop(OUTER_PROXY)
        inherited |= {
            name: outer for name in inherited if name.lower().endswith("_proxy") and name.lower() != "no_proxy"
        }
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
    """Stop the cloud, by SIGKILL where it does not listen, and wait until it has ended; False when none ran. Its state stays."""
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
    # It hangs in something that holds even its signals off. What it acknowledged is on disk.
    if owner(state) == pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while not _ended(pid):
        time.sleep(0.05)
    return True


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
