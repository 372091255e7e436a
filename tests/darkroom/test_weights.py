"""`darkroom weights add` fills the store that a training reads over S3: both ends, with the local cloud between them."""

import json
import os
import subprocess
from pathlib import Path

import boto3
import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TRAINING = ROOT / ".venv-training_code" / "bin" / "python"
RESOLVE = """
import sys
from pathlib import Path
from contract.failure import JobFailure
from training_code.models import weights
try:
    found = weights.resolve(sys.argv[1], None, sys.argv[2], Path(sys.argv[3]))
    print(found.source, found.sha256, found.path.read_text()[8:])
except JobFailure as error:
    sys.exit(str(error))
"""
BUCKET = "artifacts-of-weights"


@pytest.fixture(scope="module")
def store(running):
    """An artifacts bucket that the deployment's parameter names, without the rest of a deployment."""
    described = json.loads(running("up", "--json").stdout)
    cloud = json.loads((running.home / "cloud" / "cloud.json").read_text())
    session = boto3.Session(cloud["access_key_id"], cloud["secret_access_key"], region_name=described["region"])
    s3, ssm = (session.client(name, endpoint_url=cloud["endpoint"]) for name in ("s3", "ssm"))
    s3.create_bucket(Bucket=BUCKET)
    ssm.put_parameter(Name="/darkroom/dev/artifacts-bucket", Value=BUCKET, Type="String")
    keys = {
        "AWS_ENDPOINT_URL": cloud["endpoint"], "AWS_ACCESS_KEY_ID": cloud["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": cloud["secret_access_key"], "AWS_DEFAULT_REGION": described["region"],
    }  # fmt: skip
    return s3, {**os.environ, **keys, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def job(store, tmp_path):
    """What a training does to find weights, in the packages of its image."""
    assert TRAINING.exists(), f"{TRAINING} is missing: make test builds the environments of the images"

    def resolve(name):
        return subprocess.run(
            [TRAINING, "-c", RESOLVE, name, f"s3://{BUCKET}/weights/", tmp_path / "cache"],
            env=store[1], capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    return resolve


TENSORS = '{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'


def added(running, tmp_path, name):
    """Without the job that loads the file: these tests have a bucket and no deployment."""
    file = tmp_path / "mine.safetensors"
    file.write_bytes(len(TENSORS).to_bytes(8, "little") + TENSORS.encode())
    done = running("weights", "add", "--no-check", name, str(file))
    assert done.returncode == 0, done.stderr
    assert "mine.safetensors: 1 tensors" in done.stdout
    return f"weights/{name.replace('/', '__')}/mine.safetensors"


def test_what_was_added_is_what_a_training_reads(running, job, tmp_path):
    key = added(running, tmp_path, "timm/resnet18.a1_in1k")
    found = job("timm/resnet18.a1_in1k")
    assert found.returncode == 0, found.stderr
    source, sha256, text = found.stdout.split()
    assert source == f"s3://{BUCKET}/{key}" and text == TENSORS and len(sha256) == 64


def test_missing_weights_name_the_command_that_brings_them(running, job):
    found = job("resnet50")
    assert found.returncode == 1 and f"not in s3://{BUCKET}/weights/" in found.stderr
    assert "Run `darkroom weights add resnet50`" in found.stderr


def test_a_replaced_file_is_refused_by_its_checksum(running, store, job, tmp_path):
    key = added(running, tmp_path, "alexnet")
    store[0].put_object(Bucket=BUCKET, Key=key, Body=b"other tensors")
    found = job("alexnet")
    assert found.returncode == 1 and "damaged or was replaced" in found.stderr


def test_other_weights_under_the_same_name_are_announced_and_the_same_ones_are_not(running, store, tmp_path):
    def add(name: str) -> str:
        tensors, file = TENSORS.replace('"w"', f'"{name}"'), tmp_path / "mine.safetensors"
        file.write_bytes(len(tensors).to_bytes(8, "little") + tensors.encode())
        said = running("weights", "add", "vgg11", str(file), "--no-check")
        assert said.returncode == 0, said.stderr
        return said.stdout

    assert "had other weights" not in add("one")
    assert "had other weights" not in add("one")
    assert "This name had other weights: file mine.safetensors, SHA-256" in add("two")


def test_a_record_without_its_file_says_so(running, store, job, tmp_path):
    key = added(running, tmp_path, "vgg11")
    store[0].delete_object(Bucket=BUCKET, Key=key)
    found = job("vgg11")
    assert found.returncode == 1 and "has the record of 'vgg11', but not its file" in found.stderr
    assert "darkroom weights add vgg11" in found.stderr


def test_a_damaged_copy_on_the_instance_is_fetched_again(running, job, tmp_path):
    added(running, tmp_path, "squeezenet1_0")
    assert job("squeezenet1_0").returncode == 0
    (copy,) = (path for path in (tmp_path / "cache").rglob("*.safetensors") if path.read_text()[8:] == TENSORS)
    copy.write_text("cut off")
    assert job("squeezenet1_0").stdout.split()[-1] == TENSORS


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"not a checkpoint at all", "is neither safetensors nor a torch checkpoint"),
        (b"PK\3\4" + b"0" * 64, "zip archive"),
        (b"", "is empty"),
    ],
)
def test_a_file_that_no_training_could_load_is_refused_before_its_upload(running, store, tmp_path, data, said):
    (tmp_path / "model_best.pth.tar").write_bytes(data)
    done = running("weights", "add", "resnet34", str(tmp_path / "model_best.pth.tar"))
    assert done.returncode == 1 and said in done.stderr and "state_dict()" in done.stderr
    assert store[0].list_objects_v2(Bucket=BUCKET, Prefix="weights/resnet34")["KeyCount"] == 0


def test_a_folder_is_called_a_folder(running, tmp_path):
    assert f"{tmp_path} is a folder." in running("weights", "add", "resnet34", str(tmp_path)).stderr
