"""State machines that run real jobs and endpoints: the optimized integration, the SDK integration, and a stack with an endpoint."""

from __future__ import annotations

import json
import time
import uuid

import pytest

from local_cloud.testing import wait_until
from tests.sagemaker.platform import INSTANCE, Platform, new_name

pytestmark = pytest.mark.slow

OPTIMIZED = "arn:aws:states:::sagemaker:"


def start(platform: Platform, states: dict, given: dict | None = None, **machine) -> str:
    api = platform.cloud.client("stepfunctions")
    definition = {"StartAt": next(iter(states)), "States": states, **machine}
    arn = api.create_state_machine(
        name=f"m-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=platform.role
    )
    return api.start_execution(stateMachineArn=arn["stateMachineArn"], input=json.dumps(given or {}))["executionArn"]


def finished(platform: Platform, arn: str) -> dict:
    api = platform.cloud.client("stepfunctions")

    def ended():
        described = api.describe_execution(executionArn=arn)
        return described if described["status"] != "RUNNING" else None

    return wait_until(ended, 180, arn)


def train(platform: Platform, program: str, **fields) -> dict:
    return {
        "Type": "Task",
        "Resource": f"{OPTIMIZED}createTrainingJob.sync",
        "Parameters": platform.training_request(program, **fields),
        "End": True,
    }


def test_sync_answers_with_the_description_and_marks_the_job(platform):
    state = train(platform, "say('hello')")
    name = state["Parameters"]["TrainingJobName"]
    output = json.loads(finished(platform, start(platform, {"T": state}))["output"])
    assert (output["TrainingJobStatus"], output["TrainingJobName"]) == ("Completed", name)
    assert isinstance(output["CreationTime"], int) and abs(output["CreationTime"] / 1000 - time.time()) < 120
    tags = platform.api.list_tags(ResourceArn=output["TrainingJobArn"])["Tags"]
    assert {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"} in tags


def test_a_failing_job_is_task_failed_with_the_description_as_cause(platform):
    state = train(
        platform,
        "import sys; (base / 'output').mkdir(exist_ok=True); (base / 'output/failure').write_text('no photos'); sys.exit(3)",
    )
    state["Catch"] = [{"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.error", "Next": "C"}]
    caught = {
        "Type": "Pass",
        "Parameters": {"error.$": "$.error.Error", "cause.$": "States.StringToJson($.error.Cause)"},
        "End": True,
    }
    output = json.loads(finished(platform, start(platform, {"T": state, "C": caught}))["output"])
    assert output["error"] == "States.TaskFailed"
    assert "no photos" in output["cause"]["FailureReason"]


def test_refused_requests_carry_the_sdks_error_names(platform):
    state = train(platform, "pass")
    finished(platform, start(platform, {"T": state}))
    again = finished(platform, start(platform, {"T": state}))
    assert (again["status"], again["error"]) == ("FAILED", "SageMaker.ResourceInUseException")
    state["Parameters"]["StoppingCondition"]["MaxRuntimeInSeconds"] = 0
    invalid = finished(platform, start(platform, {"T": state}))
    assert invalid["error"] == "SageMaker.AmazonSageMakerException"
    assert "maxRuntimeInSeconds" in invalid["cause"]


@pytest.mark.parametrize("how", ["stop", "task timeout", "execution timeout"])
def test_nobody_leaves_a_job_running(platform, how):
    state = train(platform, "say('started'); time.sleep(600)")
    name = state["Parameters"]["TrainingJobName"]
    if how == "task timeout":
        state["TimeoutSeconds"] = 5
    arn = start(platform, {"T": state}, **({"TimeoutSeconds": 5} if how == "execution timeout" else {}))
    if how == "stop":
        platform.saying(name, "started")
        platform.cloud.client("stepfunctions").stop_execution(executionArn=arn)
    ended = finished(platform, arn)
    wanted = {"stop": "ABORTED", "task timeout": "FAILED", "execution timeout": "TIMED_OUT"}[how]
    assert ended["status"] == wanted
    assert how != "task timeout" or ended["error"] == "States.Timeout"
    assert platform.finished("TrainingJob", name)["TrainingJobStatus"] == "Stopped"


def test_a_finished_job_wakes_the_state_machine_at_once(platform):
    state = train(platform, "pass")
    ended = finished(platform, start(platform, {"T": state}))
    job = platform.describe("TrainingJob", state["Parameters"]["TrainingJobName"])
    assert (ended["stopDate"] - job["LastModifiedTime"]).total_seconds() < 2


def test_models_and_endpoints_by_state_machine_and_packages_by_sdk(platform):
    model, config, endpoint, group = (new_name(kind) for kind in ("model", "config", "endpoint", "group"))
    archive = platform.model_archive(f"models/{model}.tar.gz", "hello")
    platform.api.create_model_package_group(ModelPackageGroupName=group)
    variant = {"VariantName": "all", "ModelName": model, "InstanceType": INSTANCE, "InitialInstanceCount": 1}
    container = {"Image": platform.server, "ModelDataUrl": archive}
    specification = {
        "Containers": [container],
        "SupportedContentTypes": ["image/jpeg"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    states = {
        "Model": {
            "Type": "Task",
            "Resource": f"{OPTIMIZED}createModel",
            "ResultPath": "$.model",
            "Next": "Config",
            "Parameters": {"ModelName": model, "ExecutionRoleArn": platform.role, "PrimaryContainer": container},
        },
        "Config": {
            "Type": "Task",
            "Resource": f"{OPTIMIZED}createEndpointConfig",
            "ResultPath": None,
            "Next": "Endpoint",
            "Parameters": {"EndpointConfigName": config, "ProductionVariants": [variant]},
        },
        "Endpoint": {
            "Type": "Task",
            "Resource": f"{OPTIMIZED}createEndpoint",
            "ResultPath": None,
            "Next": "Package",
            "Parameters": {"EndpointName": endpoint, "EndpointConfigName": config},
        },
        "Package": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sagemaker:createModelPackage",
            "ResultPath": "$.package",
            "Parameters": {
                "ModelPackageGroupName": group,
                "InferenceSpecification": specification,
                "ModelApprovalStatus": "Approved",
            },
            "Next": "Missing",
        },
        "Missing": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sagemaker:describeModel",
            "Parameters": {"ModelName": "none"},
            "Catch": [{"ErrorEquals": ["SageMaker.SageMakerException"], "ResultPath": "$.error", "Next": "Done"}],
            "End": True,
        },
        "Done": {"Type": "Succeed"},
    }
    ended = finished(platform, start(platform, states))
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    output = json.loads(ended["output"])
    assert output["model"]["ModelArn"].endswith(f"model/{model}")
    assert output["package"]["ModelPackageArn"].endswith(f"{group}/1")
    platform.settled(endpoint)
    assert "hello" in platform.invoke(endpoint)


def test_a_stack_makes_updates_and_deletes_an_endpoint(platform):
    cfn, name = platform.cloud.client("cloudformation"), new_name("stack")

    def body(text: str) -> str:
        container = {
            "Image": platform.server,
            "ModelDataUrl": platform.model_archive(f"models/{name}-{text}.tar.gz", text),
        }
        variant = {
            "VariantName": "all",
            "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
            "InstanceType": INSTANCE,
            "InitialInstanceCount": 1,
            "InitialVariantWeight": 1,
        }
        resources = {
            "Model": {
                "Type": "AWS::SageMaker::Model",
                "Properties": {"ExecutionRoleArn": platform.role, "PrimaryContainer": container},
            },
            "Config": {"Type": "AWS::SageMaker::EndpointConfig", "Properties": {"ProductionVariants": [variant]}},
            "Endpoint": {
                "Type": "AWS::SageMaker::Endpoint",
                "Properties": {
                    "EndpointName": name,
                    "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
                },
            },
        }
        return json.dumps(
            {"Resources": resources, "Outputs": {"E": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}}}}
        )

    cfn.create_stack(StackName=name, TemplateBody=body("one"))
    cfn.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert cfn.describe_stacks(StackName=name)["Stacks"][0]["Outputs"][0]["OutputValue"] == name
    assert "one" in platform.invoke(name)
    cfn.update_stack(StackName=name, TemplateBody=body("two"))
    cfn.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert "two" in platform.invoke(name)
    cfn.delete_stack(StackName=name)
    cfn.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert name not in [e["EndpointName"] for e in platform.api.list_endpoints()["Endpoints"]]
