"""A job's folder as SageMaker mounts it, an AWS to speak to, and our real server behind its endpoints."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from analysis_code.__main__ import main
from tests.analysis_code.aws_double import Aws, running
from tests.inference_code.conftest import Server, serving
from tests.inference_code.tiny_model import write_artifact


@dataclass
class Job:
    """A processing job's `/opt/ml`."""

    base: Path

    @property
    def input(self) -> Path:
        return self.base / "processing" / "input"

    @property
    def output(self) -> Path:
        return self.base / "processing" / "output"

    def give(self, name: str, content: bytes | str | dict[str, Any]) -> Path:
        """An input file."""
        path = self.input / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run(self, *arguments: str) -> int:
        return main(list(arguments))

    def result(self, name: str) -> Any:
        return json.loads((self.output / name).read_text())

    @property
    def message(self) -> str:
        """What a person would read as the job's failure."""
        return (self.base / "output" / "message").read_text()


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    return Job(tmp_path)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    with running() as (double, address):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)  # SageMaker names the region as AWS_REGION only
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "no secret")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield double


@pytest.fixture(scope="session")
def model_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of image 2 with a model that looks at the red of the top left quarter and at nothing else."""
    base = tmp_path_factory.mktemp("model")
    write_artifact(base / "model")
    with serving(base) as server:
        yield server
