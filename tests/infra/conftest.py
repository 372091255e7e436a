"""The app is synthesized once per set of settings; everything else reads the templates."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack

from infra.darkroom import Darkroom
from tests.infra.snapshots import PlainlyNamed

ROOT = Path(__file__).resolve().parents[2]
FLAGS = json.loads((ROOT / "cdk.json").read_text())["context"]

# Everything that a setting can add, at once.
ALL_ON = {
    "environment": "full",
    "debugger": "managed",
    "clarify": "managed",
    "approval": "manual",
    "spot_training": "true",
    "encryption": "kms",
    "removal": "retain",
    "endpoints.gpu.enabled": "true",
    "network.subnets": "subnet-0a1b2c3d",
    "network.security_groups": "sg-0a1b2c3d",
    "readable_prefixes": "s3://someone-elses-bucket/photos/",
    "logs.own_job_groups": "true",
    "roles.path": "/vision/",
    "roles.name_prefix": "acme-",
    "roles.permissions_boundary": "no-more-than-this",
    "tags": "cost-center=42",
}


class Synthesis:
    """Templates by the stack's short name: Storage, Images, Pipeline, Endpoints."""

    def __init__(self, root: Path, out: Path, context: dict[str, Any]):
        self.app = App(analytics_reporting=False, outdir=str(out), context={**FLAGS, **context})
        self.darkroom = Darkroom(self.app, root=root)
        self.directory = Path(self.app.synth().directory)

    @functools.cached_property
    def templates(self) -> dict[str, dict[str, Any]]:
        return {
            stack.stack_name.rsplit("-", 1)[1]: json.loads((self.directory / stack.template_file).read_text())
            for stack in self.stacks
        }

    @property
    def stacks(self) -> list[Stack]:
        return self.darkroom.stacks

    def resources(self, stack: str, kind: str) -> dict[str, dict[str, Any]]:
        return {
            name: resource for name, resource in self.templates[stack]["Resources"].items() if resource["Type"] == kind
        }

    @functools.cached_property
    def definition(self) -> dict[str, Any]:
        """The state machine with every token resolved as CloudFormation would in us-east-1."""
        (machine,) = self.resources("Pipeline", "AWS::StepFunctions::StateMachine").values()
        return json.loads(resolve(machine["Properties"]["DefinitionString"]))


def resolve(value: Any) -> Any:
    """CloudFormation intrinsics to plausible text: names of resources stand for themselves."""
    if isinstance(value, list):
        return [resolve(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        return {key: resolve(item) for key, item in value.items()}
    ((function, argument),) = value.items()
    if function == "Ref":
        return PSEUDO.get(argument, argument.lower())
    if function == "Fn::Join":
        return argument[0].join(resolve(item) for item in argument[1])
    if function == "Fn::Sub":
        for name, text in PSEUDO.items():
            argument = argument.replace(f"${{{name}}}", text)
        return argument
    if function == "Fn::GetAtt":
        return f"arn:aws:iam::000000000000:role/{argument[0]}" if argument[1] == "Arn" else ".".join(argument).lower()
    if function == "Fn::ImportValue":
        exported = re.fullmatch(r".*:ExportsOutput(?:Ref|FnGetAtt)(\w+?)[0-9A-F]{8}(Arn)?[0-9A-F]{8}", argument)
        name = exported[1].lower()
        if name == "key":
            return "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555"
        if name.startswith("roles"):
            return f"arn:aws:iam::000000000000:role/{exported[1]}"
        if name == "statemachine":
            return "arn:aws:states:us-east-1:000000000000:stateMachine:darkroom-dev-pipeline"
        return f"arn:aws:s3:::{name}" if exported[2] else name
    if function == "Fn::FindInMap":
        return "111111111111"
    return {key: resolve(item) for key, item in value.items()}


PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "000000000000",
    "AWS::URLSuffix": "amazonaws.com",
}


@pytest.fixture
def snapshot_json(snapshot):
    return snapshot.use_extension(PlainlyNamed)


def small_repository(root: Path) -> Path:
    """A tree in the shape of the repository, so that the rooms' contents do not matter here."""
    for path in (
        "training_code/Dockerfile", "training_code/train.py", "analysis_code/Dockerfile", "analysis_code/clarify.py",
        "inference_code/Dockerfile", "inference_code/__init__.py", "inference_code/server.py",
        "contract/__init__.py", "contract/decode.py", "docs/page.md", "infra/settings.py",
        "README.md",
    ):  # fmt: skip
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return root


@pytest.fixture(scope="session")
def repository(tmp_path_factory) -> Path:
    return small_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="session")
def synthesize(repository, tmp_path_factory):
    def make(root: Path = repository, **context: Any) -> Synthesis:
        return Synthesis(root, tmp_path_factory.mktemp("cdk.out"), context)

    return make


@pytest.fixture(scope="session")
def default(synthesize) -> Synthesis:
    return synthesize()


@pytest.fixture(scope="session")
def full(synthesize) -> Synthesis:
    return synthesize(**ALL_ON)
