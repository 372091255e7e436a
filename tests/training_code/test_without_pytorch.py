"""The image without PyTorch: every command that its jobs run, where an import of what it lacks fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training_code.photo_sets import write_request, write_set

ROOT = Path(__file__).resolve().parents[2]
ROOM = ROOT / "training_code"
# Import names of what only the larger image has, and of what neither has.
LACKING = (
    "torch", "torchvision", "timm", "triton", "nvidia", "onnxscript", "safetensors", "huggingface_hub", "sympy",
    "efficientnet_lite_pytorch", "pandas", "scipy", "sklearn",
)  # fmt: skip
RUN = f"""
import sys
for name in {LACKING!r}:
    sys.modules[name] = None  # an import of it fails
from training_code.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def run(base: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, *command], cwd=ROOT, text=True, capture_output=True, timeout=300,
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(base), **environment},
    )  # fmt: skip


def prepared(base: Path, **execution) -> subprocess.CompletedProcess[str]:
    data = base / "processing/input/dataset"
    if not data.exists():
        write_set(data, {"ant": 12, "bee": 12}, "train")
        write_set(data, {"ant": 4, "bee": 4}, "test", first=60)
    write_request(base, **{"image_size": 64, "explain": {"enabled": False}, **execution})
    return run(base, "prepare", FEATURE_CACHE_URI=f"file://{base}/cache")


def state_of(base: Path) -> dict:
    return json.loads((base / "processing/output/plan/state.json").read_text())


def trained(base: Path, output: Path, **hyperparameters: str) -> subprocess.CompletedProcess[str]:
    for channel in ("features", "weights"):
        shutil.copytree(output / channel, base / "input/data" / channel)
    (base / "input/config").mkdir()
    (base / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters))
    return run(base, "train")


@pytest.mark.slow
def test_photos_become_a_model_that_is_judged_without_pytorch(tmp_path):
    preparing, training = tmp_path / "prepare", tmp_path / "train"
    done = prepared(preparing, pretrained=True)
    assert done.returncode == 0, done.stderr
    state = state_of(preparing)
    assert state["pytorch"] == {"prepare": False, "training": False, "reason": ""}
    hyperparameters = {**state["training"]["hyperparameters"], "debug_hook": "reductions"}
    done = trained(training, preparing / "processing/output", **hyperparameters)
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = json.loads((training / "model/manifest.json").read_text())
    assert manifest["library_versions"]["onnx"]
    assert "no smdebug hook" not in done.stderr
    observations = training / "output/data/observations"
    shutil.copytree(training / "output/data", tmp_path / "health/processing/input/training/output/data")
    done = run(tmp_path / "health", "health")
    assert done.returncode == 0, done.stderr
    # smdebug itself reads what its hook wrote there, in the image with PyTorch as well.
    from training_code.debugging.smdebug_compatibility import load_smdebug

    load_smdebug()
    from smdebug.trials import create_trial

    trial = create_trial(str(observations / "tensors"))
    assert trial.tensor_names(collection="losses") and trial.loaded_all_steps


@pytest.mark.slow
def test_a_backbone_that_only_pytorch_runs_is_told_before_the_first_photo_until_it_is_there_as_onnx(tmp_path):
    done = prepared(tmp_path, model="squeezenet1_1", pretrained=False)
    assert done.returncode == 0, done.stderr
    reason = "squeezenet1_1 has not been traced to ONNX yet"
    assert state_of(tmp_path) == {"pytorch": {"prepare": True, "training": False, "reason": reason}}
    assert "photos looked at" not in done.stdout
    assert not (tmp_path / "processing/output/plan/plan.json").exists()
    in_the_other = subprocess.run(
        [sys.executable, "-m", "training_code", "prepare"], cwd=ROOT, text=True, capture_output=True, timeout=300,
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path), "FEATURE_CACHE_URI": f"file://{tmp_path}/cache"},
    )  # fmt: skip
    assert in_the_other.returncode == 0, in_the_other.stderr
    shutil.rmtree(tmp_path / "processing/output")
    done = prepared(tmp_path, model="squeezenet1_1", pretrained=False)
    assert done.returncode == 0, done.stderr
    assert state_of(tmp_path)["pytorch"]["prepare"] is False


@pytest.mark.parametrize("command", ["evaluate", "health"])
def test_the_commands_that_judge_import_nothing_of_it(tmp_path, command):
    done = run(tmp_path, command)
    assert "ImportError" not in done.stderr and "ModuleNotFoundError" not in done.stderr, done.stderr


def test_fine_tuning_without_pytorch_says_which_image_it_needs(tmp_path):
    (tmp_path / "input/config").mkdir(parents=True)
    (tmp_path / "input/config/hyperparameters.json").write_text(json.dumps({"fine_tune": "all"}))
    done = run(tmp_path, "train")
    assert done.returncode == 1
    assert "has no PyTorch, which is needed by fine_tune=all" in (tmp_path / "output/failure").read_text()


def test_what_both_images_hold_is_locked_in_one_version():
    def pinned(file: str) -> dict[str, str]:
        lines = [line.split()[0] for line in (ROOM / file).read_text().splitlines() if "==" in line and line[0] != " "]
        return dict(line.split("==") for line in lines)

    light, heavy = pinned("requirements.txt"), pinned("requirements-torch.txt")
    assert light.items() <= heavy.items()
    assert not {"torch", "torchvision", "timm", "triton"} & light.keys()
    assert not [name for name in light if name.startswith(("nvidia-c", "cuda-"))]
