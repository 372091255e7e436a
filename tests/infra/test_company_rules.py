"""What a company's review asks of every deployment: one key for everything, no network where none is needed, its own rules for roles."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from contract.instances import InstanceTypes, has_own_disks
from contract.names import Names
from darkroom import weights
from darkroom.terminal import console
from tests.infra.api import problems, service
from tests.infra.conftest import resolve
from tests.infra.pipeline_run import SAMPLE, Account
from tests.infra.test_comparison import states_of

KEY = {"Ref": "KeyArn"}
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/darkroom:training"
# Jobs that call AWS themselves: caches in S3, the shadow endpoint, histories. All others only work on their files.
WITH_NETWORK = {"Prepare dataset", "Explain with Clarify", "Write report"}


def requests_of(synthesis) -> dict[str, dict]:
    """By state: each job, search, transform and model that an execution starts, both ways to tune."""
    single = Account(synthesis.definition).run({**SAMPLE, "tuning": {"mode": "single_job"}}).requests
    return {
        state: request
        for state, request in {**Account(synthesis.definition).run(SAMPLE).requests, **single}.items()
        if ":createTransform" not in state
        and {"RoleArn", "TransformResources", "ExecutionRoleArn", "TrainingJobDefinition"} & request.keys()
    }


@pytest.fixture(scope="module")
def encrypted(synthesize):
    return synthesize(encryption="kms")


def members_named(shape: str, suffix: str) -> set[str]:
    """Every member of a request, however deep, that takes a key: from AWS's own model."""
    found: set[str] = set()

    def walk(one, seen: tuple[str, ...]) -> None:
        if one.name in seen:
            return
        if one.type_name == "structure":
            for name, member in one.members.items():
                if name.endswith(suffix) and member.type_name == "string":
                    found.add(f"{one.name}.{name}")
                walk(member, (*seen, one.name))
        elif one.type_name == "list":
            walk(one.member, (*seen, one.name))

    walk(service("sagemaker").shape_for(shape), ())
    return found


def test_every_request_gives_the_key_wherever_aws_takes_one(encrypted):
    """What a request may encrypt, AWS's model says; what ours leave out is not used by them."""
    unused = {"S3Output.KmsKeyId", "AthenaDatasetDefinition.KmsKeyId", "RedshiftDatasetDefinition.KmsKeyId",
              # One of several ways to say where trials run, and a channel's own: ours have neither.
              "HyperParameterTuningResourceConfig.VolumeKmsKeyId", "BatchDataCaptureConfig.KmsKeyId",
              "ServerlessJobConfig.KmsKeyId"}  # fmt: skip
    text = {name: json.dumps(request) for name, request in requests_of(encrypted).items()}
    for state, shape in (
        ("Prepare dataset", "CreateProcessingJobRequest"), ("Write report", "CreateProcessingJobRequest"),
        ("Train best model", "CreateTrainingJobRequest"), ("Tune hyperparameters", "CreateHyperParameterTuningJobRequest"),
        ("Tune in one job", "CreateTrainingJobRequest"), ("Batch transform", "CreateTransformJobRequest"),
    ):  # fmt: skip
        wanted = {one.partition(".")[2] for one in members_named(shape, "KmsKeyId") - unused}
        assert wanted, shape
        for field in wanted:
            assert f'"{field}": "keyarn"' in text[state], (state, field)


def test_without_a_key_of_our_own_nothing_names_one(default):
    assert "KmsKeyId" not in json.dumps([requests_of(default), default.templates])


def test_every_log_group_and_endpoint_is_encrypted_with_the_key(full):
    groups = [
        group for stack in full.templates for group in full.resources(stack, "AWS::Logs::LogGroup").values()
    ]  # fmt: skip
    assert len(groups) == 8
    assert all(group["Properties"]["KmsKeyId"] == KEY for group in groups)
    configs = full.resources("Endpoints", "AWS::SageMaker::EndpointConfig")
    keys = {name: config["Properties"].get("KmsKeyId") for name, config in configs.items()}
    # A GPU machine brings its disk, and SageMaker refuses a key for that.
    assert keys == {"CpuEndpointConfig": KEY, "MultiModelEndpointConfig": KEY, "GpuEndpointConfig": None}


def test_no_stack_imports_the_key_since_an_export_in_use_could_not_be_removed(full):
    exported = [
        name
        for output in full.templates["Storage"]["Outputs"].values()
        if (name := output.get("Export", {}).get("Name"))
    ]
    assert exported and not [name for name in exported if "Key" in name.partition("Arn")[0].rpartition("GetAtt")[2][:3]]
    for stack in ("Pipeline", "Endpoints", "Comparison"):
        assert full.templates[stack]["Parameters"]["KeyArn"] == {
            "Type": "AWS::SSM::Parameter::Value<String>", "Default": "/darkroom/full/key-arn",
        }  # fmt: skip


def test_the_key_lets_in_roles_of_this_deployment_volumes_by_grant_and_the_logs_of_its_groups(full):
    (key,) = full.resources("Storage", "AWS::KMS::Key").values()
    said = {one.get("Sid"): one for one in resolve(key["Properties"]["KeyPolicy"]["Statement"])}
    grant, logs = said["VolumesOfThisDeployment"], said["LogsOfThisDeployment"]
    assert grant["Action"] == "kms:CreateGrant"
    assert grant["Condition"]["Bool"] == {"kms:GrantIsForAWSResource": "true"}
    assert grant["Condition"]["StringEquals"] == said["RolesOfThisDeployment"]["Condition"]["StringEquals"]
    assert logs["Principal"] == {"Service": "logs.us-east-1.amazonaws.com"}
    groups = logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    assert all("*" not in one.rpartition("log-group:")[2].removesuffix("-*") for one in groups)


@pytest.mark.parametrize(
    ("type", "own"),
    [("ml.m5.xlarge", False), ("ml.c5.2xlarge", False), ("ml.t2.medium", False), ("ml.p3.2xlarge", False), ("ml.g4dn.xlarge", True),
     ("ml.g5.xlarge", True), ("ml.g6.xlarge", True), ("ml.m5d.large", True), ("ml.p4d.24xlarge", True), ("ml.p4de.24xlarge", True),
     ("ml.p5.48xlarge", True), ("ml.r6id.large", True), ("ml.inf1.xlarge", False), ("ml.m7i.xlarge", False)],
)  # fmt: skip
def test_machines_that_bring_disks_are_known(type, own):
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/InstanceStorage.html"""
    assert has_own_disks(type) is own


def test_an_execution_on_a_machine_whose_volume_the_key_cannot_encrypt_is_refused_before_anything_starts(
    encrypted, default
):
    wanted = {**SAMPLE, "instances": {"training": "ml.g5.xlarge"}}
    outcome = Account(encrypted.definition).run(wanted)
    assert (outcome.status, outcome.error) == ("FAILED", "InvalidExecutionInput")
    assert "instances.training" in outcome.cause and "without disks of their own" in outcome.cause
    assert not outcome.requests
    assert (
        Account(encrypted.definition).run({**SAMPLE, "instances": {"training": "ml.c5.4xlarge"}}).status == "SUCCEEDED"
    )
    assert Account(default.definition).run(wanted).status == "SUCCEEDED"


def test_a_deployment_for_machines_with_disks_leaves_their_key_out_and_refuses_others(synthesize):
    definition = synthesize(**{"encryption": "kms", "instances.training": "ml.g5.xlarge"}).definition
    outcome = Account(definition).run(SAMPLE)
    assert outcome.status == "SUCCEEDED"
    assert "VolumeKmsKeyId" not in outcome.requests["Train best model"]["ResourceConfig"]
    assert "VolumeKmsKeyId" in outcome.requests["Prepare dataset"]["ProcessingResources"]["ClusterConfig"]
    refused = Account(definition).run({**SAMPLE, "instances": {"training": "ml.m5.xlarge"}})
    assert refused.status == "FAILED" and "with disks of their own" in refused.cause


def test_what_only_works_on_its_files_has_no_network(default):
    found = requests_of(default)
    assert len(found) >= 10
    for state, request in found.items():
        if "ModelName" in request and "TransformInput" in request:
            continue  # the model says it
        settings = request.get("NetworkConfig") or request.get("TrainingJobDefinition") or request
        assert settings["EnableNetworkIsolation"] is (state not in WITH_NETWORK), state


def test_jobs_that_need_a_network_are_those_whose_roles_call_more_than_s3_can_bring(default):
    """An isolated job has no credentials: nothing it needs may be left to its own calls."""
    for state, request in requests_of(default).items():
        if state not in WITH_NETWORK:
            assert "Environment" not in request or all("URI" not in name for name in request["Environment"]), state


def test_isolation_can_be_switched_off_as_a_whole(synthesize):
    off = synthesize(**{"network.isolation": "false", "network.encrypt_between_machines": "false"})
    text = json.dumps([requests_of(off), off.templates["Endpoints"]])
    assert '"EnableNetworkIsolation": true' not in text
    assert '"EnableInterContainerTrafficEncryption": true' not in text


def test_machines_of_one_job_talk_encrypted(default):
    for state, request in requests_of(default).items():
        if "ProcessingJobName" in request or "AlgorithmSpecification" in request or "TrainingJobDefinition" in request:
            settings = request.get("NetworkConfig") or request.get("TrainingJobDefinition") or request
            assert settings["EnableInterContainerTrafficEncryption"] is True, state


def test_models_of_endpoints_have_no_network_but_the_multi_model_one(full):
    isolated = {
        name: model["Properties"]["EnableNetworkIsolation"]
        for name, model in full.resources("Endpoints", "AWS::SageMaker::Model").items()
    }
    assert isolated == {"CpuModel": True, "GpuModel": True, "MultiModelModel": False}


def test_every_role_has_the_companys_path_prefix_and_boundary(full, default):
    roles = {
        name: role["Properties"]
        for stack in full.templates
        for name, role in full.resources(stack, "AWS::IAM::Role").items()
    }
    assert len(roles) >= 12
    for name, role in roles.items():
        assert role["Path"] == "/vision/", name
        assert role["RoleName"].startswith("acme-darkroom-full-") and len(role["RoleName"]) <= 64, name
        assert resolve(role["PermissionsBoundary"]).endswith(":policy/no-more-than-this"), name
    assert len({role["RoleName"] for role in roles.values()}) == len(roles)
    for stack in default.templates:
        for role in default.resources(stack, "AWS::IAM::Role").values():
            assert not {"Path", "RoleName", "PermissionsBoundary"} & role["Properties"].keys()


@pytest.mark.parametrize("settings", ["default", "full"])
def test_every_vpc_request_names_the_subnets_given_and_no_other(request, settings):
    synthesis = request.getfixturevalue(settings)
    subnets = set(synthesis.darkroom.settings.network.subnets)
    states = states_of(synthesis.definition)
    named = json.dumps(states)
    assert ("subnet-" in named) is bool(subnets)


def test_the_default_machines_bring_no_disks():
    """Or a deployment with a key could not encrypt their volumes."""
    assert not [type for type in vars(InstanceTypes()).values() if has_own_disks(type)]


def test_a_subnet_that_another_account_shares_is_named_as_its_arn_is(full):
    """In a landing zone the network's account owns the subnet: an ARN with our own account would deny every job."""
    statements = [
        statement
        for stack in ("Pipeline", "Comparison")
        for policy in full.resources(stack, "AWS::IAM::Policy").values()
        for statement in resolve(policy["Properties"]["PolicyDocument"]["Statement"])
        if "ec2:CreateNetworkInterface" in json.dumps(statement["Action"]).replace('"', " ").split()
    ]
    assert len(statements) >= 10
    for statement in statements:
        subnets = [one for one in statement["Resource"] if ":subnet/" in one]
        assert subnets == ["arn:aws:ec2:us-east-1:*:subnet/subnet-0a1b2c3d"]


def test_the_job_that_weights_add_starts_has_the_deployments_network_key_volume_and_tags(full):
    (said,) = [
        resolve(one["Properties"]["Value"])
        for one in full.resources("Pipeline", "AWS::SSM::Parameter").values()
        if one["Properties"]["Name"].endswith("/weights-job")
    ]
    asked: list[dict] = []
    sagemaker = SimpleNamespace(
        create_processing_job=lambda **request: asked.append(request),
        describe_processing_job=lambda **_: {"ProcessingJobStatus": "Completed"},
    )
    parameters = {
        "weights-job": said, "artifacts-bucket": "artifacts-of-full", "images/training": IMAGE, "images/training-torch": IMAGE,
        "weights-role-arn": "arn:aws:iam::000000000000:role/weights",
    }  # fmt: skip
    target = SimpleNamespace(
        parameters=parameters,
        parameter=parameters.__getitem__,
        names=Names(environment="full"),
        client=lambda _: sagemaker,
    )
    assert weights.fetch(target, "resnet18", console()) == "s3://artifacts-of-full/weights/resnet18/"
    (request,) = asked
    assert problems("arn:aws:states:::sagemaker:createProcessingJob", request) == []
    assert request["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == "keyarn"
    assert request["ProcessingOutputConfig"]["KmsKeyId"] == "keyarn"
    assert request["NetworkConfig"]["VpcConfig"]["Subnets"] == ["subnet-0a1b2c3d"]
    assert {"Key": "cost-center", "Value": "42"} in request["Tags"]
    # A deployment of an earlier version has no such parameter.
    del parameters["weights-job"]
    assert weights.fetch(target, "resnet18", console())
    assert "NetworkConfig" not in asked[1]
