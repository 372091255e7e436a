"""The HTTP side: connections stay open, bodies wait for 100 Continue, faults say what to do."""

from __future__ import annotations

import http.client
import socket

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from botocore.session import get_session


def signed(cloud, method: str, path: str, service: str, body: bytes = b"", **headers: str) -> dict[str, str]:
    request = AWSRequest(method, cloud.endpoint + path, headers=headers, data=body)
    request.headers["Host"] = cloud.endpoint.removeprefix("http://")
    keys = Credentials(cloud.description["access_key_id"], cloud.description["secret_access_key"])
    SigV4Auth(keys, service, cloud.region).add_auth(request)
    return dict(request.headers)


def test_one_connection_serves_many_requests(cloud):
    connection = http.client.HTTPConnection("127.0.0.1", cloud.description["port"], timeout=60)
    for _ in range(3):
        connection.request("GET", "/_local/health")
        answer = connection.getresponse()
        assert answer.status == 200 and b"ready" in answer.read()
        assert answer.getheader("Connection", "").lower() != "close"
    connection.close()


def test_a_body_is_asked_for_with_100_continue(cloud):
    cloud.client("s3").create_bucket(Bucket="continued")
    headers = signed(cloud, "PUT", "/continued/key", "s3", b"hello", **{"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    lines = [f"{name}: {value}" for name, value in {**headers, "Content-Length": "5", "Expect": "100-continue"}.items()]
    with socket.create_connection(("127.0.0.1", cloud.description["port"]), timeout=60) as raw:
        raw.sendall("\r\n".join(["PUT /continued/key HTTP/1.1", *lines, "", ""]).encode())
        assert raw.recv(64).startswith(b"HTTP/1.1 100")
        raw.sendall(b"hello")
        assert b" 200 " in raw.recv(512)
    assert cloud.client("s3").get_object(Bucket="continued", Key="key")["Body"].read() == b"hello"


def test_packed_bodies_are_unpacked(cloud):
    cloudwatch = cloud.client("cloudwatch")
    data = [
        {"MetricName": f"metric-{i}", "Value": i, "Dimensions": [{"Name": "d", "Value": "v" * 50}]} for i in range(200)
    ]
    cloudwatch.put_metric_data(Namespace="packed", MetricData=data)
    assert len(cloudwatch.list_metrics(Namespace="packed")["Metrics"]) == 200


def test_a_signed_shutdown_stops_the_cloud(own_cloud):
    own_cloud.start()
    headers = signed(own_cloud, "POST", "/_local/shutdown", "sts")
    assert requests.post(f"{own_cloud.endpoint}/_local/shutdown", headers=headers, timeout=60).status_code == 200
    assert own_cloud.process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "code", "words"),
    [
        (
            "sagemaker",
            "create_model",
            {"ModelName": "-bad-"},
            "ValidationException",
            "at 'modelName' failed to satisfy",
        ),
        ("stepfunctions", "start_execution", {}, "ValidationException", "'stateMachineArn'.*must not be null"),
        ("ecr", "create_repository", {"repositoryName": "UPPER"}, "ValidationException", "repositoryName"),
        (
            "logs",
            "put_retention_policy",
            {"logGroupName": "g" * 600, "retentionInDays": 1},
            "ValidationException",
            "512",
        ),
        (
            "ssm",
            "put_parameter",
            {"Name": "/a", "Value": "v", "Type": "Number"},
            "ValidationException",
            "enum value set",
        ),
        ("sagemaker", "create_app", {"DomainId": "d-1", "AppType": "JupyterServer", "AppName": "a"}, None, "CreateApp"),
    ],
)
def test_what_aws_rejects_is_rejected_with_its_words(cloud, service, operation, arguments, code, words):
    from botocore.config import Config

    client = cloud.client(service, config=Config(parameter_validation=False))
    with pytest.raises(ClientError, match=words) as refused:
        getattr(client, operation)(**arguments)
    assert code in (None, refused.value.response["Error"]["Code"])


@pytest.mark.parametrize(("service", "operation"), [
    ("ec2", "describe_vpcs"), ("autoscaling", "describe_auto_scaling_groups"), ("dynamodb", "list_tables"),
    ("apigateway", "get_rest_apis"), ("cloudfront", "list_distributions"), ("cloudhsmv2", "describe_clusters"),
    ("elbv2", "describe_load_balancers"), ("route53", "list_hosted_zones"), ("sesv2", "list_contact_lists"),
])  # fmt: skip
def test_a_service_that_is_not_offered_is_refused_in_its_own_protocol(cloud, service, operation):
    with pytest.raises(ClientError) as refused:
        getattr(cloud.client(service), operation)()
    assert refused.value.response["Error"]["Code"] == "UnknownService"
    assert "The local cloud has no service" in refused.value.response["Error"]["Message"]


@pytest.mark.parametrize(("protocol", "path", "headers", "body"), [
    ("smithy-rpc-v2-cbor", "/service/GraniteServiceVersion20100801/operation/ListMetrics", {"smithy-protocol": "rpc-v2-cbor"}, b""),
    ("json", "/", {"x-amz-target": "GraniteServiceVersion20100801.ListMetrics"}, b"{}"),
    ("query", "/", {"content-type": "application/x-www-form-urlencoded"}, b"Action=ListMetrics&Version=2010-08-01"),
])  # fmt: skip
def test_a_refusal_speaks_the_protocol_of_the_request_where_a_service_has_several(cloud, protocol, path, headers, body):
    sent = signed(cloud, "POST", path, "monitoring", body, **headers)
    sent["Authorization"] = sent["Authorization"].replace(cloud.description["access_key_id"], "AKIAUNKNOWN")
    answer = requests.post(cloud.endpoint + path, data=body, headers=sent, timeout=60)
    shape = get_session().get_service_model("cloudwatch").operation_model("ListMetrics").output_shape
    raw = {"status_code": answer.status_code, "headers": answer.headers, "body": answer.content, "context": {}}
    assert create_parser(protocol).parse(raw, shape)["Error"]["Code"] == "InvalidClientTokenId"
