"""The stand-in docker builds what a Dockerfile says, once, and refuses the rest by line."""

import concurrent.futures
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from local_cloud.docker.build import build
from local_cloud.docker.dockerfile import BuildError
from local_cloud.docker.store import ImageStore
from local_cloud.errors import AwsError
from local_cloud.settings import Settings

GOOD = """\
# syntax comment
ARG PYTHON=3.11
FROM python:${PYTHON}-slim AS base
ENV APP_HOME=/opt/program \\
    # a comment inside a continued line
    PYTHONPATH=/opt/program
WORKDIR $APP_HOME
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt && mkdir -p data
COPY --chown=app:app program program/
USER app
EXPOSE 8080
LABEL org.example.purpose="a test"
ENTRYPOINT ["python", "-m", "program"]
CMD ["hello"]
"""
MAIN = """\
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ), "prefix": sys.prefix}))
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "program").mkdir(parents=True)
    (folder / "program" / "__main__.py").write_text(MAIN)
    (folder / "program" / "secret.key").write_text("x")
    (folder / ".dockerignore").write_text("**/*.key\n")
    (folder / "requirements.txt").write_text("# nothing\n")
    (folder / "Dockerfile").write_text(GOOD)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "state", Settings(environments=tmp_path / "environments"))


def made(store: ImageStore, context: Path, **options):
    return store.add(build(context, context / "Dockerfile", store.environments, store.scratch, **options))


def test_an_image_runs_in_its_own_environment_with_its_own_files(store, context, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("PYTHONPATH", "/host")
    image = made(store, context)
    base = tmp_path / "ml"
    process = image.process(["train", "--out", "/opt/ml/model", "/opt/program/x"], base, port=1234)
    ran = subprocess.run(process.argv, env=process.env, cwd=process.cwd, capture_output=True, text=True, check=True)
    import json

    said = json.loads(ran.stdout)
    assert said["argv"] == ["train", "--out", f"{base}/model", "/opt/program/x"]
    assert said["cwd"] == said["env"]["PYTHONPATH"] == str(image.rootfs / "opt/program")
    assert said["prefix"] == str(image.environment)
    assert said["env"]["SAGEMAKER_BASE_DIR"] == str(base) and said["env"]["SAGEMAKER_BIND_TO_PORT"] == "1234"
    assert "AWS_PROFILE" not in said["env"]
    assert said["env"]["PATH"].split(":")[0] == str(image.environment / "bin")
    assert image.config.labels == {"org.example.purpose": "a test"} and image.config.exposed_ports == ["8080"]
    assert image.process([], base).argv[-1] == "hello"
    assert image.process([], base, entrypoint=["python3", "-V"]).argv == [str(image.environment / "bin/python"), "-V"]


def test_ignored_files_stay_out_of_the_image(store, context):
    image = made(store, context)
    files = {path.name for path in image.rootfs.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert files == {"requirements.txt", "__main__.py"}


def test_the_same_build_is_the_same_image_and_environment(store, context):
    first, second = made(store, context), made(store, context)
    assert (first.id, first.environment, first.rootfs) == (second.id, second.environment, second.rootfs)
    (context / "program" / "__main__.py").write_text(MAIN + "# changed")
    third = made(store, context)
    assert third.environment == first.environment and third.id != first.id


def test_an_interrupted_environment_is_built_again(store, context):
    image = made(store, context)
    (image.environment / ".complete").unlink()
    (image.environment / "bin" / "python").unlink()
    with pytest.raises(KeyError):
        store.find(image.id)
    assert (made(store, context).environment / "bin" / "python").exists()


def waiting(context: Path, requirement: str) -> None:
    """An image whose packages are installed at its first use."""
    (context / "requirements.txt").write_text(requirement)
    with (context / "Dockerfile").open("a") as file:
        file.write("LABEL local-cloud.install=at-first-use\n")


def test_packages_that_wait_for_the_first_use_are_installed_by_the_first_process(store, context, tmp_path):
    waiting(context, "# nothing\n")
    image = made(store, context)
    assert not image.environment.exists() and store.find(image.id) == image
    # What is installed is what was built, whatever became of the folder since.
    (context / "requirements.txt").write_text("no-such-package-anywhere==1\n")
    process = store.find(image.id).process(["now"], tmp_path / "ml")
    ran = subprocess.run(process.argv, env=process.env, cwd=process.cwd, capture_output=True, text=True, check=True)
    assert str(image.environment) in ran.stdout
    assert made(store, context).environment != image.environment


def test_packages_that_cannot_be_had_fail_the_first_process_in_the_words_of_the_build(store, context, tmp_path):
    waiting(context, f"absent @ file://{tmp_path}/absent-1.0-py3-none-any.whl\n")
    image = made(store, context)
    with pytest.raises(AwsError, match=r"(?s)could not be installed: Dockerfile, line 9: RUN pip install.*absent"):
        image.process(["now"], tmp_path / "ml")


def test_builds_at_the_same_time_make_one_environment(store, context):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda _: made(store, context), range(4)))
    assert len({image.id for image in images}) == 1
    assert len([path for path in store.environments.iterdir() if path.is_dir()]) == 1


def test_another_requirement_makes_another_environment_and_a_missing_one_is_found(store, context, tmp_path):
    plain = made(store, context)
    package = context / "wheel"
    package.mkdir()
    (package / "pyproject.toml").write_text('[project]\nname = "probe"\nversion = "1"\n')
    (context / "Dockerfile").write_text(
        GOOD.replace("COPY --chown", "COPY wheel /wheel/\nRUN pip install /wheel\nCOPY --chown")
    )
    assert made(store, context).environment != plain.environment
    process = plain.process(["-c", "import click"], tmp_path, entrypoint=["python"])
    ran = subprocess.run(process.argv, env=process.env, cwd=process.cwd, capture_output=True, text=True)
    assert "No module named 'click'" in ran.stderr  # though the machine's own Python has it


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("RUN apt-get update", "apt-get cannot be run here"),
        ("RUN pip install nothing | cat", "operator |"),
        ("RUN pip install $(cat x)", "Command substitution"),
        ("RUN pip install --target /x numpy", "option --target"),
        ("RUN pip install -r absent.txt", "absent.txt is not among"),
        ("RUN curl -o x example", "curl cannot be run"),
        ("RUN --mount=type=secret,id=x pip install x", "--mount"),
        ("RUN <<EOF", "Heredocs"),
        ("COPY --from=base /x /y", "--from is not supported"),
        ("COPY absent /x", "absent is not in the build context"),
        ("COPY program/secret.key /x", "leaves it out"),
        ("COPY ../outside /x", "outside the build context"),
        ("ADD https://example.org/x /x", "Nothing is downloaded"),
        ("ADD x.tar.gz /x", "Archives"),
        ("HEALTHCHECK CMD true", "/ping"),
        ("VOLUME /data", "/opt/ml"),
        ('SHELL ["bash"]', "/bin/sh"),
        ("ONBUILD RUN true", "Triggers"),
        ("STOPSIGNAL SIGKILL", "SIGTERM"),
        ("ENV PIP_INDEX_URL=x", "PIP_INDEX_URL"),
        ("FROM ubuntu:24.04", "public Python images"),
        ("FROM python:3.11-alpine", "wheels"),
        ("FROM python:2.7-slim", "Python 2.7 is not installed"),
        ("ENV A=${B%x}", "form of variable"),
        ("NONSENSE x", "no Dockerfile instruction"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_line_and_reason(store, context, line, reason):
    (context / "Dockerfile").write_text(f"FROM python:3.11-slim AS base\n{line}\n")
    with pytest.raises(BuildError) as refused:
        made(store, context)
    message = str(refused.value)
    assert "line 2" in message and line.split()[0] in message and reason in message and "What to do" in message
    assert not list(store.scratch.glob("*"))


def test_a_named_stage_on_another_one_can_be_the_target(store, context):
    (context / "Dockerfile").write_text(
        'FROM python:3.11-slim AS base\nENV A=1\nFROM base AS gpu\nENV B=${A}2\nFROM base\nENV B=3\nCMD ["true"]\n'
    )
    assert made(store, context, target="gpu").config.env == {"A": "1", "B": "12"}
    assert made(store, context).config.env == {"A": "1", "B": "3"}
    with pytest.raises(BuildError, match="no such stage"):
        made(store, context, target="cpu")


def test_variables_have_values_defaults_and_alternatives(store, context):
    (context / "Dockerfile").write_text(
        "FROM python:3.11-slim\nARG V=gpu\nARG W\nENV A=x${V:+-$V}.txt B=y${W:+-$W}.txt C=${W:-none} D=\\$V E=$V/${V}\n"
    )
    env = {"A": "x-gpu.txt", "B": "y.txt", "C": "none", "D": "$V", "E": "gpu/gpu"}
    assert made(store, context).config.env == env
    assert made(store, context, arguments={"W": "1", "V": ""}).config.env["B"] == "y-1.txt"


def test_only_pushed_images_are_resolved(store, context):
    uri = "000000000000.dkr.ecr.us-east-1.amazonaws.com/repository:tag"
    with pytest.raises(AwsError, match="not in the local registry"):
        store.resolve(uri)
    image = made(store, context)
    store.tag(image.id, uri)
    with pytest.raises(AwsError, match="never pushed"):
        store.resolve(uri)
    store.published(uri, "sha256:" + "0" * 64)
    assert store.resolve(uri).id == image.id == store.resolve(uri.removesuffix(":tag") + "@sha256:" + "0" * 64).id
    store.untag(uri)
    assert store.resolve(uri).id == image.id


def test_an_image_without_names_leaves_nothing_behind(store, context):
    image = made(store, context)
    store.tag(image.id, "mine")
    store.untag("mine")
    assert not image.rootfs.exists() and store.tags() == {}
    with pytest.raises(KeyError):
        store.find("mine")


def test_where_a_python_is_missing_the_next_release_stands_in_and_says_so_and_no_other(
    store, context, tmp_path, monkeypatch
):
    """On a machine where uv finds nothing beside the cloud's own Python."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "nothing"))
    major, minor = sys.version_info[:2]

    def of(version: str):
        (context / "Dockerfile").write_text(f'FROM python:{version}-slim\nCMD ["python", "-V"]\n')
        return build(context, context / "Dockerfile", store.environments, store.scratch)

    (note,) = of(f"{major}.{minor - 1}").notes
    assert (
        f"Python {major}.{minor - 1} is not installed" in note and f"runs on Python {platform.python_version()}" in note
    )
    assert not of(f"{major}.{minor}").notes
    for version in (f"{major}.{minor + 1}", f"{major}.{minor - 2}", str(major - 1)):
        with pytest.raises(BuildError, match=f"Python {version} is not installed"):
            of(version)
