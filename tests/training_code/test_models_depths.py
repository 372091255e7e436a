"""Depths of a traced backbone: found without naming an architecture, pooled as PyTorch pools them, and nested."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from training_code.models import backbone
from training_code.models.catalogue import resolve
from training_code.models.depths import deepened, depths_of
from training_code.models.export import FEATURES, backbone_to_onnx, run_onnx

SIDE = 64


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    module, _ = backbone.load(resolve("resnet18", SIDE), None, 3)
    path = backbone_to_onnx(module, (SIDE, SIDE), tmp_path_factory.mktemp("traced") / "backbone.onnx")
    return module, path


@pytest.mark.slow
def test_the_depths_of_a_residual_network_are_its_stages_and_their_pooling_is_that_of_torch(traced, tmp_path):
    module, path = traced
    assert [(one.channels, one.side) for one in depths_of(path)] == [(512, 2), (256, 4), (128, 8), (64, 16)]
    widths = deepened(path, FEATURES, tmp_path / "deep.onnx", 8)
    assert widths == [512, 512 + 512, 1024 + 512, 1536 + 256, 1792 + 128], "the mean of the last stage is there already"
    kept = {}
    for name in ("layer4", "layer3", "layer2", "layer1"):
        getattr(module, name).register_forward_hook(lambda _, __, out, name=name: kept.__setitem__(name, out))
    images = np.random.default_rng(0).normal(size=(2, 3, SIDE, SIDE)).astype(np.float32)
    with torch.inference_mode():
        own = module(torch.from_numpy(images))
    parts = [own, kept["layer4"].std(dim=(2, 3), correction=0)]
    for name in ("layer3", "layer2", "layer1"):
        parts += [kept[name].mean(dim=(2, 3)), kept[name].std(dim=(2, 3), correction=0)]
    np.testing.assert_allclose(
        run_onnx(tmp_path / "deep.onnx", images), torch.cat(parts, 1).numpy(), rtol=1e-3, atol=1e-4
    )


@pytest.mark.slow
def test_features_of_fewer_depths_are_the_first_columns(traced, tmp_path):
    _, path = traced
    images = np.random.default_rng(0).normal(size=(2, 3, SIDE, SIDE)).astype(np.float32)
    widths = deepened(path, FEATURES, tmp_path / "all.onnx", 8)
    everything = run_onnx(tmp_path / "all.onnx", images)
    for depths in (1, 2, 4):
        assert deepened(path, FEATURES, tmp_path / "some.onnx", depths) == widths[:depths]
        some = run_onnx(tmp_path / "some.onnx", images)
        np.testing.assert_allclose(some, everything[:, : widths[depths - 1]], rtol=1e-4, atol=1e-5)
        nodes = [node.output[0] for node in onnx.load(str(tmp_path / "some.onnx")).graph.node]
        assert sum(name.endswith("_spread") for name in nodes) == depths - 1, "the file holds no more than it answers"
