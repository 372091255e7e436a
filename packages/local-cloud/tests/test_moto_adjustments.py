"""Every change of moto's classes is needed and works: moto alone does the one thing, adjusted it does the other.

When an upgrade of moto fails the left column, moto does it right by now (or differently): take the adjustment out, or look again.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.places import ROOT

# Probe: what moto alone does, what it does adjusted, and which of its attributes the adjustment takes.
HELD_BY_PROBES = {
    "policy_with_a_condition": ("DENIED", "NEUTRAL", ["FakeBucket.get_permission"]),
    "access_logs": (
        ["InvalidTargetBucketForLogging", 1], [True, 0], ["FakeBucket.set_logging", "S3Backend.log_incoming_request"],
    ),
    "objects_remembered": (1, 0, ["BaseModel.__new__"]),
    "rows_of_log_lines": (
        [0, 0, 0], [1, 0, 0], ["LogStream.put_log_events", "LogsBackend.delete_log_group", "LogsBackend.delete_log_stream"],
    ),
    "unknown_caller": (
        "arn:aws:sts::123456789012:user/moto", "arn:aws:iam::123456789012:root", ["STSBackend.get_caller_identity"],
    ),
    "registry_without_rules": ("NoneType", "list", ["ECRBackend.put_registry_scanning_configuration"]),
    "signature_version": ("2", "1", ["Subscription.get_post_data"]),
    "missing_topic": ("Endpoint does not exist", "Topic does not exist", ["SNSBackend.publish"]),
    "message_without_a_group": (
        "The request must contain the parameter MessageGroupId.",
        "Invalid parameter: The MessageGroupId parameter is required for FIFO topics",
        ["SNSBackend.publish"],
    ),
    "detail_that_is_no_object": ([None], ["MalformedDetail"], ["EventsBackend.put_events"]),
    "deletion_where_versioning_is_suspended": (0, 1, ["S3Backend.delete_object"]),
}  # fmt: skip
# These make moto another thing altogether (bytes on disk, an own event bus): the tests of that thing hold them.
HELD_ELSEWHERE = {
    "Subscription.publish": "tests/test_lambda.py",
    "notifications._invoke_awslambda": "tests/test_lambda.py",
    **dict.fromkeys(
        (
            "KmsBackend.create_key",
            "KmsBackend.decrypt",
            "KmsBackend.rotate_key_on_demand",
            "KmsBackend.schedule_key_deletion",
            "KmsBackend.verify",
            "KmsResponse.re_encrypt",
            "KmsResponse.tag_resource",
            "Queue._is_new",
            "Queue.add_message",
            "Queue.attributes",
            "Queue.delete_message",
            "SQSBackend.change_message_visibility",
            "SQSBackend.create_queue",
            "SQSBackend.purge_queue",
            "SQSBackend.receive_message",
            "SQSBackend.send_message",
            "SQSBackend.set_queue_attributes",
        ),
        "tests/test_moto_refusals.py",
    ),
    "SNSResponse.publish": "tests/test_moto_answers.py",
    "LogsResponse.associate_kms_key": "tests/test_cfn_taken_back.py",
    "LogsResponse.disassociate_kms_key": "tests/test_cfn_taken_back.py",
    "SimpleSystemManagerBackend.put_parameter": "tests/test_parameter_sizes.py",
    "Alarm.__init__": "tests/test_events.py",
    "Alarm.update_state": "tests/test_events.py",
    "CloudWatchBackend.put_metric_alarm": "tests/test_events.py",
    "CloudWatchBackend.put_metric_data": "tests/test_events.py",
    "CloudWatchBackend.get_metric_data": "tests/test_moto_manners.py",
    "utils.load_resource": "tests/test_moto_manners.py",
    "CloudWatchBackend.get_metric_statistics": "tests/test_moto_manners.py",
    "EventPatternParser.parse": "tests/test_events.py",
    "EventsBackend.put_rule": "tests/test_events.py",
    "EventsBackend.put_targets": "tests/test_events.py",
    "EventsHandler.test_event_pattern": "tests/test_events.py",
    "Rule.send_to_targets": "tests/test_events.py",
    "FakeBucket.__init__": "tests/test_objects_kept.py",
    "FakeDeleteMarker.__deepcopy__": "tests/test_s3_versions.py",
    "S3Backend.abort_multipart_upload": "tests/test_objects_kept.py",
    "S3Backend.complete_multipart_upload": "tests/test_disk_full.py",
    "S3Backend.copy_object": "tests/test_server_s3.py",
    "S3Backend.list_object_versions": "tests/test_s3_versions.py",
    "S3Backend.list_objects": "tests/test_s3_listing.py",
    "S3Backend.list_objects_v2": "tests/test_s3_listing.py",
}


def observed(how: str, folder) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "moto_probes.py", how, folder], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, object]:
    return observed("plain", tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def adjusted(tmp_path_factory) -> dict[str, object]:
    return observed("adjusted", tmp_path_factory.mktemp("adjusted"))


@pytest.mark.parametrize("probe", HELD_BY_PROBES)
def test_moto_alone_still_needs_the_adjustment(alone, probe):
    assert alone[probe] == HELD_BY_PROBES[probe][0]


@pytest.mark.parametrize("probe", HELD_BY_PROBES)
def test_the_adjustment_works_with_this_moto(adjusted, probe):
    assert adjusted[probe] == HELD_BY_PROBES[probe][1]


def test_every_probe_has_its_line(alone):
    assert set(alone) == set(HELD_BY_PROBES)


def changed_in(source: str) -> Iterator[str]:
    """Attributes of moto's classes to which a module assigns, `Class.attribute`."""
    tree = ast.parse(source)
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "moto"
        for alias in node.names
    }
    for node in ast.walk(tree):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            for one in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id in imported:
                    yield f"{one.value.id}.{one.attr}"


def test_a_change_of_moto_would_be_found():
    assert list(changed_in("from moto.x.models import A\nA.f = A.g = 1\n(A.h, b) = 1, 2\nb.c = 3")) == [
        "A.f",
        "A.g",
        "A.h",
    ]


def test_no_class_of_moto_is_changed_without_a_test_that_holds_it():
    changed = {name for path in (ROOT / "local_cloud").rglob("*.py") for name in changed_in(path.read_text())}
    held = {name for _, _, names in HELD_BY_PROBES.values() for name in names} | set(HELD_ELSEWHERE)
    assert changed == held
    assert [path for path in HELD_ELSEWHERE.values() if not (ROOT / path).is_file()] == []
