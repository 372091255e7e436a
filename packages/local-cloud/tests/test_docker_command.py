"""`local-cloud-docker`, called as the CDK CLI calls it, against the local cloud's ECR."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DOCKERFILE = 'ARG V=3.12\nFROM python:${V}-slim\nLABEL unique=1\nCMD ["python", "-V"]\n'
URI = "000000000000.dkr.ecr.us-east-1.amazonaws.com/docker-command:asset"


@pytest.fixture
def docker(tmp_path: Path, cloud):
    settings = {"LOCAL_CLOUD_STATE": str(cloud.state), "LOCAL_CLOUD_ENVIRONMENTS": str(tmp_path / "environments")}

    def call(*words: str, cwd: Path = tmp_path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "local_cloud.docker.cli", *words],
            cwd=cwd, input=stdin, capture_output=True, text=True,
            env={**cloud.environment(), **settings, "PYTHONPATH": os.getcwd(), **environment},
        )  # fmt: skip

    return call


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "asset"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "Dockerfile").write_text(
        'ARG V=3.12\nFROM python:${V}-slim\nLABEL unique=1\nCMD ["python", "-V"]\n'
    )
    return folder


def test_a_build_as_the_cdk_cli_makes_it_ends_in_ecr(docker, context, cloud):
    ecr = cloud.client("ecr")
    ecr.create_repository(repositoryName="docker-command")
    assert docker("login", "--username", "AWS", "--password-stdin", "registry", stdin="token").returncode == 0
    assert docker("inspect", "cdkasset-1").returncode == 1
    built = docker(
        "build", "--build-arg", "V=3.11", "--tag", "cdkasset-1", "--file", "code/Dockerfile", "--platform", "linux/s390x", ".",
        cwd=context,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert "built for this machine" in built.stderr
    described = json.loads(docker("inspect", "cdkasset-1").stdout)[0]
    assert described["RepoTags"] == ["cdkasset-1:latest"] and described["Config"]["Labels"] == {"unique": "1"}
    assert docker("tag", "cdkasset-1", URI).returncode == 0
    pushed = docker("push", URI)
    assert pushed.returncode == 0, pushed.stderr
    images = ecr.describe_images(repositoryName="docker-command", imageIds=[{"imageTag": "asset"}])["imageDetails"]
    assert images[0]["imageDigest"] in pushed.stdout
    assert docker("push", URI).returncode == 0  # again is no error, as with docker
    listed = docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=*/*:asset")
    assert listed.stdout.split() == [URI]


@pytest.mark.parametrize(
    ("words", "environment", "reason"),
    [
        (["push", "absent:1"], {}, "only the local registry is allowed"),
        (["push", "111111111111.dkr.ecr.us-east-1.amazonaws.com/x:1"], {}, "only the local registry is allowed"),
        (["push", URI], {"AWS_ENDPOINT_URL": "https://ecr.example.org"}, "not the local cloud"),
        (["tag", "absent", "x"], {}, "No such image"),
        (["build", "absent-folder"], {}, "is not a folder"),
        (["build", "--secret", "id=x", "."], {}, "--secret"),
        (["build", "--output=type=tar", "."], {}, "not supported"),
        (["run", "x"], {}, "No such command"),
        (["images"], {"LOCAL_CLOUD_STATE": ""}, "local-cloud env"),
    ],
)
def test_what_the_stand_in_cannot_do_it_says(docker, words, environment, reason):
    answer = docker(*words, **environment)
    assert answer.returncode != 0 and reason in answer.stderr
