"""ContinueUpdateRollback does the rest of a rollback that failed, and says so when that fails again."""

from __future__ import annotations

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from local_cloud.testing import wait_until
from tests.test_cfn_stacks import cfn, code, create, name, parameter, physical, template  # noqa: F401

ROLE = "arn:aws:iam::000000000000:role/states"


@pytest.fixture
def group(cloud) -> str:
    """A log group that no stack owns: without it, a state machine that logs to it cannot be made or changed."""
    made = f"/of-a-machine/{uuid.uuid4().hex[:8]}"
    cloud.client("logs").create_log_group(logGroupName=made)
    return made


def body(group: str, *, logs: bool, value: str, taken: str = "") -> str:
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{group}:*"
    logging = (
        {"Level": "ALL", "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": arn}}]}
        if logs
        else {"Level": "OFF"}
    )
    definition = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": value, "End": True}}})
    machine = {"RoleArn": ROLE, "DefinitionString": definition, "LoggingConfiguration": logging}
    resources = {
        "First": parameter(value),
        "Machine": {"Type": "AWS::StepFunctions::StateMachine", "DependsOn": "First", "Properties": machine},
    }
    if taken:
        resources["Taken"] = {**parameter(Name=taken), "DependsOn": "Machine"}
    return template(resources)


@pytest.fixture
def failed(cfn, cloud, name, group):  # noqa: F811
    """A stack whose update failed, and whose rollback failed too: the log group of the old template is gone."""
    taken = f"/taken/{name}"
    cloud.client("ssm").put_parameter(Name=taken, Value="by somebody else", Type="String")
    create(cfn, name, body(group, logs=True, value="old"))
    cloud.client("logs").delete_log_group(logGroupName=group)
    cfn.update_stack(StackName=name, TemplateBody=body(group, logs=False, value="new", taken=taken))
    assert ended(cfn, name)["StackStatus"] == "UPDATE_ROLLBACK_FAILED"
    return name


def ended(cfn, name: str) -> dict:  # noqa: F811
    def settled():
        stack = cfn.describe_stacks(StackName=name)["Stacks"][0]
        return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

    return wait_until(settled, 120, name)


def test_what_could_not_be_rolled_back_is_once_its_cause_is_gone(cfn, cloud, failed, group):  # noqa: F811
    cloud.client("logs").create_log_group(logGroupName=group)
    cfn.continue_update_rollback(StackName=failed)
    assert ended(cfn, failed)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    machine = cloud.client("stepfunctions").describe_state_machine(stateMachineArn=physical(cfn, failed, "Machine"))
    assert json.loads(machine["definition"])["States"]["P"]["Result"] == "old"
    assert group in str(machine["loggingConfiguration"])
    value = cloud.client("ssm").get_parameter(Name=physical(cfn, failed, "First"))["Parameter"]["Value"]
    assert value == "old"
    statuses = [event["ResourceStatus"] for event in cfn.describe_stack_events(StackName=failed)["StackEvents"]]
    assert statuses.index("UPDATE_ROLLBACK_COMPLETE") < statuses.index("UPDATE_ROLLBACK_FAILED")


def test_while_its_cause_is_there_the_rollback_fails_again_and_says_why(cfn, failed, group):  # noqa: F811
    cfn.continue_update_rollback(StackName=failed)
    stack = ended(cfn, failed)
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_FAILED"
    assert "Machine" in stack["StackStatusReason"]


def test_after_it_the_stack_can_be_updated_again(cfn, cloud, failed, group):  # noqa: F811
    assert (
        code(cfn.update_stack, StackName=failed, TemplateBody=body(group, logs=False, value="newer"))[0]
        == "ValidationError"
    )
    cloud.client("logs").create_log_group(logGroupName=group)
    cfn.continue_update_rollback(StackName=failed)
    ended(cfn, failed)
    cfn.update_stack(StackName=failed, TemplateBody=body(group, logs=False, value="newer"))
    assert ended(cfn, failed)["StackStatus"] == "UPDATE_COMPLETE"


def test_only_a_rollback_that_failed_can_be_continued(cfn, name):  # noqa: F811
    create(cfn, name, template({"P": parameter()}))
    with pytest.raises(ClientError, match="CREATE_COMPLETE"):
        cfn.continue_update_rollback(StackName=name)
