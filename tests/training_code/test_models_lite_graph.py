"""EfficientNet-Lite without PyTorch: the graph that is built answers as PyTorch does, and the reader reads what torch wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from contract.failure import JobFailure
from training_code.models import backbone
from training_code.models.catalogue import resolve
from training_code.models.export import run_onnx
from training_code.models.lite_graph import lite_to_onnx
from training_code.models.weight_values import values_of
from training_code.models.weights import resolve as weights_of

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "side"), [("efficientnet_lite0", 0), ("efficientnet_lite1", 75), ("efficientnet_lite2", 97)]
)
def test_the_graph_answers_as_pytorch_does(name, side, tmp_path):
    """Odd sides have paddings that even ones have not."""
    spec, weights = resolve(name, side), weights_of(name).path
    images = np.random.default_rng(0).normal(size=(2, 3, *spec.preprocessing.input_size)).astype(np.float32)
    module, width = backbone.load(spec, weights)
    with torch.inference_mode():
        expected = module(torch.from_numpy(images)).numpy()
    path = lite_to_onnx(values_of(weights), spec, tmp_path / "lite.onnx")
    answers = run_onnx(path, images)
    assert answers.shape == (2, width) and np.abs(expected).max() > 0.5
    np.testing.assert_allclose(answers, expected, atol=1e-4)


def test_values_are_those_that_torch_reads(tmp_path):
    whole = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = {
        "plain": whole, "turned": whole.t(), "part": whole[1:3, ::2], "half": whole.half(), "count": torch.tensor(7),
        "empty": torch.zeros(0, 3),
    }  # fmt: skip
    torch.save(state, tmp_path / "new.pt")
    torch.save({"state_dict": state}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "safe.safetensors")
    for name in ("new.pt", "old.pt", "safe.safetensors"):
        found = values_of(tmp_path / name)
        assert set(found) == set(state)
        for key, value in state.items():
            np.testing.assert_array_equal(found[key], value.numpy())


def test_weights_of_another_sister_and_values_that_are_not_finite_are_refused(tmp_path):
    state = {name: np.array(value) for name, value in values_of(weights_of("efficientnet_lite0").path).items()}
    with pytest.raises(JobFailure, match=r"do not fit efficientnet_lite2.*of another shape"):
        lite_to_onnx(state, resolve("efficientnet_lite2"), tmp_path / "x.onnx")
    with pytest.raises(JobFailure, match=r"of its .* tensors missing"):
        lite_to_onnx(
            {name: v for name, v in state.items() if "head" not in name},
            resolve("efficientnet_lite0"),
            tmp_path / "x.onnx",
        )
    with pytest.raises(JobFailure, match="that it does not have"):
        lite_to_onnx(
            state | {"_blocks.99.weight": state["_fc.bias"]}, resolve("efficientnet_lite0"), tmp_path / "x.onnx"
        )
    state["_bn1.bias"][3] = np.nan
    with pytest.raises(JobFailure, match="not finite"):
        lite_to_onnx(state, resolve("efficientnet_lite0"), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_bfloat16_is_refused_by_name(tmp_path):
    torch.save({"w": torch.zeros(2, dtype=torch.bfloat16)}, tmp_path / "b.pt")
    with pytest.raises(JobFailure, match="holds w as BFloat16"):
        values_of(tmp_path / "b.pt")


WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision", "timm", "smdebug", "pandas", "scipy", "sklearn", "safetensors", "efficientnet_lite_pytorch"):
    sys.modules[name] = None  # an import of it fails
from pathlib import Path
from training_code.models.catalogue import resolve
from training_code.models.staging import traced_backbone
from training_code.models.weights import resolve as weights_of
print(traced_backbone(resolve("efficientnet_lite0", 64), weights_of("efficientnet_lite0"), Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_the_backbone_is_made_where_there_is_no_torch(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path)], cwd=ROOT, text=True, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_file()
