"""What moto does at each place that the cloud adjusts. A process of its own, since the adjustments change moto's classes:

    python moto_probes.py plain|adjusted FOLDER

prints each probe's observation as JSON. `test_moto_adjustments.py` says what both must be.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ACCOUNT, REGION = "123456789012", "us-east-1"
DENY_WITHOUT_TLS = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::probe/*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ],
}  # fmt: skip


def bucket(name: str = "probe") -> Any:
    from moto.s3.models import s3_backends

    backend = s3_backends[ACCOUNT]["aws"]
    return backend, backend.buckets.get(name) or backend.create_bucket(name, REGION)


def policy_with_a_condition() -> str:
    _, made = bucket()
    made.policy = json.dumps(DENY_WITHOUT_TLS).encode()
    return str(made.get_permission("s3:GetObject", "arn:aws:s3:::probe/key")).rpartition(".")[2]


def access_logs() -> list[Any]:
    backend, source = bucket("logged")
    bucket("logs")
    try:
        source.set_logging({"TargetBucket": "logs", "TargetPrefix": "l/"}, backend)
        accepted = True
    except Exception as refused:
        accepted = type(refused).__name__
    source.logging = {"TargetBucket": "logs", "TargetPrefix": "l/"}

    request = SimpleNamespace(
        headers={}, method="GET", url="http://logged.s3.amazonaws.com/key", remote_addr="127.0.0.1"
    )
    try:
        backend.log_incoming_request(request, "logged")
    except Exception as fault:
        return [accepted, type(fault).__name__]
    return [accepted, len(list(bucket("logs")[1].keys))]


def objects_remembered() -> int:
    from moto.logs.models import LogGroup, logs_backends

    logs_backends[ACCOUNT][REGION].create_log_group("remembered", {})
    logs_backends[ACCOUNT][REGION].delete_log_group("remembered")
    return len(LogGroup.instances_tracked)


def rows_of_log_lines() -> list[int]:
    from moto.logs.models import logs_backends

    logs = logs_backends[ACCOUNT][REGION]
    logs.create_log_group("g", {})
    logs.create_log_stream("g", "s")
    counts = []
    now = int(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
    logs.put_log_events("g", "s", [{"timestamp": now, "message": "a line"}])
    counts.append(len(DATABASE.read("SELECT message FROM log_event")))
    logs.delete_log_stream("g", "s")
    counts.append(len(DATABASE.read("SELECT message FROM log_event")))
    logs.create_log_stream("g", "t")
    logs.put_log_events("g", "t", [{"timestamp": now, "message": "another"}])
    logs.delete_log_group("g")
    counts.append(len(DATABASE.read("SELECT message FROM log_event")))
    return counts


def unknown_caller() -> str:
    from moto.sts.models import sts_backends

    return sts_backends[ACCOUNT]["aws"].get_caller_identity("AKIAUNKNOWN", REGION)[1]


def registry_without_rules() -> str:
    from moto.ecr.models import ecr_backends

    backend = ecr_backends[ACCOUNT][REGION]
    with contextlib.suppress(TypeError):  # moto alone; what it kept is what matters
        backend.put_registry_scanning_configuration("BASIC", None)
    return type(backend.registry_scanning_configuration["rules"]).__name__


def topic(**attributes: str) -> Any:
    from moto.sns.models import sns_backends

    backend = sns_backends[ACCOUNT][REGION]
    name = "probe.fifo" if attributes else "probe"
    return backend, backend.create_topic(name, {"FifoTopic": "true"} if attributes else {})


def signature_version() -> str:
    from moto.sns.models import Subscription

    _, made = topic()
    return Subscription(ACCOUNT, made, "http://127.0.0.1", "http").get_post_data("text", "id", None)["SignatureVersion"]


def missing_topic() -> str:
    backend, _ = topic()
    return message_of(lambda: backend.publish("text", arn=f"arn:aws:sns:{REGION}:{ACCOUNT}:absent"))


def message_without_a_group() -> str:
    backend, made = topic(FifoTopic="true")
    return message_of(lambda: backend.publish("text", arn=made.arn, group_id=None))


def detail_that_is_no_object() -> list[str | None]:
    from moto.events.models import events_backends

    events = events_backends[ACCOUNT][REGION]
    entry = {"Source": "s", "DetailType": "t", "Detail": '"a text"'}
    try:
        return [answer.get("ErrorCode") for answer in events.put_events([entry])]
    except Exception as fault:
        return [type(fault).__name__]


def deletion_where_versioning_is_suspended() -> int:
    """How many versions are left of an object without versions, deleted where versioning is suspended: AWS leaves a marker."""
    backend, made = bucket("suspended")
    backend.put_bucket_versioning("suspended", "Enabled")
    backend.put_bucket_versioning("suspended", "Suspended")
    backend.put_object("suspended", "key", b"x")
    backend.delete_object("suspended", "key")
    return len(made.keys.getlist("key", []))


def message_of(call: Callable[[], Any]) -> str:
    try:
        call()
    except Exception as refused:
        return str(getattr(refused, "message", refused))
    return "accepted"


PROBES = (
    policy_with_a_condition, access_logs, objects_remembered, rows_of_log_lines, unknown_caller, signature_version, missing_topic,
    registry_without_rules, message_without_a_group, detail_that_is_no_object, deletion_where_versioning_is_suspended,
)  # fmt: skip

if __name__ == "__main__":
    how, folder = sys.argv[1], Path(sys.argv[2])
    os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION=REGION)
    from local_cloud.persistence.database import Database

    DATABASE = Database(folder / "rows.sqlite")
    if how == "adjusted":
        from local_cloud import moto_adjustments
        from local_cloud.s3 import keys
        from local_cloud.s3.content import ContentStore
        from local_cloud.s3.rows import ObjectRows

        content = ContentStore(folder / "objects")
        rows = ObjectRows(DATABASE, lambda *_: [], lambda *_: None, content.discard)
        keys.install(content, rows)
        moto_adjustments.install(DATABASE)
    observed = {}
    for probe in PROBES:
        try:
            observed[probe.__name__] = probe()
        except Exception as fault:
            observed[probe.__name__] = f"{type(fault).__name__}: {fault}"
    json.dump(observed, sys.stdout)
