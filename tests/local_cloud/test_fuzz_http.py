"""A short attack of the fuzzer on a cloud that others use meanwhile; `make fuzz-cloud` is the long one."""

from __future__ import annotations

import pytest
import requests

from tests.local_cloud.fuzz import Fuzzer, answer_to, attack, broken_rule

REQUESTS = 2000


@pytest.mark.slow
def test_whatever_a_client_sends_the_answer_is_no_500_and_holds_no_word_of_python(cloud):
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="fuzz")
    s3.put_object(Bucket="fuzz", Key="key", Body=b"content")
    s3.create_bucket(Bucket="beside-fuzz")
    s3.put_object(Bucket="beside-fuzz", Key="key", Body=b"content")
    said = cloud.description
    fuzzer = Fuzzer(cloud.endpoint, said["access_key_id"], said["secret_access_key"], cloud.region, seed=20261125)
    broken = [f"{sent.what}: {why}\n{sent.raw[:500]!r}" for sent, why in attack(fuzzer, REQUESTS)]
    assert not broken, "\n\n".join(broken)
    assert requests.get(f"{cloud.endpoint}/_darkroom/health", timeout=10).json()["status"] == "ready"
    assert s3.get_object(Bucket="beside-fuzz", Key="key")["Body"].read() == b"content"


def test_the_fuzzer_sends_requests_that_reach_the_services(cloud):
    said = cloud.description
    fuzzer = Fuzzer(cloud.endpoint, said["access_key_id"], said["secret_access_key"], cloud.region, seed=1)
    answers = [answer_to(fuzzer.host, fuzzer.request()) for _ in range(150)]
    assert sum(answer.startswith(b"HTTP/1.1 200") for answer in answers) > 3
    assert sum(b"SignatureDoesNotMatch" in a or b"InvalidSignature" in a for a in answers) < 50


@pytest.mark.parametrize(
    ("answer", "breaks"),
    [
        (b"HTTP/1.1 500 x\r\n\r\n", True),
        (b"HTTP/1.1 501 x\r\n\r\n", False),
        (b"HTTP/1.1 400 x\r\n\r\nKeyError: 'a'", True),
        (b"HTTP/1.1 400 x\r\n\r\nValidationError", False),
        (b"HTTP/1.1 200 x\r\n\r\nwhat a KeyError is", False),
        (b"nonsense", True),
        (b"", False),
    ],
)
def test_the_rule_knows_a_broken_answer(answer, breaks):
    assert (broken_rule(answer) is not None) == breaks
