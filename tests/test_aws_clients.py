"""What runs in a container makes clients of AWS in one place, in the region that SageMaker names."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ("training_code", "analysis_code", "inference_code")
PLACES = {"training_code/aws.py", "analysis_code/aws.py"}
MAKERS = {"client", "resource", "Session", "session", "setup_default_session"}


def makers_in(source: str) -> Iterator[int]:
    """Lines that could make a client: any name of boto3 that makes one, however it was imported."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in MAKERS and isinstance(node.value, ast.Name):
            if node.value.id in ("boto3", "botocore"):
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("boto3", "botocore"):
            if node.module.startswith(("boto3", "botocore.session")) or {a.name for a in node.names} & MAKERS:
                yield node.lineno
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if (alias.name.split(".")[0] == "boto3" and alias.asname) or alias.name.startswith("botocore.session"):
                    yield node.lineno


@pytest.mark.parametrize(
    "source",
    ["import boto3\nboto3.client('s3')", "import boto3 as b\nb.client('s3')", "from boto3 import client",
     "from boto3.session import Session", "import botocore.session", "def f():\n    import boto3\n    boto3.Session()"],
)  # fmt: skip
def test_a_client_made_elsewhere_would_be_found(source):
    assert list(makers_in(source))


def test_each_image_makes_its_clients_in_one_place():
    files = [file for image in (*IMAGES, "contract") for file in sorted((ROOT / image).rglob("*.py"))]
    found = {str(file.relative_to(ROOT)) for file in files if list(makers_in(file.read_text()))}
    assert found == PLACES


# What makes clients, each as a program that prints the client's region.
PROGRAMS = {
    "training_code": (
        "from training_code.aws import client; print(client('s3').meta.region_name)",
        "from training_code.features.cache import open_store; print(open_store('s3://b/c')._s3.meta.region_name)",
    ),
    "analysis_code": (
        "from analysis_code.aws import client; print(client('sagemaker').meta.region_name)",
        "from analysis_code.report.training import client; print(client('stepfunctions').meta.region_name)",
        "from analysis_code.clarify.endpoint import Model\n"
        "from types import SimpleNamespace as N\n"
        "print(Model('e', N(content_type='image/jpeg', endpoint_name=None), None)._client.meta.region_name)",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("image,program", [(image, text) for image, texts in PROGRAMS.items() for text in texts])
def test_told_nothing_but_the_region_of_sagemaker_a_client_has_it(image, program):
    python = ROOT / f".venv-{image}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"the packages of {image} are not installed: make .venv-{image}/.installed")
    alone = {"AWS_REGION": "eu-central-1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([python, "-c", program], env=alone, capture_output=True, text=True)
    assert done.stdout.strip() == "eu-central-1", done.stderr
