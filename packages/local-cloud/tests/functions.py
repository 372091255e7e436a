"""What tests of Lambda functions share: a role, packages of one file, the lines of a function's log."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from typing import Any

from local_cloud.testing import RunningCloud, wait_until


def package(**files: str) -> bytes:
    """A zip archive; `index_py` is the file index.py."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files.items():
            stem, _, end = name.rpartition("_")
            archive.writestr(f"{stem}.{end}", text)
    return made.getvalue()


def role(cloud: RunningCloud, service: str = "lambda.amazonaws.com", *allowed: str) -> str:
    """A new role that this service may assume, with these actions allowed on everything."""
    iam, name = cloud.client("iam"), f"role-{uuid.uuid4().hex[:8]}"
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    if allowed:
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(allowed), "Resource": "*"}]}
        iam.put_role_policy(RoleName=name, PolicyName="allowed", PolicyDocument=json.dumps(policy))
    return arn


def make(cloud: RunningCloud, code: str, runtime: str = "python3.11", **more: Any) -> str:
    """A new function of one file with a `handler`; its name."""
    name = f"function-{uuid.uuid4().hex[:8]}"
    file = {"index_py": code} if runtime.startswith("python") else {more.pop("file", "index_js"): code}
    options = {"Role": more.pop("Role", None) or role(cloud), "Handler": "index.handler", "Timeout": 60} | more
    functions = cloud.client("lambda")
    functions.create_function(FunctionName=name, Runtime=runtime, Code={"ZipFile": package(**file)}, **options)
    return name


def asked(cloud: RunningCloud, name: str, event: Any = None, **more: Any) -> tuple[Any, dict[str, Any]]:
    """What a function answers to an event, and the whole answer."""
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event or {}).encode(), **more)
    return json.loads(answer["Payload"].read() or b"null"), answer


def lines(cloud: RunningCloud, name: str, last: str = "REPORT") -> list[str]:
    """A function's log, once it has a line that begins so."""
    logs = cloud.client("logs")

    def read() -> list[str]:
        found = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        # A function has a stream for each of its environments: what it said is in order by time.
        texts = [event["message"] for event in sorted(found, key=lambda event: event["timestamp"])]
        return texts if any(text.startswith(last) for text in texts) else []

    found: list[str] = wait_until(read, what=f"a line {last} of {name}")
    return found
