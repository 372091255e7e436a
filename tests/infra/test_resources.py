"""Storage, images, registry and endpoints: what is deployed, construct by construct."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import sys
import time

import pytest

from tests.infra.api import service
from tests.infra.conftest import FLAGS, ROOT, resolve


def buckets(synthesis) -> dict[str, dict]:
    return {
        name[:-8]: bucket["Properties"] | {"DeletionPolicy": bucket["DeletionPolicy"]}
        for name, bucket in synthesis.resources("Storage", "AWS::S3::Bucket").items()
    }


def test_every_bucket_is_private_encrypted_and_its_own(default):
    found = buckets(default)
    assert set(found) == {"AccessLogs", "Data", "Artifacts", "Models"}
    for bucket in found.values():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_every_bucket_refuses_requests_without_tls(default):
    policies = default.resources("Storage", "AWS::S3::BucketPolicy").values()
    assert len(policies) == 4
    for policy in policies:
        denied = [s for s in policy["Properties"]["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert denied[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_data_and_models_keep_versions_and_artifacts_expire(default):
    found = buckets(default)
    assert (
        found["Data"]["VersioningConfiguration"] == found["Models"]["VersioningConfiguration"] == {"Status": "Enabled"}
    )
    assert "VersioningConfiguration" not in found["Artifacts"]
    expiring = {
        rule["Prefix"]: rule["ExpirationInDays"]
        for rule in found["Artifacts"]["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    }
    assert expiring == {"executions/": 90, "comparisons/": 365, "feature-cache/": 30}
    assert not [r for r in found["Models"]["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in r]


def test_what_is_retained_is_a_setting(default, full):
    assert {bucket["DeletionPolicy"] for bucket in buckets(default).values()} == {"Delete"}
    assert {bucket["DeletionPolicy"] for bucket in buckets(full).values()} == {"Retain"}


def test_a_key_of_our_own_encrypts_all_but_the_access_logs(full):
    (key,) = full.resources("Storage", "AWS::KMS::Key").values()
    assert key["Properties"]["EnableKeyRotation"] is True
    for name, bucket in buckets(full).items():
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        algorithm = rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"]
        assert algorithm == ("AES256" if name == "AccessLogs" else "aws:kms")


def test_a_user_finds_names_in_parameters(default):
    names = {
        resource["Properties"]["Name"].removeprefix("/darkroom/dev/"): resource.get("Condition")
        for stack in ("Storage", "Images", "Pipeline", "Endpoints")
        for resource in default.resources(stack, "AWS::SSM::Parameter").values()
    }
    assert names == {
        "data-bucket": None, "artifacts-bucket": None, "models-bucket": None, "state-machine-arn": None,
        "model-package-group": None, "weights-role-arn": None, "weights-job": None, "no-model": None,
        "images/training": None, "images/training-torch": None, "images/analysis": None, "images/inference": None, "endpoints": None,
        "cpu-endpoint": "ModelIsApproved", "multi-model-endpoint": "ModelIsApproved",
    }  # fmt: skip


def test_everything_that_can_be_tagged_is(default):
    (machine,) = default.resources("Pipeline", "AWS::StepFunctions::StateMachine").values()
    tags = {tag["Key"]: tag["Value"] for tag in machine["Properties"]["Tags"]}
    assert tags == {"darkroom:project": "darkroom", "darkroom:environment": "dev"}


def test_stacks_wait_for_what_they_use(default):
    waits = {stack.stack_name: {other.stack_name for other in stack.dependencies} for stack in default.darkroom.stacks}
    assert waits["Darkroom-Storage"] == waits["Darkroom-Images"] == set()
    assert waits["Darkroom-Pipeline"] == {"Darkroom-Storage", "Darkroom-Images"}
    assert waits["Darkroom-Endpoints"] >= {"Darkroom-Pipeline", "Darkroom-Images"}


def test_no_image_is_exported_because_exports_in_use_cannot_change(default):
    exports = [output.get("Export", {}).get("Name") for output in default.templates["Images"]["Outputs"].values()]
    assert not any(exports)


# Endpoints


def endpoint_names(synthesis) -> set[str]:
    return {
        e["Properties"]["EndpointName"] for e in synthesis.resources("Endpoints", "AWS::SageMaker::Endpoint").values()
    }


def test_endpoints_exist_only_once_a_model_is_approved(default):
    template = default.templates["Endpoints"]
    parameter = template["Parameters"]["ApprovedModelPackage"]
    assert parameter == {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/darkroom/dev/no-model"}
    assert template["Conditions"]["ModelIsApproved"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "ApprovedModelPackage"}, "none"]}]
    }
    unconditional = [r["Type"] for r in template["Resources"].values() if r.get("Condition") != "ModelIsApproved"]
    # Log groups cost nothing while they are empty.
    assert unconditional == ["AWS::Logs::LogGroup"] * 3 + ["AWS::SSM::Parameter"]


def test_before_the_first_approval_endpoints_read_a_parameter_that_says_none(default):
    values = {
        p["Properties"]["Name"]: p["Properties"]["Value"]
        for p in default.resources("Pipeline", "AWS::SSM::Parameter").values()
    }
    assert values["/darkroom/dev/no-model"] == "none"


@pytest.mark.parametrize("settings", ["default", "full"])
def test_the_endpoints_stack_can_be_told_to_serve_what_is_approved(request, settings):
    synthesis = request.getfixturevalue(settings)
    assert set(synthesis.darkroom.settings.names.served) <= set(synthesis.templates["Endpoints"]["Parameters"])


@pytest.mark.parametrize("settings", ["default", "full"])
def test_no_template_owns_a_parameter_that_a_state_machine_may_write(request, settings):
    """An update of the stack, or `cdk deploy --revert-drift`, would take back what was written."""
    synthesis = request.getfixturevalue(settings)
    owned = [
        parameter["Properties"]["Name"]
        for stack in synthesis.templates
        for parameter in synthesis.resources(stack, "AWS::SSM::Parameter").values()
    ]
    writable = [
        resource.partition(":parameter")[2]
        for stack in synthesis.templates
        for policy in synthesis.resources(stack, "AWS::IAM::Policy").values()
        for statement in resolve(policy["Properties"]["PolicyDocument"]["Statement"])
        if "ssm:PutParameter" in statement["Action"]
        for resource in ([statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"])
    ]
    # With everything on, approval is manual: that machine publishes nothing, and may write none.
    assert len(writable) == {"default": 4, "full": 0}[settings]
    assert len(owned) > 10
    assert [(name, pattern) for name in owned for pattern in writable if fnmatch.fnmatchcase(name, pattern)] == []


def test_each_endpoint_has_its_switch(default, full, synthesize):
    assert endpoint_names(default) == {"darkroom-dev-cpu", "darkroom-dev-multi-model"}
    assert endpoint_names(full) == {"darkroom-full-cpu", "darkroom-full-multi-model", "darkroom-full-gpu"}
    off = synthesize(**{"endpoints.cpu.enabled": "false", "endpoints.multi_model.enabled": "false"})
    assert endpoint_names(off) == set()
    assert off.resources("Endpoints", "AWS::SSM::Parameter")


def test_a_new_model_makes_a_new_configuration_and_keeps_the_endpoint(default):
    """Models and configurations cannot be changed: a name of their own would make every update fail."""
    for kind in ("AWS::SageMaker::Model", "AWS::SageMaker::EndpointConfig"):
        for resource in default.resources("Endpoints", kind).values():
            assert not {"ModelName", "EndpointConfigName"} & set(resource["Properties"])


def test_the_three_kinds_of_endpoint_serve_what_they_should(full):
    containers = {
        name: model["Properties"]["PrimaryContainer"]
        for name, model in full.resources("Endpoints", "AWS::SageMaker::Model").items()
    }
    assert containers["CpuModel"] == {"ModelPackageName": {"Ref": "ApprovedModelPackage"}}
    assert containers["MultiModelModel"]["Mode"] == "MultiModel"
    assert json.dumps(containers["MultiModelModel"]["ModelDataUrl"]).endswith('"/multi-model/"]]}')
    assert containers["GpuModel"]["ModelDataUrl"] == {"Ref": "ApprovedModelData"}
    assert containers["GpuModel"]["Image"] == {"Ref": "InferenceGpuImage"}


def test_the_machine_of_the_gpu_endpoint_has_the_driver_that_the_image_needs(full):
    configs = full.resources("Endpoints", "AWS::SageMaker::EndpointConfig")
    images = {
        name: config["Properties"]["ProductionVariants"][0].get("InferenceAmiVersion")
        for name, config in configs.items()
    }
    known = service("sagemaker").shape_for("ProductionVariantInferenceAmiVersion").enum
    assert images.pop("GpuEndpointConfig") == "al2023-ami-sagemaker-inference-gpu-4-1"
    assert "al2023-ami-sagemaker-inference-gpu-4-1" in known
    assert set(images.values()) == {None}  # an image for GPUs is refused on machines without one
    requirements = (ROOT / "inference_code" / "requirements-gpu.txt").read_text()
    # That image is for CUDA 13: other wheels would need another one.
    assert re.search(r"^nvidia-cuda-runtime==13\.", requirements, re.MULTILINE)


@pytest.mark.parametrize("room", ["training_code", "inference_code"])
def test_an_image_that_may_run_on_a_gpu_asks_for_driver_and_devices(room):
    text = (ROOT / room / "Dockerfile").read_text()
    assert "NVIDIA_VISIBLE_DEVICES=all" in text
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in text


def test_endpoints_take_the_deployed_images_so_that_their_stack_can_be_deployed_alone(full):
    parameters = full.templates["Endpoints"]["Parameters"]
    assert parameters["InferenceImage"]["Default"] == "/darkroom/full/images/inference"
    assert parameters["InferenceGpuImage"]["Default"] == "/darkroom/full/images/inference-gpu"
    assert "dkr.ecr" not in json.dumps(full.templates["Endpoints"])


def test_endpoint_logs_expire(default):
    groups = default.resources("Endpoints", "AWS::Logs::LogGroup").values()
    assert {group["Properties"]["RetentionInDays"] for group in groups} == {90}


# Images


def hashes(synthesis) -> dict[str, str]:
    manifest = json.loads((synthesis.directory / "Darkroom-Images.assets.json").read_text())
    return {asset["source"]["dockerFile"].split("_")[0]: name for name, asset in manifest["dockerImages"].items()}


@pytest.mark.parametrize(
    ("changed", "rebuilt"),
    [
        ("docs/page.md", set()),
        ("infra/settings.py", set()),
        ("README.md", set()),
        ("training_code/train.py", {"training"}),
        ("analysis_code/clarify.py", {"analysis"}),
        ("inference_code/server.py", {"inference"}),
        ("contract/decode.py", {"training", "analysis", "inference"}),
        ("training_code/__pycache__/train.cpython-311.pyc", set()),
    ],
)
def test_a_change_rebuilds_only_the_images_that_contain_it(tmp_path, repository, changed, rebuilt):
    """The hash that names an image is made from its build context alone."""
    import shutil

    from aws_cdk import App

    from infra.images import ImagesStack
    from infra.settings import Settings

    def built(root):
        app = App(analytics_reporting=False, outdir=str(tmp_path / f"{root.name}.out"), context=FLAGS)
        ImagesStack(app, "Darkroom-Images", settings=Settings(), root=root)
        manifest = (
            json.loads((tmp_path / f"{root.name}.out" / "Darkroom-Images.assets.json").read_text())
            if app.synth()
            else {}
        )
        return {asset["source"]["dockerFile"].split("_")[0]: name for name, asset in manifest["dockerImages"].items()}

    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    before = built(repository)
    path = copy / changed
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed")
    after = built(copy)
    assert {name for name in before if before[name] != after[name]} == rebuilt


def test_the_gpu_image_is_built_only_for_the_gpu_endpoint(default, full):
    assert len(default.resources("Images", "AWS::SSM::Parameter")) == 4
    manifest = json.loads((full.directory / "Darkroom-Full-Images.assets.json").read_text())
    arguments = [a["source"].get("dockerBuildArgs") for a in manifest["dockerImages"].values()]
    assert {"VARIANT": "gpu"} in arguments
    assert len(manifest["dockerImages"]) == 5


# Managed mode


def test_managed_mode_brings_awss_images_of_every_region(full):
    mappings = full.templates["Pipeline"]["Mappings"]
    assert mappings["ClarifyRegistry"]["us-east-1"]["account"] == "205585389593"
    assert mappings["DebuggerRegistry"]["eu-west-1"]["account"] == "929884845733"
    training = full.definition["States"]["Train best model"]["Parameters"]
    assert training["DebugHookConfig"]["CollectionConfigurations"][0] == {"CollectionName": "losses"}
    rules = {rule["RuleConfigurationName"] for rule in training["DebugRuleConfigurations"]}
    assert {"LossNotDecreasing", "VanishingGradient", "Overfit"} <= rules
    assert training["ProfilerConfig"]["ProfilingIntervalInMilliseconds"] == 500
    clarify = full.definition["States"]["Explain with Clarify"]["Parameters"]["AppSpecification"]
    assert clarify == {"ImageUri": "111111111111.dkr.ecr.us-east-1.amazonaws.com/sagemaker-clarify-processing:1.0"}


def test_open_mode_needs_nothing_of_debugger_or_clarify(default):
    assert "Mappings" not in default.templates["Pipeline"]
    training = default.definition["States"]["Train best model"]["Parameters"]
    assert not [key for key in training if key.startswith(("Debug", "Profiler"))]


# The app


def test_the_app_synthesizes_without_credentials_and_without_loading_the_sagemaker_sdk(tmp_path):
    """As the CDK CLI starts it: environment and context in variables, and no AWS configuration at all."""
    program = (
        "import sys, runpy; runpy.run_path('app.py', run_name='__main__'); "
        "heavy = [m for m in ('sagemaker', 'cdk_nag', 'boto3') if m in sys.modules]; "
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120,
        # HOME stays: jsii keeps the unpacked CDK below it.
        env={"PATH": f"{ROOT / '.venv/bin'}:/usr/bin:/bin", "HOME": os.environ["HOME"],
             "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
             "CDK_OUTDIR": str(tmp_path / "out"), "CDK_CONTEXT_JSON": json.dumps(FLAGS),
             "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "Darkroom-Pipeline.template.json").exists()
    assert time.monotonic() - started < 60
