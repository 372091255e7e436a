"""What an SDK integration makes of parameters and answers, held against answers recorded on AWS.

The recordings are LocalStack's (Apache-2.0, https://github.com/localstack/localstack, v2/services/*.snapshot.json).
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import pytest

from local_cloud.services import service_model
from local_cloud.stepfunctions.sdk_payload import api_name, from_response, step_functions_name, to_request
from tests.test_stepfunctions_states import machine, one, run, states  # noqa: F401

SDK = "arn:aws:states:::aws-sdk:"
# Body, what lies in the bucket, its ETag: recorded 2025-11-06 (`test_s3_put_object[...]`).
RECORDED_BODIES = {
    "str": ("text data", '"text data"', "2b5df3712557f503a9977a8ea893b2c9"),
    "dict": ({"Dict": "Value"}, '{"Dict":"Value"}', "49e31cee5aec8faf3345893addb14346"),
    "list": (["List", "Data"], '["List","Data"]', "6b23860357f6e63a0272b7f1143a663a"),
    "bool": (False, "false", "68934a3e9455fa72420237eb05902327"),
    "num": (0, "0", "cfcd208495d565ef66e7dff9f98764da"),
}


@pytest.fixture(scope="module")
def bucket(cloud):
    name = f"payload-{uuid.uuid4().hex[:8]}"
    cloud.client("s3").create_bucket(Bucket=name)
    return name


def task(action: str, parameters: dict) -> dict:
    return one({"Type": "Task", "Resource": f"{SDK}{action}", "Parameters": parameters})


@pytest.mark.parametrize("kind", RECORDED_BODIES)
def test_a_body_is_json_encoded_whatever_its_type(states, cloud, bucket, kind):  # noqa: F811
    body, stored, etag = RECORDED_BODIES[kind]
    ended = run(states, task("s3:putObject", {"Bucket": bucket, "Key": kind, "Body": body}))
    assert json.loads(ended["output"])["ETag"] == f'"{etag}"'
    found = cloud.client("s3").get_object(Bucket=bucket, Key=kind)
    assert found["Body"].read().decode() == stored
    assert found["ContentType"] == "text/plain; charset=UTF-8"


def test_a_content_type_that_is_given_stays(states, cloud, bucket):  # noqa: F811
    given = {"Bucket": bucket, "Key": "typed", "Body": {"a": 1}, "ContentType": "application/json"}
    assert run(states, task("s3:putObject", given))["status"] == "SUCCEEDED"
    assert cloud.client("s3").head_object(Bucket=bucket, Key="typed")["ContentType"] == "application/json"


def test_a_body_comes_back_as_text_and_without_checksums_that_nobody_asked_for(states, cloud, bucket):  # noqa: F811
    cloud.client("s3").put_object(Bucket=bucket, Key="text", Body=b"text data")
    output = json.loads(run(states, task("s3:getObject", {"Bucket": bucket, "Key": "text"}))["output"])
    assert (output["Body"], output["ContentLength"], output["Metadata"]) == ("text data", 9, {})
    assert not [name for name in output if name.startswith("Checksum")]


def test_every_blob_member_of_every_service_is_encoded():
    """SQS's are nested in a map and a list, CloudWatch's and KMS's are at the top."""
    attribute = {"DataType": "Binary", "BinaryValue": "x", "BinaryListValues": ["y"]}
    send = service_model("sqs").operation_model("SendMessageBatch").input_shape
    request = to_request(send, {"QueueUrl": "q", "Entries": [{"Id": "1", "MessageAttributes": {"a": attribute}}]})
    sent = request["Entries"][0]["MessageAttributes"]["a"]
    assert (sent["BinaryValue"], sent["BinaryListValues"]) == (b'"x"', [b'"y"'])
    encrypt = service_model("kms").operation_model("Encrypt").input_shape
    assert to_request(encrypt, {"KeyId": "k", "Plaintext": "x"})["Plaintext"] == b'"x"'
    secret = service_model("secretsmanager").operation_model("CreateSecret").input_shape
    assert to_request(secret, {"Name": "n", "SecretBinary": {"a": 1}})["SecretBinary"] == b'{"a":1}'


def test_an_object_for_a_text_member_becomes_json_and_null_is_not_given(states):  # noqa: F811
    """Recorded: `test_sfn_start_execution_implicit_json_serialisation` and `test_sfn_start_execution` (Input null)."""
    inner = machine(states, one({"Type": "Pass"}))
    for given, reached in (({"key": "value"}, '{"key":"value"}'), (None, "{}")):
        ended = run(states, task("sfn:startExecution", {"StateMachineArn": inner, "Input": given}))
        assert ended["status"] == "SUCCEEDED", ended.get("cause")
        started = json.loads(ended["output"])
        assert states.describe_execution(executionArn=started["ExecutionArn"])["input"] == reached


@pytest.mark.parametrize(
    ("api", "written"),
    [
        ("ETag", "ETag"), ("ChecksumCRC32", "ChecksumCRC32"), ("SSEKMSKeyId", "SsekmsKeyId"), ("ACL", "Acl"),
        ("DBInstanceIdentifier", "DbInstanceIdentifier"), ("logGroupName", "LogGroupName"), ("S3Uri", "S3Uri"),
    ],
)  # fmt: skip
def test_members_are_spelled_as_the_java_sdk_spells_them(api, written):
    assert step_functions_name(api) == written


def test_other_spellings_are_refused():
    put = service_model("s3").operation_model("PutObject").input_shape
    assert (api_name(put, "SsekmsKeyId"), api_name(put, "SSEKMSKeyId"), api_name(put, "body")) == (
        "SSEKMSKeyId", None, None,
    )  # fmt: skip


def test_times_have_the_digits_of_a_java_instant_and_keys_of_a_map_stay():
    shape = service_model("s3").operation_model("HeadObject").output_shape
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    shown = from_response(shape, {"LastModified": moment, "Metadata": {"lower": "x"}})
    assert shown == {"LastModified": "2026-01-02T03:04:05Z", "Metadata": {"lower": "x"}}
    assert from_response(None, moment.replace(microsecond=120_000)) == "2026-01-02T03:04:05.120Z"
    assert from_response(None, moment.replace(microsecond=120_001)) == "2026-01-02T03:04:05.120001Z"


def test_the_integrations_of_messages_name_errors_as_the_older_sdk_does(states):  # noqa: F811
    """Recorded 2025-11-06: SNS's publish to no topic, EventBridge's malformed detail."""
    topic = "arn:aws:sns:us-east-1:000000000000:nobody"
    publish = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sns:publish",
        "Parameters": {"TopicArn": topic, "Message": "m"},
    }
    ended = run(states, one(publish))
    assert ended["error"] == "SNS.NotFoundException"
    assert "(Service: AmazonSNS; Status Code: 404; Error Code: NotFound; Request ID: " in ended["cause"]
    entry = {"Detail": "no JSON", "DetailType": "t", "Source": "s"}
    put = {"Type": "Task", "Resource": "arn:aws:states:::events:putEvents", "Parameters": {"Entries": [entry]}}
    ended = run(states, one(put))
    assert ended["error"] == "EventBridge.FailedEntry", ended
    assert json.loads(ended["cause"])["Entries"][0]["ErrorCode"] == "MalformedDetail"


def test_a_token_that_never_was_one_is_invalid(states):  # noqa: F811
    """Recorded 2025-11-06: `test_sfn_send_task_outcome_with_no_such_token`."""
    ended = run(states, task("sfn:sendTaskSuccess", {"Output": "ParameterOutput", "TaskToken": "NoSuchTaskToken"}))
    assert ended["error"] == "Sfn.InvalidTokenException"
    assert ended["cause"].startswith("Invalid Token: 'Invalid token' (Service: Sfn, Status Code: 400, Request ID: ")
    assert ended["cause"].endswith(") (SDK Attempt Count: 1)")
