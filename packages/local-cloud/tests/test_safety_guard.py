"""Nobody reaches the cloud but holders of its own keys on this machine; and it reaches nobody."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import requests
from botocore.exceptions import ClientError


def _code(call, **arguments) -> str:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response["Error"]["Code"]


def test_the_account_is_the_local_one(cloud):
    identity = cloud.client("sts").get_caller_identity()
    assert identity["Account"] == "000000000000"


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("s3", "list_buckets", "InvalidAccessKeyId"),
        ("ssm", "describe_parameters", "UnrecognizedClientException"),
        ("sagemaker", "list_training_jobs", "UnrecognizedClientException"),
        ("cloudformation", "list_stacks", "InvalidClientTokenId"),
    ],
)
def test_an_unknown_access_key_is_refused(cloud, service, operation, code):
    stranger = cloud.client(service, aws_access_key_id="AKIAIOSFODNN7EXAMPLE")
    assert _code(getattr(stranger, operation)) == code


def test_a_known_key_with_a_wrong_secret_is_refused(cloud):
    thief = cloud.client("sts", aws_secret_access_key="guessed")
    assert _code(thief.get_caller_identity) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("host", ["evil.example", "169.254.169.254", "127.0.0.1.evil.example", "[::1]", ""])
def test_a_foreign_host_header_is_refused(cloud, host):
    assert requests.get(f"{cloud.endpoint}/_local/health", headers={"Host": host}, timeout=60).status_code in (
        400,
        403,
    )


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_web_page_is_refused(cloud, headers):
    answer = requests.get(f"{cloud.endpoint}/_local/health", headers=headers, timeout=60)
    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["/moto-api/", "/moto-api/reset", "/", "/latest/meta-data/", "/some-bucket/key"])
def test_unsigned_requests_are_refused(cloud, path):
    assert requests.get(cloud.endpoint + path, timeout=60).status_code == 403
    assert requests.post(cloud.endpoint + path, timeout=60).status_code == 403


def test_shutdown_needs_a_key(cloud):
    assert requests.post(f"{cloud.endpoint}/_local/shutdown", timeout=60).status_code == 403
    assert requests.get(f"{cloud.endpoint}/_local/health", timeout=60).json()["status"] == "ready"


def test_keys_minted_by_its_own_sts_and_iam_work(cloud):
    iam = cloud.client("iam")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName="visitor", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    minted = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    visitor = cloud.client(
        "sts",
        aws_access_key_id=minted["AccessKeyId"],
        aws_secret_access_key=minted["SecretAccessKey"],
        aws_session_token=minted["SessionToken"],
    )
    assert visitor.get_caller_identity()["Arn"].endswith(":assumed-role/visitor/session")
    iam.create_user(UserName="person")
    key = iam.create_access_key(UserName="person")["AccessKey"]
    person = cloud.client("sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    assert person.get_caller_identity()["Arn"].endswith(":user/person")
    iam.delete_access_key(UserName="person", AccessKeyId=key["AccessKeyId"])
    assert _code(person.get_caller_identity) == "InvalidClientTokenId"


def test_services_and_operations_that_do_not_exist_here_are_refused_by_name(cloud):
    with pytest.raises(ClientError, match=r"dynamodb.*coverage"):
        cloud.client("dynamodb").list_tables()
    with pytest.raises(ClientError, match="sts:GetSessionToken"):
        cloud.client("sts").get_session_token()
    with pytest.raises(ClientError, match=r"ecr:CreatePullThroughCacheRule.*coverage"):
        cloud.client("ecr").create_pull_through_cache_rule(ecrRepositoryPrefix="ab", upstreamRegistryUrl="x")


def test_the_process_connects_to_loopback_only():
    script = (
        "from local_cloud.environment import isolate; isolate('us-east-1')\n"
        "import os, socket\n"
        "assert 'AWS_PROFILE' not in os.environ and 'HTTPS_PROXY' not in os.environ\n"
        "socket.create_connection(('192.0.2.1', 443), timeout=1)"
    )
    environment = {"AWS_PROFILE": "production", "HTTPS_PROXY": "http://192.0.2.2:1", "PATH": "/usr/bin:/bin"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert "PermissionError" in run.stderr and "192.0.2.1" in run.stderr


def test_every_path_of_the_state_directory_is_private(cloud):
    assert cloud.state.stat().st_mode & 0o077 == 0
    assert (cloud.state / "cloud.json").stat().st_mode & 0o077 == 0
