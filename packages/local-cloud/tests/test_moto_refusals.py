"""What AWS refuses, or does otherwise, is refused here: each line's truth is an answer that LocalStack's suite recorded from AWS.

(https://github.com/localstack/localstack at 8b9a79f05, tests/aws/services, Apache-2.0; the words are AWS's.)
"""

from __future__ import annotations

import json
import uuid
from urllib.parse import urlencode

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError


def new(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:10]}"


def refusal(call, **arguments) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture
def fifo(cloud):
    sqs = cloud.client("sqs")
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    return sqs, sqs.create_queue(QueueName=new("q") + ".fifo", Attributes=attributes)["QueueUrl"]


def bodies(sqs, url, **options) -> list[str]:
    return [message["Body"] for message in sqs.receive_message(QueueUrl=url, **options).get("Messages", [])]


def test_groups_of_a_fifo_queue_come_one_after_the_other_and_hide_while_one_message_is_in_flight(fifo):
    sqs, url = fifo
    for group, body in (("g1", "g1-m1"), ("g2", "g2-m1"), ("g1", "g1-m2"), ("g2", "g2-m2")):
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group)
    first = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=3)["Messages"]
    assert [message["Body"] for message in first] == ["g1-m1", "g1-m2", "g2-m1"]
    assert bodies(sqs, url) == [], "g2 has a message in flight"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first[2]["ReceiptHandle"])
    assert bodies(sqs, url) == ["g2-m2"]
    for message in first[:2]:
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert bodies(sqs, url, MaxNumberOfMessages=10) == ["g1-m1", "g1-m2"]


def test_a_duplicate_is_not_delivered_even_when_the_first_was_deleted(fifo):
    sqs, url = fifo
    numbers = [sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="g")["SequenceNumber"] for body in "abc"]
    assert numbers == sorted(numbers) and all(len(number) == 20 for number in numbers)
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    sqs.send_message(QueueUrl=url, MessageBody="b", MessageGroupId="g")
    assert bodies(sqs, url) == []
    sqs.purge_queue(QueueUrl=url)
    sqs.send_message(QueueUrl=url, MessageBody="b", MessageGroupId="g")
    assert bodies(sqs, url) == ["b"], "a purge forgets duplicates, too"


def test_a_receiver_that_waits_gets_the_message_when_it_comes(cloud):
    import threading

    sqs = cloud.client("sqs")
    url, found = sqs.create_queue(QueueName=new("q"))["QueueUrl"], []
    waiting = threading.Thread(target=lambda: found.extend(bodies(cloud.client("sqs"), url, WaitTimeSeconds=20)))
    waiting.start()
    sqs.send_message(QueueUrl=url, MessageBody="m")
    waiting.join(120)
    assert found == ["m"]


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ({"MessageBody": ""}, "MissingParameter", "The request must contain the parameter MessageBody."),
        ({"MessageBody": "x" * (2**20 + 1)}, "InvalidParameterValue", "Message must be shorter than 1048576 bytes."),
        ({"MessageBody": "ü" * (2**19 + 1)}, "InvalidParameterValue", "Message must be shorter than 1048576 bytes."),
        ({"MessageBody": "\ud7ff \uffff"}, "InvalidMessageContents", "#xFFFF"),
        ({"MessageBody": "m", "MessageGroupId": "group 123"}, "InvalidParameterValue", "1 to 128 in length."),
        (
            {"MessageBody": "m", "MessageAttributes": {"a": {"DataType": "String", "StringValue": ""}}},
            "InvalidParameterValue",
            "Message (user) attribute 'a' must contain a non-empty value of type 'String'.",
        ),
    ],
    ids=["empty", "long", "long in bytes", "no character", "group", "empty attribute"],
)
def test_a_message_that_sqs_refuses_is_refused(cloud, message, code, words):
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=new("q"))["QueueUrl"]
    found = refusal(sqs.send_message, QueueUrl=url, **message)
    assert found[0] == code and words in found[1]
    assert bodies(sqs, url) == []


def test_what_a_queue_cannot_be_or_become_is_refused(cloud, fifo):
    sqs, name = cloud.client("sqs"), new("q")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    different = "A queue already exists with the same name and a different value for attribute DelaySeconds"
    assert refusal(sqs.create_queue, QueueName=name, Attributes={"DelaySeconds": "2"})[1] == different
    assert sqs.create_queue(QueueName=name, Attributes={"DelaySeconds": "0"})["QueueUrl"] == url
    assert refusal(sqs.create_queue, QueueName=new("q") + ".fifo")[0] == "InvalidParameterValue"
    only = {"ContentBasedDeduplication": "true"}
    unknown = ("InvalidAttributeName", "Unknown Attribute ContentBasedDeduplication.")
    assert refusal(sqs.create_queue, QueueName=new("q"), Attributes=only) == unknown
    assert refusal(sqs.set_queue_attributes, QueueUrl=url, Attributes=only) == unknown
    handle = refusal(sqs.delete_message, QueueUrl=url, ReceiptHandle="garbage")
    assert handle == ("ReceiptHandleIsInvalid", 'The input receipt handle "garbage" is not a valid receipt handle.')
    entries = [{"Id": str(number), "ReceiptHandle": chr(97 + number) * 185} for number in range(20)]
    assert "You have sent 20" in refusal(sqs.delete_message_batch, QueueUrl=url, Entries=entries)[1]


def test_the_older_protocol_is_understood_as_a_form_and_as_a_query_at_the_queue(cloud):
    url = cloud.client("sqs").create_queue(QueueName=new("q"))["QueueUrl"]
    keys = Credentials(cloud.description["access_key_id"], cloud.description["secret_access_key"])

    def asked(method: str, address: str, **values: str) -> tuple[int, str]:
        body, headers = urlencode(values), {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        if method == "GET":
            address, body, headers = f"{address}?{body}", "", {}
        request = AWSRequest(method, address, data=body, headers=headers)
        SigV4Auth(keys, "sqs", cloud.region).add_auth(request)
        answer = requests.request(method, address, data=body, headers=dict(request.headers), timeout=60)
        return answer.status_code, answer.text

    for method, sent in (("POST", "by-form"), ("GET", "by-query")):
        assert asked(method, url, Action="SendMessage", MessageBody=sent)[0] == 200
        status, text = asked(method, url, Action="ReceiveMessage")
        assert status == 200 and "<ReceiveMessageResponse" in text and f"<Body>{sent}</Body>" in text
        assert "<ListQueuesResponse" in asked(method, f"{cloud.endpoint}/", Action="ListQueues")[1]
        assert "<Code>MissingParameter</Code>" in asked(method, url, Action="SendMessage")[1]
        for action in ("FooBar", "ListQueues"):
            status, text = asked(method, url, Action=action)
            assert status == 400 and f"<Message>The action {action} is not valid for this endpoint.</Message>" in text
    status, text = asked("GET", url)
    assert status == 404 and "UnknownOperationException" in text


def test_a_key_that_is_disabled_or_made_for_something_else_is_not_used(cloud):
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]
    secret = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"p")["CiphertextBlob"]
    assert refusal(kms.sign, KeyId=key["KeyId"], Message=b"m", SigningAlgorithm="ECDSA_SHA_256") == (
        "InvalidKeyUsageException",
        f"{key['Arn']} key usage is ENCRYPT_DECRYPT which is not valid for Sign.",
    )
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    assert refusal(kms.decrypt, CiphertextBlob=secret, KeyId=other)[0] == "IncorrectKeyException"
    again = {"CiphertextBlob": secret, "DestinationKeyId": other}
    assert refusal(kms.re_encrypt, SourceKeyId=other, **again)[0] == "IncorrectKeyException"
    assert kms.re_encrypt(SourceKeyId=key["KeyId"], **again)["SourceKeyId"] == key["Arn"]
    for stop, code in (
        (lambda: kms.disable_key(KeyId=key["KeyId"]), "DisabledException"),
        (lambda: kms.schedule_key_deletion(KeyId=key["KeyId"]), "KMSInvalidStateException"),
    ):
        stop()
        assert refusal(kms.encrypt, KeyId=key["KeyId"], Plaintext=b"p")[0] == code
        assert refusal(kms.decrypt, CiphertextBlob=secret)[0] == code
        assert refusal(kms.generate_data_key, KeyId=key["KeyId"], KeySpec="AES_256")[0] == code
        assert refusal(kms.re_encrypt, **again)[0] == code
    assert refusal(kms.schedule_key_deletion, KeyId=key["KeyId"])[0] == "KMSInvalidStateException"
    assert refusal(kms.rotate_key_on_demand, KeyId=key["KeyId"])[0] == "KMSInvalidStateException"


def test_a_wrong_signature_is_an_error_and_no_answer(cloud):
    kms = cloud.client("kms")
    key = {"KeyId": kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]}
    how = {"SigningAlgorithm": "ECDSA_SHA_256"}
    signature = kms.sign(Message=b"m", **key, **how)["Signature"]
    assert kms.verify(Message=b"m", Signature=signature, **key, **how)["SignatureValid"] is True
    assert refusal(kms.verify, Message=b"n", Signature=signature, **key, **how)[0] == "KMSInvalidSignatureException"
    short = refusal(kms.sign, Message=b"m", MessageType="DIGEST", **key, **how)
    assert short == ("ValidationException", "Digest is invalid length for algorithm ECDSA_SHA_256.")


def test_tags_of_a_key_that_aws_refuses_are_refused(cloud):
    kms = cloud.client("kms")
    tag = lambda name: {"TagKey": name, "TagValue": "v"}  # noqa: E731
    assert refusal(kms.create_key, Tags=[tag("a"), tag("a")]) == ("TagException", "Duplicate tag keys")
    assert refusal(kms.create_key, Tags=[tag("AWS:a")]) == ("TagException", "Tags beginning with aws: are reserved")
    key = kms.create_key(Tags=[tag("a")])["KeyMetadata"]["KeyId"]
    assert refusal(kms.tag_resource, KeyId=key, Tags=[tag("b"), tag("b")]) == ("TagException", "Duplicate tag keys")


@pytest.fixture
def objects(cloud):
    s3, bucket = cloud.client("s3"), new("b")
    s3.create_bucket(Bucket=bucket)
    tag = s3.put_object(Bucket=bucket, Key="there", Body=b"first")["ETag"]
    s3.put_object(Bucket=bucket, Key="source", Body=b"second")
    return s3, bucket, tag


@pytest.mark.parametrize("operation", ["put", "copy", "complete"])
def test_a_write_whose_condition_does_not_hold_changes_nothing(objects, operation):
    s3, bucket, tag = objects

    def write(key, **condition):
        if operation == "put":
            return s3.put_object(Bucket=bucket, Key=key, Body=b"other", **condition)
        if operation == "copy":
            return s3.copy_object(Bucket=bucket, Key=key, CopySource=f"{bucket}/source", **condition)
        upload = {"Bucket": bucket, "Key": key}
        upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
        part = {"ETag": s3.upload_part(PartNumber=1, Body=b"other", **upload)["ETag"], "PartNumber": 1}
        return s3.complete_multipart_upload(MultipartUpload={"Parts": [part]}, **upload, **condition)

    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"d41d8cd98f00b204e9800998ecf8427e"'}):
        assert refusal(write, key="there", **condition)[0] == "PreconditionFailed"
    assert refusal(write, key="absent", IfMatch=tag)[0] == "NoSuchKey"
    assert refusal(write, key="there", IfNoneMatch=tag)[0] == "NotImplemented"
    assert refusal(write, key="there", IfNoneMatch="*", IfMatch=tag)[0] == "NotImplemented"
    assert s3.get_object(Bucket=bucket, Key="there")["Body"].read() == b"first"
    write("there", IfMatch=tag)
    write("absent", IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="there")["Body"].read() != b"first"


@pytest.mark.parametrize("operation", ["copy", "part"])
def test_what_is_copied_is_what_was_meant(objects, operation):
    s3, bucket, _ = objects
    s3.put_object(Bucket=bucket, Key="source", Body=b"s" * 100)
    head = s3.head_object(Bucket=bucket, Key="source")

    def copy(**condition):
        given = {"Bucket": bucket, "Key": "there", "CopySource": f"{bucket}/source", **condition}
        if operation == "copy":
            return s3.copy_object(**given)
        upload = s3.create_multipart_upload(Bucket=bucket, Key="there")["UploadId"]
        return s3.upload_part_copy(UploadId=upload, PartNumber=1, **given)

    for condition in (
        {"CopySourceIfMatch": "other"},
        {"CopySourceIfNoneMatch": head["ETag"]},
        {"CopySourceIfUnmodifiedSince": "Tue, 01 Jan 2019 00:00:00 GMT"},
        {"CopySourceIfModifiedSince": head["LastModified"]},
    ):
        assert refusal(copy, **condition)[0] == "PreconditionFailed", condition
    assert s3.get_object(Bucket=bucket, Key="there")["Body"].read() == b"first"
    assert copy(CopySourceIfMatch=head["ETag"], CopySourceIfUnmodifiedSince="Tue, 01 Jan 2019 00:00:00 GMT")


def test_the_type_of_a_checksum_is_said_wherever_the_checksum_is(objects):
    s3, bucket, _ = objects
    s3.put_object(Bucket=bucket, Key="summed", Body=b"s", ChecksumAlgorithm="SHA256")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="summed")["Contents"]
    assert [(each["ChecksumAlgorithm"], each["ChecksumType"]) for each in listed] == [(["SHA256"], "FULL_OBJECT")]
    asked = s3.get_object_attributes(Bucket=bucket, Key="summed", ObjectAttributes=["Checksum"])["Checksum"]
    assert asked["ChecksumType"] == "FULL_OBJECT"
    tagged = s3.put_object(Bucket=bucket, Key="summed", Body=b"s", ChecksumAlgorithm="SHA256", Tagging="a=b")
    assert tagged["ChecksumType"] == "FULL_OBJECT"
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/summed")["CopyObjectResult"]
    assert (copied["ChecksumSHA256"], copied["ChecksumType"]) == (tagged["ChecksumSHA256"], "FULL_OBJECT")


def test_a_key_of_the_request_is_refused_since_the_object_would_be_given_to_whoever_has_none(objects):
    s3, bucket, _ = objects
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    code, words = refusal(s3.put_object, Bucket=bucket, Key="secret", Body=b"s", **key)
    assert code == "NotImplemented" and "SSE-C" in words
    assert refusal(s3.get_object, Bucket=bucket, Key="secret")[0] == "NoSuchKey"


EVENT = {"id": "1", "source": "s", "detail-type": "t", "account": "1", "region": "r", "time": "2022-07-13T13:48:01Z"}


def test_an_event_without_resources_can_be_tested(cloud):
    events = cloud.client("events")
    tested = lambda event: events.test_event_pattern(Event=json.dumps(event), EventPattern='{"source": ["s"]}')  # noqa: E731
    assert tested(EVENT)["Result"] is True
    without = {name: value for name, value in EVENT.items() if name != "time"}
    assert refusal(tested, event=without) == ("ValidationException", "Parameter Event is not valid.")


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"numeric": [">", 0, ">", 0]}, "Bad numeric range operator: >"),
        ({"numeric": [">", 0, "<"]}, "Value of < must be numeric"),
        ({"numeric": 10}, "Value of numeric must be an array."),
        ({"wildcard": "*:*:*:*:*:event-bus/*"}, "Rule is too complex"),
        ({"wildcard": "arn:aws:events:us-east-1:**:event-bus/*"}, "Consecutive wildcard characters at pos "),
        ({"wildcard": 123}, "wildcard match pattern must be a string"),
        ({"equals-ignore-case": ["a"]}, "equals-ignore-case match pattern must be a string"),
        ({"prefix": 123}, "prefix match pattern must be a string"),
        ({"cidr": "bad-filter"}, "Malformed CIDR, one '/' required"),
        ({"cidr": "bad-/64filter"}, "Malformed CIDR, mask bits must be an integer"),
        ({"cidr": "xx.11.xx/8"}, "Nonstandard IP address: xx.11.xx"),
        ({"anything-but": None}, "Value of anything-but must be an array or single string/number value."),
        ({"anything-but": ["a", None]}, "Inside anything but list, start|null|boolean is not supported."),
        ({"anything-but": {"prefix": ""}}, "Null prefix/suffix not allowed"),
        ({"anything-but": {"suffix": [1, "a"]}}, "prefix/suffix match pattern must be a string"),
        ({"anything-but": {"equals-ignore-case": 1}}, "Inside anything-but/equals-ignore-case list"),
    ],
)
def test_a_pattern_is_refused_in_the_words_of_eventbridge(wanted, reason):
    from local_cloud.errors import AwsError
    from local_cloud.events import pattern

    with pytest.raises(AwsError) as refused:
        pattern.parsed(json.dumps({"detail": {"state": [wanted]}}))
    assert refused.value.code == "InvalidEventPatternException"
    assert refused.value.message.startswith(f"Event pattern is not valid. Reason: {reason}")
