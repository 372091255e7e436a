"""Templates deployed to a local cloud by CloudFormation's own calls: no CDK CLI, so an update takes a second.

The images that endpoints run are pushed before their stack is deployed: a server that answers /ping and nothing else.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from contract.names import APPROVED_DATA, APPROVED_PACKAGE, Names
from local_cloud.testing import RunningCloud
from tests.infra.conftest import Synthesis
from tests.infra.setting_walk import PRECIOUS

# What the bootstrap would have made: the CDK's templates ask for it.
BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
SERVER = """
import http.server, os
class Ping(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))), Ping).serve_forever()
"""
DOCKERFILE = 'FROM python:3.11-slim\nWORKDIR /opt/program\nCOPY main.py .\nENTRYPOINT ["python", "main.py"]\n'


class Deployment:
    """The stacks of one environment."""

    def __init__(self, cloud: RunningCloud, name: str, folder: Path):
        self._cloud, self._folder, self._pushed = cloud, folder, set()
        self.names, self._served = Names(), {}
        self.cloudformation, self._s3 = cloud.client("cloudformation"), cloud.client("s3")
        self._bucket = f"templates-of-{name}"
        self._s3.create_bucket(Bucket=self._bucket)
        cloud.client("ssm").put_parameter(Name=BOOTSTRAP_PARAMETER, Value="30", Type="String", Overwrite=True)

    def deploy(self, synthesis: Synthesis) -> None:
        """As `cdk deploy --all`: each stack after those that it depends on."""
        for stack in synthesis.stacks:
            if stack.stack_name == self.names.stack("Endpoints"):
                self._push_images()
            self._deploy(stack.stack_name, (synthesis.directory / stack.template_file).read_text())

    def approve_a_model(self, synthesis: Synthesis) -> None:
        """Register a model as the pipeline would, and let the Endpoints stack serve it from now on."""
        sagemaker, ssm = self._cloud.client("sagemaker"), self._cloud.client("ssm")
        bucket = ssm.get_parameter(Name=self.names.parameter("models-bucket"))["Parameter"]["Value"]
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            tar.addfile(tarfile.TarInfo("model.onnx"), io.BytesIO())
        self._s3.put_object(Bucket=bucket, Key="registered/one/model.tar.gz", Body=archive.getvalue())
        data = f"s3://{bucket}/registered/one/model.tar.gz"
        image = ssm.get_parameter(Name=self.names.parameter("images/inference"))["Parameter"]["Value"]
        package = sagemaker.create_model_package(
            ModelPackageGroupName=self.names.model_package_group, ModelApprovalStatus="Approved",
            InferenceSpecification={
                "Containers": [{"Image": image, "ModelDataUrl": data}], "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        )["ModelPackageArn"]  # fmt: skip
        for name, value in ((APPROVED_DATA, data), (APPROVED_PACKAGE, package)):
            ssm.put_parameter(Name=self.names.parameter(name), Value=value, Type="String")
        self._served = self.names.served
        self.deploy(synthesis)

    def endpoints(self) -> dict[str, Any]:
        """When each endpoint that serves was made."""
        pages = self._cloud.client("sagemaker").get_paginator("list_endpoints").paginate()
        found = [one for page in pages for one in page["Endpoints"]]
        assert {one["EndpointStatus"] for one in found} <= {"InService"}
        return {one["EndpointName"]: one["CreationTime"] for one in found}

    def _push_images(self) -> None:
        """Each image that the Images stack names, as the CDK CLI would have pushed it."""
        pages = self._cloud.client("ssm").get_paginator("get_parameters_by_path")
        found = pages.paginate(Path=self.names.parameter("images"), Recursive=True)
        for uri in {
            one["Value"] for page in found for one in page["Parameters"] if "inference" in one["Name"]
        } - self._pushed:
            repository = uri.partition("/")[2].partition(":")[0]
            ecr = self._cloud.client("ecr")
            with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
                ecr.create_repository(repositoryName=repository)
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / "main.py").write_text(SERVER)
            (self._folder / "Dockerfile").write_text(DOCKERFILE)
            environment = self._cloud.environment() | {"LOCAL_CLOUD_STATE": str(self._cloud.state)}
            for words in (["build", "--tag", uri, str(self._folder)], ["push", uri]):
                subprocess.run([sys.executable, "-m", "local_cloud.docker.cli", *words], env=environment, check=True)
            self._pushed.add(uri)

    def _deploy(self, stack: str, template: str) -> None:
        # Templates of more than 51,200 bytes are taken from S3 only.
        self._s3.put_object(Bucket=self._bucket, Key=stack, Body=template.encode())
        url = f"{self._s3.meta.endpoint_url}/{self._bucket}/{stack}"
        asked: dict[str, Any] = {"StackName": stack, "TemplateURL": url, "Capabilities": ["CAPABILITY_NAMED_IAM"]}
        exists = self.state(stack) is not None
        try:
            if exists:
                self.cloudformation.update_stack(
                    **asked,
                    Parameters=[
                        {"ParameterKey": one, "ParameterValue": self._served[one]}
                        if one in self._served
                        else {"ParameterKey": one, "UsePreviousValue": True}
                        for one in json.loads(template).get("Parameters", {})
                        if one in self.parameters(stack)
                    ],
                )
            else:
                self.cloudformation.create_stack(**asked)
        except ClientError as error:
            if "No updates" in str(error):
                return
            raise
        waiter = self.cloudformation.get_waiter("stack_update_complete" if exists else "stack_create_complete")
        try:
            waiter.wait(StackName=stack, WaiterConfig={"Delay": 0.2, "MaxAttempts": 600})
        except Exception as error:
            raise AssertionError(f"{stack}: {self.state(stack)}: {self.reasons(stack)}") from error

    def state(self, stack: str) -> str | None:
        try:
            return self.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        except ClientError:
            return None

    def parameters(self, stack: str) -> set[str]:
        found = self.cloudformation.describe_stacks(StackName=stack)["Stacks"][0].get("Parameters", [])
        return {one["ParameterKey"] for one in found}

    def reasons(self, stack: str) -> list[str]:
        """What failed, newest first."""
        events = self.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        return [
            f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason')}"
            for e in events
            if "FAILED" in e["ResourceStatus"]
        ]

    def precious(self, synthesis: Synthesis) -> dict[str, str]:
        """Physical ids of what holds something, by stack and logical id."""
        return {name: id for name, (kind, id, _) in self.resources(synthesis).items() if kind in PRECIOUS}

    def resources(self, synthesis: Synthesis) -> dict[str, tuple[str, str, Any]]:
        """Type, physical id and moment of the last change of everything, by stack and logical id."""
        return {
            f"{stack.stack_name}/{one['LogicalResourceId']}":
                (one["ResourceType"], one["PhysicalResourceId"], one["LastUpdatedTimestamp"])
            for stack in synthesis.stacks
            for page in self.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack.stack_name)
            for one in page["StackResourceSummaries"]
        }  # fmt: skip


def difference(before: dict[str, tuple[str, str, Any]], after: dict[str, tuple[str, str, Any]]) -> dict[str, int]:
    """What an update did, in numbers of resources."""
    both = before.keys() & after.keys()
    replaced = {name for name in both if before[name][1] != after[name][1]}
    return {
        "updated": sum(before[name][2] != after[name][2] for name in both - replaced),
        "added": len(after.keys() - both),
        "removed": len(before.keys() - both),
        "replaced": len(replaced),
    }
