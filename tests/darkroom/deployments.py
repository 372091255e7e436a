"""Deployments of several projects and environments in one local cloud: stacks of the right names, tags and parameters, with small
templates, so that every command can be tried against them without a build of images.
"""

import json
from typing import Any

import boto3
from botocore.config import Config

from contract.names import DESCRIPTION, ENDPOINTS, PIPELINE, STORAGE, Names
from darkroom import local
from darkroom.home import Home

WAITING = {"StartAt": "Wait", "States": {"Wait": {"Type": "Succeed"}}}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def clients(home: Any) -> Any:
    """boto3's client maker for the cloud of a home."""
    cloud = local.require(Home(home))
    session = boto3.Session(cloud.access_key_id, cloud.secret_access_key, region_name=cloud.region)
    return lambda service: session.client(service, endpoint_url=cloud.endpoint, config=Config(proxies={}))


def deploy(make: Any, names: Names, *, tagged: bool = True, **more: Any) -> None:
    """All five stacks of one deployment."""
    client = make("cloudformation")
    for part, name in zip(("Storage", "Images", "Pipeline", "Endpoints", "Comparison"), names.stacks, strict=True):
        body = {"Description": f"{DESCRIPTION}{part}", "Resources": _resources(names, part), **more.get(part, {})}
        tags = [{"Key": key, "Value": value} for key, value in names.tags.items()] if tagged else []
        client.create_stack(StackName=name, TemplateBody=json.dumps(body), Tags=tags, Capabilities=["CAPABILITY_IAM"])
        client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.1})


def _resources(names: Names, part: str) -> dict[str, Any]:
    def parameter(name: str, value: Any) -> dict[str, Any]:
        return {
            "Type": "AWS::SSM::Parameter",
            "Properties": {"Name": names.parameter(name), "Type": "String", "Value": value},
        }

    if part == STORAGE:
        buckets = {
            f"{kind.capitalize()}Bucket": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Delete",
                                           "Properties": {"VersioningConfiguration": {"Status": "Enabled"}}}
            for kind in ("data", "artifacts", "models")
        }  # fmt: skip
        return buckets | {
            f"{kind.capitalize()}Parameter": parameter(f"{kind}-bucket", {"Ref": f"{kind.capitalize()}Bucket"})
            for kind in ("data", "artifacts", "models")
        }
    if part == PIPELINE:
        return {
            "Group": {"Type": "AWS::SageMaker::ModelPackageGroup",
                      "Properties": {"ModelPackageGroupName": names.model_package_group}},
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}},
            "Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {
                "StateMachineName": names.pipeline, "DefinitionString": json.dumps(WAITING),
                "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]}}},
            "MachineParameter": parameter("state-machine-arn", {"Ref": "Machine"}),
            "GroupParameter": parameter("model-package-group", names.model_package_group),
        }  # fmt: skip
    if part == ENDPOINTS:
        return {"EndpointsParameter": parameter("endpoints", names.endpoint("cpu"))}
    return {"Marker": parameter(f"of-{part.lower()}", part)}


def stacks(make: Any) -> set[str]:
    """Names of all stacks that stand."""
    pages = make("cloudformation").get_paginator("describe_stacks").paginate()
    return {stack["StackName"] for page in pages for stack in page["Stacks"]}
