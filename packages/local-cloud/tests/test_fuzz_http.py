"""A short attack of the fuzzer on a cloud that others use meanwhile; `make fuzz-cloud` is the long one."""

from __future__ import annotations

import json
import re

import pytest
import requests
from botocore.exceptions import ClientError

from local_cloud.testing import wait_until
from tests.fuzz import PYTHON, Fuzzer, answer_to, attack, broken_rule

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
    assert requests.get(f"{cloud.endpoint}/_local/health", timeout=60).json()["status"] == "ready"
    assert s3.get_object(Bucket="beside-fuzz", Key="key")["Body"].read() == b"content"


def test_the_fuzzer_sends_requests_that_reach_the_services(cloud):
    said = cloud.description
    fuzzer = Fuzzer(cloud.endpoint, said["access_key_id"], said["secret_access_key"], cloud.region, seed=1)
    answers = [answer_to(fuzzer.host, fuzzer.request()) for _ in range(600)]
    assert sum(answer.startswith(b"HTTP/1.1 200") for answer in answers) > 5
    assert sum(b"SignatureDoesNotMatch" in a or b"InvalidSignature" in a for a in answers) < 200


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


DEEP = ["[" * 100_000, '{"a":' * 50_000, "{a: " * 20_000]
MACHINE = '{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}'
DEFINITIONS = [*DEEP, "null", "[]", "NaN", '{"StartAt": 1, "States": []}', '{"StartAt": "A", "States": {"A": null}}',
               '{"StartAt": "A", "States": {"A": {"Type": []}}}', '"\\ud800"']  # fmt: skip
INPUTS = [DEEP[0], "NaN", '"\\ud800"', "1" * 5000, "{"]
ALIASES = "\n".join([
    "Metadata:", " a: &a [x, x]",
    *(f" {n}: &{n} [{', '.join([f'*{m}'] * 9)}]" for m, n in zip("abcdefgh", "bcdefghi", strict=True)),
    "Resources: {A: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: x}}}",
])  # fmt: skip


def _template(value: object = "x", **sections: object) -> str:
    properties = {"Type": "String", "Value": value}
    return json.dumps({"Resources": {"A": {"Type": "AWS::SSM::Parameter", "Properties": properties}}, **sections})


TEMPLATES = [
    *DEEP, ALIASES, "null", ":", "\0", "!!python/object:os.system x", "Resources: 5", "Resources: {A: {Type: 5}}",
    _template(Parameters=5), _template(Outputs=5), _template({"Fn::Sub": 5}),
    _template({"Ref": "P"}, Parameters={"P": {"Type": "Number", "MinValue": "x", "Default": "5"}}),
    _template({"Ref": "P"}, Parameters={"P": {"Type": "String", "AllowedPattern": "(", "Default": "5"}}),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(TEMPLATES)))
def test_a_template_that_is_none_is_refused_at_once(cloud, number):
    with pytest.raises(ClientError) as refused:
        cloud.client("cloudformation").create_stack(StackName=f"fuzz-{number}", TemplateBody=TEMPLATES[number])
    _is_a_refusal(refused.value)


@pytest.mark.parametrize("number", range(len(DEFINITIONS)))
def test_a_definition_that_is_none_is_refused(cloud, number):
    with pytest.raises(ClientError) as refused:
        cloud.client("stepfunctions").create_state_machine(
            name=f"fuzz-{number}", definition=DEFINITIONS[number], roleArn="arn:aws:iam::000000000000:role/fuzz"
        )
    _is_a_refusal(refused.value)


def test_an_input_that_is_no_json_is_refused(cloud):
    states = cloud.client("stepfunctions")
    machine = states.create_state_machine(
        name="fuzz-in", definition=MACHINE, roleArn="arn:aws:iam::000000000000:role/fuzz"
    )
    for given in INPUTS:
        with pytest.raises(ClientError) as refused:
            states.start_execution(stateMachineArn=machine["stateMachineArn"], input=given)
        assert refused.value.response["Error"]["Code"] == "InvalidExecutionInput"
        _is_a_refusal(refused.value)


@pytest.mark.parametrize(
    "properties",
    [
        {"Type": "String", "Value": {"Fn::Select": ["abc", ["a"]]}},
        {"Type": "String", "Value": {"Fn::Join": 5}},
        {"Type": "String", "Value": {"Fn::GetAtt": "x"}},
    ],
)
def test_a_function_of_the_wrong_form_is_refused_without_words_of_python(cloud, properties):
    stacks = cloud.client("cloudformation")
    resources = {"A": {"Type": "AWS::SSM::Parameter", "Properties": properties}}
    with pytest.raises(ClientError) as refused:
        stacks.create_stack(StackName="fuzz-function", TemplateBody=json.dumps({"Resources": resources}))
    assert "Template error" in str(refused.value) and not re.search(r"invalid literal|unpack", str(refused.value))
    _is_a_refusal(refused.value)


def test_why_a_resource_failed_is_told_without_words_of_python(cloud):
    stacks, name = cloud.client("cloudformation"), "fuzz-reason"
    resources = {"A": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "Nothing", "Value": "x"}}}
    stacks.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    wait_until(lambda: stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE", 120)
    reasons = [e.get("ResourceStatusReason", "") for e in stacks.describe_stack_events(StackName=name)["StackEvents"]]
    assert any(reasons) and not re.search(r"invalid literal|unpack|object is not|Error:", "".join(reasons))


def _is_a_refusal(error: ClientError) -> None:
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert not PYTHON.search(str(error.response).encode())
