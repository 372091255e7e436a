"""bfloat16 is chosen only where it was tried and changes little; a traced backbone is made once."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from training_code.features.cache import open_store
from training_code.features.engine_choice import ALLOWED, SAMPLE, choose, judge
from training_code.models import resolve
from training_code.models.staging import VERSION, traced_backbone

AMX = frozenset({"amx_bf16"})
FEATURES = np.random.default_rng(0).normal(size=(SAMPLE, 8)).astype(np.float32)


class Rounded:
    """An engine whose bfloat16 is off by `noise` of the features' spread."""

    def __init__(self, noise, opened):
        self.noise, self.opened = noise, opened

    def __call__(self, precision):
        self.opened.append(precision)
        self.now = precision
        return self

    def extract(self, work, pixels):
        wrong = self.noise * np.random.default_rng(1).normal(size=FEATURES.shape)
        return FEATURES + (wrong if self.now == "bfloat16" else 0)


def chosen(noise=0.05, store=None, asked="auto", flags=AMX, photos=range(500), key="k"):
    opened = []
    choice = choose(asked, Rounded(noise, opened), None, photos, store, key, flags)
    return choice, opened


@pytest.mark.parametrize(("noise", "precision"), [(0.05, "bfloat16"), (2 * ALLOWED, "float32"), (np.nan, "float32")])
def test_bfloat16_is_taken_where_it_changes_the_features_little_enough(noise, precision):
    choice, opened = chosen(noise)
    assert choice.precision == precision and choice.photos == SAMPLE
    assert sorted(opened) == ["bfloat16", "float32"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"flags": frozenset({"avx512f"})}, "no matrix units"),
        ({"photos": range(5)}, "fewer than"),
        ({"asked": "float32"}, "asked for"),
    ],
)
def test_bfloat16_is_not_tried_where_it_cannot_be_chosen(changes, reason):
    choice, opened = chosen(**changes)
    assert choice.precision == "float32" and reason in choice.reason and not opened


def test_features_that_all_photos_share_say_nothing_for_bfloat16():
    same = np.ones((SAMPLE, 3), np.float32)
    assert judge(same, same).precision == "float32"


def test_the_verdict_is_given_once_for_a_model_and_a_damaged_one_is_given_again(tmp_path):
    store = open_store(f"file://{tmp_path}")
    first, _ = chosen(store=store)
    again, opened = chosen(store=store, noise=9)
    assert again == first and not opened
    assert chosen(store=store, noise=9, key="another model")[0].precision == "float32"
    (tmp_path / "arithmetic/k.json").write_text(json.dumps({"precision": "int3"}))
    assert chosen(store=store, noise=9)[0].precision == "float32"


@pytest.fixture(scope="module", name="spec")
def tiny():
    return resolve("timm/test_efficientnet", 32)


def test_a_backbone_is_traced_once_and_taken_from_the_cache_afterwards(spec, tmp_path):
    store = open_store(f"file://{tmp_path}/cache")
    first = traced_backbone(spec, None, tmp_path / "one", 0, store)
    kept = next((tmp_path / "cache" / VERSION).rglob("*.onnx"))
    assert kept.read_bytes() == first.read_bytes()
    kept.write_bytes(b"what another execution traced")
    digest = hashlib.sha256(b"what another execution traced").hexdigest()
    kept.with_name(f"{kept.name}.sha256").write_text(digest)
    again = traced_backbone(spec, None, tmp_path / "two", 0, store)
    assert again.read_bytes() == b"what another execution traced"
    assert traced_backbone(spec, None, tmp_path / "two", 1, store).name != first.name, "other random weights"
    kept.write_bytes(b"damaged")
    repaired = traced_backbone(spec, None, tmp_path / "three", 0, store)
    assert repaired.stat().st_size > 1000 and kept.read_bytes() == repaired.read_bytes()


def test_an_engine_from_the_traced_file_answers_as_the_module_does(spec, tmp_path):
    import torch

    from training_code.features.engine import open_engine
    from training_code.models import backbone

    pixels = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3)).astype(np.uint8)
    engine = open_engine(spec, None, "float32", 0, traced_backbone(spec, None, tmp_path))
    module, width = backbone.load(spec, None)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (spec.preprocessing.mean, spec.preprocessing.std))
    with torch.inference_mode():
        images = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
        expected = module(images).numpy()
    assert engine.width == width
    np.testing.assert_allclose(
        engine.extract([(i, "plain") for i in range(3)], pixels.__getitem__),
        expected,
        atol=1e-4 * np.abs(expected).max(),
    )


@pytest.mark.slow
def test_the_final_training_on_cached_features_needs_no_pytorch(tmp_path):
    """What `prepare` leaves in the channel `weights` is enough to write and check the model."""
    from tests.training_code.tiny_jobs import job_folder, tiny_features

    lite = resolve("efficientnet_lite0", 64)  # to know a name of timm's or torchvision's, their packages are asked
    traced_backbone(lite, None, tmp_path / "input/data/weights")
    asked = {"model": "efficientnet_lite0", "image_size": "64", "pretrained": "false", "epochs": "2"}
    job_folder(tmp_path, asked, features=tiny_features(width=1280))
    code = (
        "import sys; from training_code.train import main; code = main([]); "
        "sys.exit(code or ('torch was imported' if 'torch' in sys.modules else 0))"
    )
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "model/model.onnx").exists()


def test_a_backbone_is_traced_without_the_packages_of_others(tmp_path):
    """timm and torchvision take seconds to import, in every first `prepare`."""
    code = (
        "import sys; from pathlib import Path; from training_code.models import resolve; "
        "from training_code.models.staging import traced_backbone; "
        f"traced_backbone(resolve('efficientnet_lite0', 64), None, Path({str(tmp_path)!r})); "
        "print(sorted({'timm', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


CONVERT = """
import socket
from pathlib import Path

asked = Path("asked.txt")
look_up = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **named: (asked.open("a").write(f"{host}\\n"), look_up("127.0.0.1", *rest))[1]
from training_code.features.engine import OpenVinoEngine
from training_code.models import backbone, resolve

spec = resolve("timm/test_efficientnet", 32)
OpenVinoEngine(backbone.load(spec, None)[0], spec.preprocessing, "float32")
"""


def test_converting_a_backbone_tells_nobody(tmp_path):
    """OpenVINO's telemetry writes a client's number into the home folder and sends it; in CI it says nothing of its own accord."""
    watched = ("CI", "TF_BUILD", "JENKINS_URL")
    environment = {name: value for name, value in os.environ.items() if name not in watched}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": os.getcwd()}
    # No limit: on a busy machine the imports alone take minutes, and what is asked here is not how long.
    subprocess.run([sys.executable, "-c", CONVERT], cwd=tmp_path, env=environment, check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == []
