"""Each role may do what its job does, and nothing else."""

from __future__ import annotations

import fnmatch
import json
import re

import pytest

from tests.infra.conftest import resolve
from tests.infra.pipeline_run import SAMPLE, Account

# Actions that AWS accepts with "*" only, and the condition that bounds them where there is one.
WITHOUT_RESOURCE = {
    "ecr:GetAuthorizationToken": None,
    "cloudwatch:PutMetricData": "cloudwatch:namespace",
    "ec2:DescribeDhcpOptions": None, "ec2:DescribeNetworkInterfaces": None, "ec2:DescribeSecurityGroups": None,
    "ec2:DescribeSubnets": None, "ec2:DescribeVpcs": None,
    "logs:CreateLogDelivery": None, "logs:GetLogDelivery": None, "logs:UpdateLogDelivery": None,
    "logs:DeleteLogDelivery": None, "logs:ListLogDeliveries": None, "logs:PutResourcePolicy": None,
    "logs:DescribeResourcePolicies": None, "logs:DescribeLogGroups": None,
    "xray:PutTraceSegments": None, "xray:PutTelemetryRecords": None, "xray:GetSamplingRules": None,
    "xray:GetSamplingTargets": None,
}  # fmt: skip
STEPS = {
    "Prepare dataset": "RolesPrepare", "Train best model": "RolesTraining", "Check training health": "RolesEvaluation",
    "Evaluate predictions": "RolesEvaluation", "Explain with Clarify": "RolesAnalysis",
    "Measure bias": "RolesAnalysis", "Write report": "RolesReport",
}  # fmt: skip


def statements(synthesis, role: str) -> list[dict]:
    """All statements of one role's policies, tokens resolved."""
    found = []
    for policy in synthesis.resources("Pipeline", "AWS::IAM::Policy").values():
        (attached,) = policy["Properties"]["Roles"]
        if re.sub(r"[0-9A-F]{8}$", "", attached["Ref"]) == role:
            found += resolve(policy["Properties"]["PolicyDocument"]["Statement"])
    assert found, f"no role {role}"
    return found


def as_list(value) -> list[str]:
    return value if isinstance(value, list) else [value]


def resources_of(synthesis, role: str, action: str) -> list[str]:
    return [
        resource
        for statement in statements(synthesis, role)
        if action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]


def folders(resources: list[str]) -> set[str]:
    """`photos` of `…artifacts…/executions/*/photos/*`; other prefixes as they are."""
    return {resource.split("/", 1)[1].removeprefix("executions/*/").removesuffix("/*") for resource in resources}


def test_training_role_reads_only_what_prepare_made_for_it(default):
    assert folders(resources_of(default, "RolesTraining", "s3:GetObject")) == {
        "photos", "features", "weights", "checkpoints", "tuning",
    }  # fmt: skip
    assert folders(resources_of(default, "RolesTraining", "s3:PutObject")) == {"training", "tuning", "checkpoints"}


def test_managed_rules_run_with_the_training_role_and_in_images_of_aws(full):
    assert {"debugger", "profiler"} <= folders(resources_of(full, "RolesTraining", "s3:PutObject"))
    assert any("sagemaker-debugger-rules" in name for name in resources_of(full, "RolesTraining", "ecr:BatchGetImage"))
    assert "rules" in folders(resources_of(full, "RolesEvaluation", "s3:GetObject"))


def test_training_role_never_reads_the_users_data_or_test_photos(default):
    readable = resources_of(default, "RolesTraining", "s3:GetObject")
    assert permitted("s3://artifacts/executions/run-1/photos/pack", readable)
    assert not permitted("s3://artifacts/executions/run-1/test/a.jpg", readable)
    assert not permitted("s3://artifacts/executions/run-1/transform/a.out", readable)
    assert not permitted("s3://data/datasets/photos.zip", readable)


def test_prepare_role_reads_data_sets_and_writes_its_folders(default):
    assert folders(resources_of(default, "RolesPrepare", "s3:PutObject")) == {
        "plan", "prepared", "photos", "features", "weights", "test", "explain", "feature-cache",
    }  # fmt: skip


def test_prepare_role_reads_another_bucket_only_when_told(default, full):
    other = "arn:aws:s3:::someone-elses-bucket/photos/*"
    assert other in resources_of(full, "RolesPrepare", "s3:GetObject")
    assert other not in resources_of(default, "RolesPrepare", "s3:GetObject")


def test_analysis_role_makes_and_deletes_shadow_endpoints_but_no_lasting_one(default):
    for action in ("sagemaker:CreateEndpoint", "sagemaker:InvokeEndpoint", "sagemaker:DeleteEndpoint"):
        names = [name for name in resources_of(default, "RolesAnalysis", action) if ":endpoint/" in name]
        (pattern,) = (name.split(":endpoint/")[1] for name in names)
        assert fnmatch.fnmatchcase("darkroom-dev-0a1b2c3d-model-explain", pattern)
        for lasting in ("darkroom-dev-cpu", "darkroom-dev-gpu", "darkroom-dev-multi-model"):
            assert not fnmatch.fnmatchcase(lasting, pattern)


def test_the_log_group_of_a_shadow_endpoint_is_made_with_an_end_by_the_job_that_makes_the_endpoint(default, full):
    """SageMaker would make one without retention, by the rights of the model's role; late lines would make a deleted one again."""
    shadow, lasting = "darkroom-dev-0a1b2c3d-model-explain-1", "darkroom-dev-cpu"
    for action in ("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:DeleteLogGroup"):
        groups = [one for one in resources_of(default, "RolesAnalysis", action) if "/Endpoints/" in one]
        (pattern,) = (one.split("/Endpoints/")[1] for one in groups)
        assert fnmatch.fnmatchcase(shadow, pattern) and not fnmatch.fnmatchcase(lasting, pattern)
    assert not [one for one in resources_of(default, "RolesModel", "logs:CreateLogGroup") if "/Endpoints/" in one]
    for step in ("Explain with Clarify", "Measure bias"):
        given = Account(default.definition).run(SAMPLE).requests[step]
        assert given["Environment"] == {"SHADOW_ENDPOINT_LOG_DAYS": "90"}
    # AWS's own image makes no group.
    assert [one for one in resources_of(full, "RolesModel", "logs:CreateLogGroup") if "/Endpoints/" in one]


@pytest.mark.parametrize("step", sorted(STEPS))
def test_each_jobs_role_may_read_its_inputs_and_write_its_outputs(default, step):
    request = Account(default.definition).run(SAMPLE).requests[step]
    assert request["RoleArn"].split("/")[1].startswith(STEPS[step])
    readable = resources_of(default, STEPS[step], "s3:GetObject")
    writable = resources_of(default, STEPS[step], "s3:PutObject")
    read = [i["S3Input"]["S3Uri"] for i in request.get("ProcessingInputs", [])] + [
        channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in request.get("InputDataConfig", [])
    ]
    wrote = [o["S3Output"]["S3Uri"] for o in request.get("ProcessingOutputConfig", {}).get("Outputs", [])]
    if "OutputDataConfig" in request:
        wrote += [request["OutputDataConfig"]["S3OutputPath"], request["CheckpointConfig"]["S3Uri"] + "/"]
    for uri in (uri for uri in read if not uri.startswith("s3://data/")):
        assert permitted(uri + "x", readable), uri
    for uri in wrote:
        assert permitted(uri + "x", writable), uri


def permitted(uri: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(uri.replace("s3://", "arn:aws:s3:::"), pattern) for pattern in patterns)


def test_roles_assume_only_for_this_account(default):
    for name, role in default.resources("Pipeline", "AWS::IAM::Role").items():
        (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}, name
        assert "ManagedPolicyArns" not in role["Properties"], name


@pytest.mark.parametrize("settings", ["default", "full"])
def test_no_policy_is_wider_than_it_says(request, settings):
    synthesis = request.getfixturevalue(settings)
    for stack in synthesis.templates:
        for name, policy in synthesis.resources(stack, "AWS::IAM::Policy").items():
            for statement in resolve(policy["Properties"]["PolicyDocument"]["Statement"]):
                actions = as_list(statement["Action"])
                assert not [a for a in actions if "*" in a], name
                if "*" in as_list(statement["Resource"]):
                    assert set(actions) <= set(WITHOUT_RESOURCE), name
                    for condition in filter(None, (WITHOUT_RESOURCE[action] for action in actions)):
                        assert condition in next(iter(statement["Condition"].values()))


def test_the_state_machine_passes_exactly_the_jobs_roles_to_sagemaker_only(default):
    (statement,) = (s for s in statements(default, "MachineRole") if as_list(s["Action"]) == ["iam:PassRole"])
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    passed = {re.sub(r".*/|[0-9A-F]{8}$", "", arn) for arn in statement["Resource"]}
    assert passed == {
        "RolesPrepare", "RolesTraining", "RolesEvaluation", "RolesAnalysis", "RolesModel", "RolesReport",
    }  # fmt: skip


def test_the_state_machine_may_make_every_call_that_its_states_make(default):
    allowed = {action for statement in statements(default, "MachineRole") for action in as_list(statement["Action"])}
    needed = set()
    for state in default.definition["States"].values():
        if state["Type"] == "Task":
            service, action = state["Resource"].rsplit(":::", 1)[1].removeprefix("aws-sdk:").split(":")
            action = action.removesuffix(".sync")
            # Copying an object is a read and a write for IAM, listing has the name of the first version.
            other = {"copyObject": ["GetObject", "PutObject"], "listObjectsV2": ["ListBucket"]}
            names = other.get(action, [action[0].upper() + action[1:]])
            needed |= {f"{service}:{name}" for name in names}
            if state["Resource"].endswith(".sync"):
                kind = action.removeprefix("create")
                needed |= {f"sagemaker:Describe{kind}", f"sagemaker:Stop{kind}"}
    assert needed <= allowed
    assert {a for a in allowed if a.startswith(("s3:", "sagemaker:", "ssm:"))} - needed == {
        "sagemaker:AddTags", "sagemaker:ListTags",
    }  # fmt: skip


def test_the_state_machine_reads_and_writes_the_objects_of_its_states_only(default):
    requests = Account(default.definition).run(SAMPLE).requests
    for state in (
        "Save input",
        "Read plan",
        "Save outcome",
        "Read evaluation",
        "Keep model",
        "Publish",
        "Publish fixed name",
        "Keep evaluation",
    ):
        action = "s3:GetObject" if state.startswith("Read") else "s3:PutObject"
        allowed = resources_of(default, "MachineRole", action)
        assert permitted(f"s3://{requests[state]['Bucket']}/{requests[state]['Key']}", allowed), state
    assert not permitted(
        "s3://artifacts/executions/run-1/photos/a", resources_of(default, "MachineRole", "s3:GetObject")
    )


def test_roles_use_the_network_only_when_there_is_one_and_never_name_the_key(default, full):
    def actions(synthesis):
        return {a for s in statements(synthesis, "RolesTraining") for a in as_list(s["Action"])}

    assert "ec2:CreateNetworkInterface" in actions(full)
    assert not [action for action in actions(default) if action.startswith("ec2:")]
    # The key's own policy lets them in: test_updates.py.
    assert not [action for one in (default, full) for action in actions(one) if action.startswith("kms:")]


@pytest.mark.parametrize("role", ["RolesPrepare", "RolesTraining", "RolesReport", "RolesModel"])
def test_a_folder_may_be_listed_with_and_without_its_last_slash(default, role):
    """SageMaker does not say how it asks."""
    for statement in statements(default, role):
        if as_list(statement["Action"]) == ["s3:ListBucket"]:
            prefixes = as_list(statement["Condition"]["StringLike"]["s3:prefix"])
            for folder in (one.removesuffix("/*") for one in prefixes if one.endswith("/*")):
                assert folder in prefixes
                assert not any(fnmatch.fnmatchcase(folder.replace("*", "x") + "-other", one) for one in prefixes)


def test_the_state_machine_may_look_up_the_image_that_it_registers(default):
    repositories = resources_of(default, "MachineRole", "ecr:DescribeImages")
    assert len(repositories) == 1
    assert ":repository/cdk-" in repositories[0]


# What AWS writes into the role of a state machine that waits for such a job:
# https://docs.aws.amazon.com/step-functions/latest/dg/connect-sagemaker.html
WATCHED_BY = {
    "sagemaker:createProcessingJob": "SageMakerProcessingJobs",
    "sagemaker:createTrainingJob": "SageMakerTrainingJobs",
    "sagemaker:createHyperParameterTuningJob": "SageMakerTuningJobs",
    "sagemaker:createTransformJob": "SageMakerTransformJobs",
    "states:startExecution": "StepFunctionsExecution",
}


def tasks(states: dict) -> list[dict]:
    """Every Task state, also those of maps and branches."""
    found = []
    for state in states.values():
        found += [state] if state["Type"] == "Task" else []
        inner = [state[key] for key in ("ItemProcessor", "Iterator") if key in state] + state.get("Branches", [])
        found += [task for machine in inner for task in tasks(machine["States"])]
    return found


@pytest.mark.parametrize("settings", ["default", "full"])
@pytest.mark.parametrize("stack", ["Pipeline", "Comparison"])
def test_a_state_machine_that_waits_for_a_job_may_make_the_rule_that_watches_it(request, settings, stack):
    """Without these three rights AWS refuses every `.sync` state, whatever else its role may do."""
    synthesis = request.getfixturevalue(settings)
    (machine,) = synthesis.resources(stack, "AWS::StepFunctions::StateMachine").values()
    (role,) = machine["Properties"]["RoleArn"]["Fn::GetAtt"][:1]
    policies = [
        policy["Properties"]
        for policy in synthesis.resources(stack, "AWS::IAM::Policy").values()
        if {"Ref": role} in policy["Properties"]["Roles"]
    ]
    rights = [one for policy in policies for one in resolve(policy["PolicyDocument"]["Statement"])]
    definition = json.loads(resolve(machine["Properties"]["DefinitionString"]))
    waited_for = {
        re.sub(r"\.sync(:2)?$", "", task["Resource"].rsplit(":::", 1)[1])
        for task in tasks(definition["States"])
        if ".sync" in task["Resource"]
    }
    assert {"sagemaker:createProcessingJob", "sagemaker:createTrainingJob"} <= waited_for
    for call in waited_for:
        rule = f"arn:aws:events:us-east-1:000000000000:rule/StepFunctionsGetEventsFor{WATCHED_BY[call]}Rule"
        for action in ("events:PutTargets", "events:PutRule", "events:DescribeRule"):
            assert any(
                action in as_list(one["Action"]) and rule in as_list(one["Resource"]) for one in rights
            ), (call, action)  # fmt: skip
