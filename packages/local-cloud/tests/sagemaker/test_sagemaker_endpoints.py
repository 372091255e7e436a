"""Endpoints: healthy before they serve, updated without a gap, many models behind one, errors as AWS gives them."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from local_cloud.testing import wait_until
from tests.sagemaker.platform import INSTANCE, new_name


@pytest.fixture(scope="module")
def endpoint(platform):
    return platform.endpoint(platform.model("first"))


def refused(call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    return error.value.response


def test_an_endpoint_answers_and_names_its_variant(platform, endpoint):
    answer = platform.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"photo", Accept="application/x-array")
    assert answer["Body"].read() == b"first:photo"
    assert answer["ContentType"] == "application/x-array" and answer["InvokedProductionVariant"] == "AllTraffic"
    described = platform.api.describe_endpoint(EndpointName=endpoint)
    assert (
        described["EndpointStatus"] == "InService" and described["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    )


@pytest.mark.parametrize(("body", "status", "message"), [(b"fail", 500, "it broke"), (b"refuse", 415, "not a photo")])
def test_an_error_of_the_model_is_a_model_error(platform, endpoint, body, status, message):
    response = refused(platform.runtime.invoke_endpoint, EndpointName=endpoint, Body=body)
    assert response["Error"]["Code"] == "ModelError" and response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["OriginalStatusCode"] == status and response["OriginalMessage"] == message
    assert f"/aws/sagemaker/Endpoints/{endpoint}" in response["LogStreamArn"]


def test_a_body_over_the_limit_is_refused(platform, endpoint):
    response = refused(platform.runtime.invoke_endpoint, EndpointName=endpoint, Body=b"x" * 6_291_457)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 413 and "6291456" in str(response)
    assert platform.invoke(endpoint, b"x" * 6_291_456).startswith("first:")


def test_what_is_not_there_is_not_found(platform, endpoint):
    assert (
        refused(platform.runtime.invoke_endpoint, EndpointName="nobody", Body=b"")["Error"]["Code"] == "ValidationError"
    )
    assert refused(platform.runtime.invoke_endpoint, EndpointName=endpoint, Body=b"", TargetVariant="B")["Error"][
        "Code"
    ] == ("ValidationError")
    assert (
        "not a multi-model"
        in refused(platform.runtime.invoke_endpoint, EndpointName=endpoint, Body=b"", TargetModel="x.tar.gz")["Error"][
            "Message"
        ]
    )
    for call in (platform.api.describe_endpoint, platform.api.delete_endpoint):
        error = refused(call, EndpointName="nobody")["Error"]
        assert error["Code"] == "ValidationException" and "Could not find endpoint" in error["Message"]
    error = refused(platform.api.create_endpoint, EndpointName="x", EndpointConfigName="nobody")["Error"]
    assert "Could not find endpoint configuration" in error["Message"]


def test_a_container_that_dies_is_started_again(platform):
    name = platform.endpoint(platform.model("phoenix"))
    assert refused(platform.runtime.invoke_endpoint, EndpointName=name, Body=b"die")["Error"]["Code"] == "ModelError"

    def answers():
        try:
            return platform.invoke(name) == "phoenix:hello"
        except ClientError:
            return False

    wait_until(answers, 120, "a restarted container")


def test_an_update_serves_without_a_gap(platform):
    name = platform.endpoint(platform.model("old"))
    config = platform.endpoint_config(platform.model("new"))
    seen, done = [], threading.Event()

    def caller():
        while not done.is_set():
            seen.append(platform.invoke(name))

    thread = threading.Thread(target=caller)
    thread.start()
    try:
        platform.api.update_endpoint(EndpointName=name, EndpointConfigName=config)
        platform.settled(name)
        wait_until(lambda: "new:hello" in seen, 120, "an answer of the new model")
    finally:
        done.set()
        thread.join()
    assert set(seen) == {"old:hello", "new:hello"}
    assert seen == sorted(seen, reverse=True)
    assert platform.api.describe_endpoint(EndpointName=name)["EndpointConfigName"] == config


def test_an_answer_that_is_under_way_when_an_endpoint_is_updated_still_comes_from_the_old_model(platform):
    name = platform.endpoint(platform.model("old"))
    config = platform.endpoint_config(platform.model("new"))
    with socket.create_server(("127.0.0.1", 0)) as gate, ThreadPoolExecutor(1) as pool:
        words = f"wait:{gate.getsockname()[1]}"
        answer = pool.submit(platform.invoke, name, words.encode())
        with gate.accept()[0]:
            platform.api.update_endpoint(EndpointName=name, EndpointConfigName=config)
            platform.settled(name)
            assert platform.invoke(name) == "new:hello"
        assert answer.result() == f"old:{words}"


def test_a_failed_update_leaves_the_old_model_serving(platform):
    name = platform.endpoint(platform.model("steady"))
    broken = platform.endpoint_config(platform.model("broken", Environment={"BREAK": "1"}))
    platform.api.update_endpoint(EndpointName=name, EndpointConfigName=broken)
    described = platform.settled(name)
    assert described["EndpointStatus"] == "InService" and described["EndpointConfigName"] != broken
    assert "this server cannot start" in described["FailureReason"]
    assert platform.invoke(name) == "steady:hello"


def test_a_model_that_cannot_start_fails_its_endpoint(platform):
    name = platform.endpoint(platform.model("broken", Environment={"BREAK": "1"}))
    described = platform.api.describe_endpoint(EndpointName=name)
    assert (
        described["EndpointStatus"] == "Failed" and "did not pass the ping health check" in described["FailureReason"]
    )
    assert "this server cannot start" in described["FailureReason"]


def test_a_deleted_endpoint_is_gone(platform):
    name = platform.endpoint(platform.model("short"))
    platform.api.delete_endpoint(EndpointName=name)

    def gone():
        return name not in [e["EndpointName"] for e in platform.api.list_endpoints(NameContains=name)["Endpoints"]]

    wait_until(gone, 120, "a deleted endpoint")
    assert refused(platform.runtime.invoke_endpoint, EndpointName=name, Body=b"")["Error"]["Code"] == "ValidationError"


def test_variants_share_traffic_by_weight(platform):
    config, name = new_name("config"), new_name("endpoint")
    variants = [
        {"VariantName": letter, "ModelName": platform.model(letter), "InstanceType": INSTANCE, "InitialInstanceCount": 1,
         "InitialVariantWeight": weight}
        for letter, weight in (("A", 1), ("B", 0))
    ]  # fmt: skip
    platform.api.create_endpoint_config(EndpointConfigName=config, ProductionVariants=variants)
    platform.api.create_endpoint(EndpointName=name, EndpointConfigName=config)
    platform.settled(name)
    assert {platform.invoke(name) for _ in range(10)} == {"A:hello"}
    assert platform.invoke(name, TargetVariant="B") == "B:hello"
    platform.api.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[
            {"VariantName": "A", "DesiredWeight": 0},
            {"VariantName": "B", "DesiredWeight": 1},
        ],
    )
    assert {platform.invoke(name) for _ in range(10)} == {"B:hello"}


def test_many_models_share_one_container(platform):
    prefix = new_name("many")
    for text in ("ant", "bee", "cat"):
        platform.model_archive(f"{prefix}/{text}/model.tar.gz", text)
    model = platform.model(Mode="MultiModel", ModelDataUrl=platform.uri(f"{prefix}/"))
    name = platform.endpoint(model)
    assert platform.invoke(name, TargetModel="ant/model.tar.gz") == "ant of 1"
    assert platform.invoke(name, TargetModel="bee/model.tar.gz") == "bee of 2"
    # The container has room for two: the least recently used one makes room.
    assert platform.invoke(name, TargetModel="cat/model.tar.gz") == "cat of 2"
    assert platform.invoke(name, TargetModel="ant/model.tar.gz") == "ant of 2"
    response = refused(platform.runtime.invoke_endpoint, EndpointName=name, Body=b"", TargetModel="dog/model.tar.gz")
    assert response["Error"]["Code"] == "ValidationError" and "dog/model.tar.gz" in response["Error"]["Message"]
    assert "TargetModel" in refused(platform.runtime.invoke_endpoint, EndpointName=name, Body=b"")["Error"]["Message"]
    # An overwritten model is noticed within seconds.
    platform.model_archive(f"{prefix}/ant/model.tar.gz", "wasp")
    wait_until(lambda: platform.invoke(name, TargetModel="ant/model.tar.gz") == "wasp of 2", 120, "the new model")


@pytest.mark.parametrize(
    ("container", "text"),
    [
        ({"Image": "000000000000.dkr.ecr.us-east-1.amazonaws.com/nothing:1"}, "nothing:1"),
        ({"ModelDataUrl": "s3://nowhere-at-all/model.tar.gz"}, "Could not find model data"),
        ({"Mode": "MultiModel", "ModelDataUrl": "s3://b/no-slash"}, "ends with '/'"),
    ],
)
def test_a_model_that_could_not_run_is_refused(platform, container, text):
    with pytest.raises(ClientError, match=text):
        platform.model(**container)


def test_configurations_without_a_local_counterpart_are_refused_by_name(platform):
    variant = {"VariantName": "v", "ModelName": platform.model("x")}
    serverless = variant | {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}
    instance = variant | {"InstanceType": INSTANCE, "InitialInstanceCount": 1}
    asynchronous = {"OutputConfig": {"S3OutputPath": "s3://b/x"}}
    create = platform.api.create_endpoint_config
    assert (
        "ServerlessConfig"
        in refused(create, EndpointConfigName="s", ProductionVariants=[serverless])["Error"]["Message"]
    )
    assert (
        "AsyncInferenceConfig"
        in refused(create, EndpointConfigName="a", ProductionVariants=[instance], AsyncInferenceConfig=asynchronous)[
            "Error"
        ]["Message"]
    )


def test_the_archive_of_a_model_cannot_leave_its_folder(platform, tmp_path):
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        member = tarfile.TarInfo("../../../../escaped.txt")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    url = platform.put("models/evil.tar.gz", out.getvalue())
    name = platform.endpoint(platform.model(ModelDataUrl=url))
    described = platform.api.describe_endpoint(EndpointName=name)
    assert described["EndpointStatus"] == "Failed" and "leads out of the folder" in described["FailureReason"]
