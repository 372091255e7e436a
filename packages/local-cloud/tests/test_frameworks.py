"""Images that stand for AWS's: by AWS's own names of them, with the contract of AWS's toolkits."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import textwrap
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from local_cloud.docker.build import build
from local_cloud.docker.store import ImageStore
from local_cloud.errors import AwsError
from local_cloud.frameworks.catalogue import IMAGES, framework_of
from local_cloud.sagemaker.builtin_metrics import metric_definitions
from local_cloud.settings import Settings
from local_cloud.testing import wait_until

OWN = "000000000000"
DLC = "763104351884.dkr.ecr.us-east-1.amazonaws.com"


def named(file: str, repositories: Callable[[Any], Iterator[str]]) -> list[str]:
    """All image URIs that the SageMaker SDK makes of one of its files."""
    sdk = find_spec("sagemaker")  # not imported: only its table is wanted
    assert sdk and sdk.submodule_search_locations
    table = json.loads((Path(sdk.submodule_search_locations[0]) / "core" / "image_uri_config" / file).read_text())
    return [
        f"{account}.dkr.ecr.{region}.amazonaws.com/{repository}:1"
        for region, account, repository in repositories(table)
    ]


def every(table: Any) -> Iterator[Any]:
    if isinstance(table, dict):
        if "registries" in table and "repository" in table:
            yield from ((region, account, table["repository"]) for region, account in table["registries"].items())
        for value in table.values():
            yield from every(value)


@pytest.mark.parametrize(
    ("file", "repository", "folder"),
    [
        ("pytorch.json", "pytorch-training", "pytorch"),
        ("pytorch.json", "pytorch-inference", "pytorch"),
        ("sklearn.json", "sagemaker-scikit-learn", "scikit-learn"),
        ("xgboost.json", "sagemaker-xgboost", "xgboost"),
        ("xgboost.json", "xgboost", "xgboost"),
    ],
)
def test_the_sdks_own_names_find_an_image(file: str, repository: str, folder: str):
    uris = [uri for uri in named(file, every) if uri.endswith(f"/{repository}:1")]
    assert len(uris) > 10
    assert {getattr(framework_of(uri, OWN), "folder", uri) for uri in uris} == {folder}


def test_a_built_in_algorithm_has_metrics_that_nobody_defined():
    """The lines that AWS's own container prints, read by the expressions that DescribeTrainingJob shows for it."""
    import re

    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
    expressions = {each["Name"]: each["Regex"] for each in metric_definitions({"TrainingImage": image})}
    line = "[12]\ttrain-auc:0.98765\ttrain-logloss:1e-05\tvalidation-auc:0.5"
    found = {name: match[1] for name, regex in expressions.items() if (match := re.search(regex, line))}
    assert found == {"train:auc": "0.98765", "train:logloss": "1e-05", "validation:auc": "0.5"}


def test_names_that_nothing_stands_for_find_none():
    for repository in ("pytorch-training-neuronx", "huggingface-pytorch-training", "sagemaker-xgboost2", "mine"):
        assert framework_of(f"{DLC}/{repository}:1", OWN) is None
    assert framework_of(f"{OWN}.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:1", OWN) is None


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "state", Settings(environments=tmp_path / "environments"))


@pytest.fixture
def image(store: ImageStore, tmp_path: Path) -> Callable[..., str]:
    def make(name: str, label: str = "") -> str:
        context = tmp_path / name
        context.mkdir()
        (context / "Dockerfile").write_text(f"FROM python:3.11-slim\n{label}\nENV NAME={name}\nCMD ['x']\n")
        made = store.add(build(context, context / "Dockerfile", store.environments, store.scratch))
        store.tag(made.id, f"{name}:1")
        return made.id

    return make


def test_an_alias_runs_in_the_place_of_any_image(store: ImageStore, image: Callable[..., str]):
    mine = image("mine")
    with pytest.raises(
        AwsError, match=r"is one of another account, and nothing here stands for it.*alias 'huggingface-x' IMAGE"
    ):
        store.check(f"{DLC}/huggingface-x:2")
    store.alias("huggingface-*", "mine:1")
    assert store.resolve(f"{DLC}/huggingface-x:2").id == mine
    store.alias(f"{DLC}/pytorch-training:2.0*", "mine:1")  # before the image that is built here
    assert store.framework(f"{DLC}/pytorch-training:2.0.1-cpu") is None
    assert store.framework(f"{DLC}/pytorch-training:1.10-cpu") is not None
    assert store.unalias("huggingface-*") and not store.unalias("huggingface-*")
    with pytest.raises(AwsError):
        store.resolve(f"{DLC}/huggingface-x:2")


def test_an_image_says_by_its_label_what_it_stands_for(store: ImageStore, image: Callable[..., str]):
    image("other")
    mine = image("clarify", 'LABEL local-cloud.stands-for="a-processing b-processing"')
    with pytest.raises(AwsError):  # not pushed
        store.resolve("205585389593.dkr.ecr.us-east-1.amazonaws.com/b-processing:1.0")
    store.tag(mine, f"{OWN}.dkr.ecr.us-east-1.amazonaws.com/clarify:1")
    store.published(f"{OWN}.dkr.ecr.us-east-1.amazonaws.com/clarify:1", "sha256:" + "0" * 64)
    assert store.resolve("205585389593.dkr.ecr.us-east-1.amazonaws.com/b-processing:1.0").id == mine
    with pytest.raises(AwsError):
        store.resolve(f"{OWN}.dkr.ecr.us-east-1.amazonaws.com/b-processing:1.0")


# The toolkit inside the images, as a process with this interpreter.

SCRIPT = """
import argparse, json, os, sys
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int); parser.add_argument("-b"); parser.add_argument("--opts")
said = vars(parser.parse_args())
said |= {name: value for name, value in os.environ.items() if name.startswith("SM_")}
said["sibling"] = __import__("sibling").NAME
open(os.path.join(os.environ["SM_MODEL_DIR"], "said.json"), "w").write(json.dumps(said))
print("loss=0.5;")
"""


class Toolkit:
    """`train` or `serve` on a folder that stands for /opt/ml."""

    def __init__(self, base: Path, framework: str):
        self.base, self.framework = base, framework
        for folder in ("input/config", "input/data/train", "model", "code"):
            (base / folder).mkdir(parents=True)
        self.config("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"})
        self.config("inputdataconfig", {"train": {"TrainingInputMode": "File"}})
        self.config("hyperparameters", {})

    def config(self, name: str, content: dict[str, Any]) -> None:
        (self.base / "input/config" / f"{name}.json").write_text(json.dumps(content))

    def code(self, name: str, text: str, folder: str = "code") -> None:
        (self.base / folder).mkdir(parents=True, exist_ok=True)
        (self.base / folder / name).write_text(textwrap.dedent(text))

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SM_", "SAGEMAKER_"))}
        said = {
            "SAGEMAKER_BASE_DIR": str(self.base),
            "SCRIPT_MODE_FRAMEWORK": self.framework,
            "PYTHONPATH": str(IMAGES),
        }
        return {**kept, **said, **more}

    def train(self, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "script_mode", "train"]
        return subprocess.run(command, env=self.environment(**more), capture_output=True, text=True, timeout=240)

    @property
    def failure(self) -> str:
        return (self.base / "output" / "failure").read_text()


@pytest.fixture
def toolkit(tmp_path: Path) -> Toolkit:
    return Toolkit(tmp_path / "ml", "scikit-learn")


def test_a_script_gets_its_arguments_and_variables(toolkit: Toolkit):
    """As github.com/aws/sagemaker-training-toolkit has them (ENVIRONMENT_VARIABLES.md); `make compat` runs that toolkit beside."""
    toolkit.code("train.py", SCRIPT)
    toolkit.code("sibling.py", "NAME = 'beside it'")
    toolkit.config(
        "hyperparameters",
        {
            "epochs": "10", "b": '"x y"', "opts": '{"b": 2, "a": 1}', "sagemaker_program": '"train.py"', "sagemaker_region": '"r"',
            "_tuning_objective_metric": "loss",
        },
    )  # fmt: skip
    done = toolkit.train(SAGEMAKER_SUBMIT_DIRECTORY=str(toolkit.base / "code"))
    assert done.returncode == 0, done.stderr
    assert "loss=0.5;" in done.stdout and "Reporting training SUCCESS" in done.stdout
    said = json.loads((toolkit.base / "model/said.json").read_text())
    expected = {
        "epochs": 10, "b": "x y", "opts": "a=1,b=2", "sibling": "beside it", "SM_CHANNELS": '["train"]',
        "SM_CHANNEL_TRAIN": str(toolkit.base / "input/data/train"), "SM_HP_EPOCHS": "10", "SM_HP_B": "x y",
        "SM_HPS": '{"b":"x y","epochs":10,"opts":{"a":1,"b":2}}', "SM_CURRENT_HOST": "algo-1", "SM_HOSTS": '["algo-1"]',
        "SM_MODEL_DIR": str(toolkit.base / "model"), "SM_OUTPUT_DATA_DIR": str(toolkit.base / "output/data"),
        "SM_USER_ENTRY_POINT": "train.py", "SM_MODULE_NAME": "train", "SM_NUM_NEURONS": "0", "SM_FRAMEWORK_MODULE": "",
        "SM_USER_ARGS": '["-b","x y","--epochs","10","--opts","a=1,b=2"]',
    }  # fmt: skip
    assert {name: said[name] for name in expected} == expected
    assert "sagemaker_region" not in said["SM_FRAMEWORK_PARAMS"]


def test_a_failing_script_says_why(toolkit: Toolkit):
    toolkit.code("train.py", "import sys\nprint('begun')\nraise KeyError('no such column')\n")
    toolkit.config("hyperparameters", {"sagemaker_program": '"train.py"'})
    assert toolkit.train().returncode == 1
    assert toolkit.failure.startswith(
        'ExecuteUserScriptError:\nExitCode 1\nErrorMessage "Traceback (most recent call last):'
    )
    assert "KeyError: 'no such column'" in toolkit.failure and "begun" not in toolkit.failure


def test_the_code_may_be_a_script_of_the_shell(toolkit: Toolkit):
    toolkit.code("run.sh", '#!/bin/sh\necho "$1 $2 $SM_HP_A" > "$SM_MODEL_DIR/said"\n')
    toolkit.config("hyperparameters", {"sagemaker_program": '"run.sh"', "a": '"it\'s; rm"'})
    assert toolkit.train().returncode == 0
    assert (toolkit.base / "model/said").read_text() == "-a it's; rm it's; rm\n"


@pytest.mark.parametrize(
    ("hyperparameters", "expected"),
    [
        ({}, "No entry point is named"),
        ({"sagemaker_program": '"gone.py"'}, "The entry point 'gone.py' is not in the code of .*; there: other.py"),
        (
            {"sagemaker_program": '"other.py"', "sagemaker_mpi_enabled": "true"},
            "sagemaker_mpi_enabled: this image starts",
        ),
    ],
)
def test_what_cannot_run_is_one_sentence(toolkit: Toolkit, hyperparameters: dict[str, str], expected: str):
    import re

    toolkit.code("other.py", "")
    toolkit.config("hyperparameters", hyperparameters)
    assert toolkit.train().returncode == 1
    assert re.search(expected, toolkit.failure) and "Traceback" not in toolkit.failure


def test_an_archive_that_leads_out_of_its_folder_is_refused(toolkit: Toolkit, tmp_path: Path):
    (tmp_path / "evil.py").write_text("")
    with tarfile.open(tmp_path / "sourcedir.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "evil.py", "../../evil.py")
    toolkit.config("hyperparameters", {"sagemaker_program": '"evil.py"'})
    assert toolkit.train(SAGEMAKER_SUBMIT_DIRECTORY=str(tmp_path / "sourcedir.tar.gz")).returncode == 1
    assert "could not be unpacked" in toolkit.failure


def test_a_stop_reaches_the_script(toolkit: Toolkit):
    toolkit.code(
        "train.py",
        """
        import os, signal, sys
        def stop(*_):
            open(os.path.join(os.environ["SM_MODEL_DIR"], "saved"), "w").close()
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        print("ready", flush=True)
        signal.pause()
        """,
    )
    toolkit.config("hyperparameters", {"sagemaker_program": '"train.py"'})
    command = [sys.executable, "-m", "script_mode", "train"]
    with subprocess.Popen(command, env=toolkit.environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and any("ready" in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(120) == 0
    assert (toolkit.base / "model/saved").exists()


HANDLERS = """
def model_fn(model_dir):
    return open(model_dir + "/w.txt").read()
def predict_fn(data, model, context):
    return data * float(model)
"""


@pytest.fixture
def serve(toolkit: Toolkit) -> Iterator[Callable[..., str]]:
    started: list[subprocess.Popen] = []

    def serve(**more: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = toolkit.environment(SAGEMAKER_BIND_TO_PORT=str(port), **more)
        process = subprocess.Popen(
            [sys.executable, "-m", "script_mode", "serve"], env=environment, stderr=subprocess.PIPE, text=True
        )
        started.append(process)

        def up() -> bool:
            if process.poll() is not None:
                raise AssertionError(process.stderr.read() if process.stderr else "")
            with socket.socket() as tried:
                return tried.connect_ex(("127.0.0.1", port)) == 0

        wait_until(up)
        return f"http://127.0.0.1:{port}"

    yield serve
    for process in started:
        process.kill()
        process.communicate()


def call(address: str, body: bytes | None = None, method: str | None = None, **headers: str) -> tuple[int, str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body, named, method=method), timeout=120) as answer:  # noqa: S310
            return answer.status, answer.read().decode(), answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers["Content-Type"]


def test_a_model_with_functions_of_its_own_is_served(toolkit: Toolkit, serve: Callable[..., str]):
    toolkit.code("inference.py", HANDLERS, "model/code")
    (toolkit.base / "model/w.txt").write_text("2")
    address = serve()
    assert call(f"{address}/ping")[0] == 200
    said = [
        call(f"{address}/invocations", b"[[1, 2], [3, 4]]", Content_Type="application/json"),
        call(f"{address}/invocations", b"1,2\n3,4\n", Content_Type="text/csv", Accept="text/csv"),
        call(
            f"{address}/invocations", b"1,2\n3,4\n", Content_Type="text/csv; charset=utf-8", Accept="application/json"
        ),
    ]
    assert said == [
        (200, "[[2.0, 4.0], [6.0, 8.0]]", "application/json"),
        (200, "2.0,4.0\n6.0,8.0\n", "text/csv"),
        (200, "[[2.0, 4.0], [6.0, 8.0]]", "application/json"),
    ]
    assert call(f"{address}/invocations", b"x", Content_Type="image/png")[0] == 415
    status, text, _ = call(f"{address}/invocations", b"{", Content_Type="application/json")
    assert status == 500 and "JSONDecodeError" in text


def test_a_fault_in_the_users_code_is_told_with_file_and_line(toolkit: Toolkit, serve: Callable[..., str]):
    toolkit.code("inference.py", "def model_fn(d):\n\tx = 1\n        return x\n", "model/code")
    with pytest.raises(AssertionError, match=r"inference.py\", line 3[\s\S]*TabError"):
        serve()


def test_several_models_have_code_of_their_own(toolkit: Toolkit, serve: Callable[..., str], tmp_path: Path):
    for name, factor in (("a", "2"), ("b", "3")):
        toolkit.code("inference.py", HANDLERS + f"MODEL = {name!r}\n", f"models/{name}/code")
        (toolkit.base / "models" / name / "w.txt").write_text(factor)
    address = serve(SAGEMAKER_MULTI_MODEL="true")
    body = {
        name: json.dumps({"model_name": name, "url": str(toolkit.base / "models" / name)}).encode()
        for name in ("a", "b")
    }
    assert [call(f"{address}/models", body[name])[0] for name in ("a", "b", "a")] == [200, 200, 409]
    answers = [
        call(f"{address}/models/{name}/invoke", b"[1]", Content_Type="application/json")[1] for name in ("a", "b")
    ]
    assert answers == ["[[2.0]]", "[[3.0]]"]  # one record without its outer brackets, as AWS's container takes it here
    assert call(f"{address}/models/a", method="DELETE")[0] == 200
    assert call(f"{address}/models/a/invoke", b"[1]")[0] == 404
    assert [each["modelName"] for each in json.loads(call(f"{address}/models")[1])["models"]] == ["b"]


def test_pickled_arrays_are_not_opened(toolkit: Toolkit, serve: Callable[..., str]):
    import io

    import numpy as np

    toolkit.code("inference.py", HANDLERS, "model/code")
    (toolkit.base / "model/w.txt").write_text("2")
    packed = io.BytesIO()
    np.save(packed, np.array([{"an": "object"}], dtype=object), allow_pickle=True)
    status, text, _ = call(f"{serve()}/invocations", packed.getvalue(), Content_Type="application/x-npy")
    assert status == 500 and "allow_pickle=False" in text
