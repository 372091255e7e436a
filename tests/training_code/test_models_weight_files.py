"""Weight files: what is in them is told without torch, and every tensor that an architecture needs is loaded or named."""

import argparse
import json
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from contract import weight_file
from contract.failure import JobFailure
from contract.weight_names import prefix_of
from training_code.models import backbone, check, export, resolve, weights

ROOT = Path(__file__).resolve().parents[2]
TIMM, TORCHVISION = "timm/test_resnet", "squeezenet1_1"
WRAPPINGS = {
    "as it is": lambda state: state,
    "DataParallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "torch.compile": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    "both": lambda state: {"state_dict": {f"module._orig_mod.{name}": value for name, value in state.items()}},
    "Lightning": lambda state: {
        "state_dict": {**{f"model.{name}": value for name, value in state.items()}, "criterion.weight": torch.ones(3)},
        "epoch": 3,
    },
    "a backbone of a larger model": lambda state: {f"backbone.{name}": value for name, value in state.items()},
    "PyTorch's ImageNet example": lambda state: {
        "epoch": 90, "arch": "resnet", "state_dict": state, "best_acc1": torch.tensor(71.0), "optimizer": {"state": {}},
    },
    "timm's script": lambda state: {"state_dict": state, "args": argparse.Namespace(lr=0.1), "metric": np.float64(0.7)},
    "an average beside the last step": lambda state: {
        "model": {name: torch.zeros_like(value) for name, value in state.items()}, "ema": {"module": state},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def states():
    import timm
    from torchvision import models

    built = {TIMM: timm.create_model("test_resnet"), TORCHVISION: models.get_model(TORCHVISION, weights=None)}
    return {
        name: {
            key: torch.full_like(value, 0.123) if value.is_floating_point() else value
            for key, value in model.state_dict().items()
        }
        for name, model in built.items()
    }


def loaded(name, path):
    module, _ = backbone.load(resolve(name, 64), path)
    values = [value for value in module.state_dict().values() if value.is_floating_point()]
    assert all(bool((value == 0.123).all()) for value in values), "every tensor is the file's"
    return module.loading


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("name", [TIMM, TORCHVISION])
def test_what_a_training_puts_around_its_names_is_taken_off(name, wrapping, states, tmp_path):
    torch.save(WRAPPINGS[wrapping](states[name]), tmp_path / "model_best.pth.tar")
    told = loaded(name, tmp_path / "model_best.pth.tar")
    assert told.loaded + told.replaced == len(states[name]) and told.replaced == 2
    assert told.beside == (wrapping == "Lightning")


@pytest.mark.parametrize("name", [TIMM, TORCHVISION])
@pytest.mark.parametrize("head", ["of other classes", "left out"])
def test_a_head_of_other_classes_or_none_at_all_is_no_hindrance_for_it_is_replaced(name, head, states, tmp_path):
    last = {TIMM: "fc", TORCHVISION: "classifier.1"}[name]
    state = {key: value for key, value in states[name].items() if not key.startswith(f"{last}.")}
    if head == "of other classes":
        state |= {f"{last}.weight": torch.ones(7, 3), f"{last}.bias": torch.ones(7)}
    torch.save(state, tmp_path / "w.pth")
    assert loaded(name, tmp_path / "w.pth").replaced == (2 if head == "of other classes" else 0)


def broken(state):
    first, last, *_ = [key for key, value in state.items() if value.is_floating_point() and value.ndim == 4]
    half = dict(list(state.items())[len(state) // 2 :])
    return {
        "nothing of it": ({"a": torch.zeros(3)}, rf"tensors missing \({first}"),
        "half of it": (half, r"tensors missing"),
        "a layer too many": ({**state, "another.weight": torch.zeros(3)}, r"does not have \(another.weight\)|tensors missing"),
        "another shape": ({**state, last: torch.zeros(1, 2, 3, 3)}, rf"{last}"),
        "whole numbers": ({**state, first: torch.ones_like(state[first], dtype=torch.int8)}, rf"{first} is int8"),
        "values of a diverged training": ({**state, last: state[last] * float("nan")}, rf"not finite \({last}"),
    }  # fmt: skip


@pytest.mark.parametrize("what", broken({"a": torch.zeros(1, 1, 1, 1), "b": torch.zeros(1, 1, 1, 1)}))
@pytest.mark.parametrize("name", [TIMM, TORCHVISION])
def test_what_does_not_fit_is_refused_by_name_and_never_called_pretrained(name, what, states, tmp_path):
    state, said = broken(states[name])[what]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(JobFailure, match=f"the weights do not fit {name}: .*(?:{said})"):
        backbone.load(resolve(name, 64), tmp_path / "w.pth")


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_larger_sister_that_holds_all_names_of_the_smaller_is_not_the_smaller(library, tmp_path):
    import timm
    from torchvision import models

    sister = timm.create_model("resnet34") if library == "timm" else models.get_model("resnet34", weights=None)
    torch.save(sister.state_dict(), tmp_path / "w.pth")
    with pytest.raises(JobFailure, match=r"do not fit .*resnet18: .*does not have \(layer1\.2"):
        backbone.load(resolve(f"{library}/resnet18", 64), tmp_path / "w.pth")


def test_names_of_another_training_are_left_to_timm_which_knows_them(tmp_path):
    """DenseNet's published names have a dot that no module of today may have; timm maps them."""
    import re

    import timm

    inner = re.compile(r"(denselayer[0-9]+[.](?:norm|conv))([0-9])")
    published = {
        "module." + inner.sub(r"\1.\2", name): value
        for name, value in timm.create_model("densenet121").state_dict().items()
        if "num_batches_tracked" not in name
    }
    assert any("norm.1" in name for name in published)
    torch.save(published, tmp_path / "w.pth")
    module, _ = backbone.load(resolve("timm/densenet121", 64), tmp_path / "w.pth")
    assert module.loading.loaded == len(published) - 2


def test_a_prefix_is_taken_off_only_where_names_fit_then():
    assert prefix_of(["module.conv.weight", "loss.weight"], ["conv.weight"]) == "module."
    assert prefix_of(["encoder.layer.weight"], ["encoder.layer.weight"]) == "", "an architecture's own name"
    assert prefix_of(["module.other.weight"], ["conv.weight"]) == "module."
    assert prefix_of(["a.weight", "module.b.weight"], ["conv.weight"]) == ""


def test_the_counts_travel_with_the_traced_network_into_the_model(states, tmp_path):
    torch.save(states[TIMM], tmp_path / "w.pth")
    module, width = backbone.load(resolve(TIMM, 64), tmp_path / "w.pth")
    traced = export.backbone_to_onnx(module, (64, 64), tmp_path / "backbone.onnx")
    head = [export.Layer(np.zeros((width, 3), np.float32), np.zeros(3, np.float32))]
    model = export.classifier_to_onnx(traced, head, tmp_path / "model.onnx")
    assert export.loading_of(model) == module.loading.to_dict() and module.loading.loaded > 10
    assert export.run_onnx(model, np.zeros((1, 3, 64, 64), np.float32)).shape == (1, 3)
    random, _ = backbone.load(resolve(TIMM, 64), None)
    assert export.loading_of(export.backbone_to_onnx(random, (64, 64), tmp_path / "random.onnx")) == {}


def test_the_checking_job_stores_what_fits_and_nothing_else(states, tmp_path):
    given, out = tmp_path / "in", tmp_path / "out"
    given.mkdir()
    torch.save(states[TIMM], given / "mine.pth")
    record = json.loads((check.store(TIMM, given, out) / weights.RECORD).read_text())
    assert record["loading"]["replaced"] == 2 and weights.resolve(TIMM, out).path.name == "mine.pth"
    with pytest.raises(JobFailure, match="do not fit resnet18"):
        check.store("resnet18", given, out)
    assert not (out / "resnet18").exists()


# --- files, read without torch


FORMATS = {
    "safetensors": lambda state, path: save_file(state, path),
    "zip": lambda state, path: torch.save(state, path),
    "before 1.6": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_names_and_shapes_are_those_that_torch_reads(kind, states, tmp_path):
    state = OrderedDict(states[TIMM])
    state["half"], state["view"] = (
        torch.zeros(2, 3, dtype=torch.bfloat16),
        torch.arange(12.0).reshape(3, 4).T.contiguous(),
    )
    FORMATS[kind](state, tmp_path / "w.bin")
    found = weight_file.tensors(weight_file.read(tmp_path / "w.bin"))
    assert {name: one.shape for name, one in found.items()} == {name: tuple(one.shape) for name, one in state.items()}
    assert found["half"].kind == "BFloat16" and found["view"].kind == "Float"
    assert list(weights.read_state(tmp_path / "w.bin")) == list(found) or kind == "safetensors"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_file_that_ends_early_is_told_at_every_length(kind, kept, states, tmp_path):
    FORMATS[kind](states[TIMM], tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(weight_file.NotWeights, match=r"ends early|empty|cannot be read|neither"):
        weight_file.tensors(weight_file.read(tmp_path / "w.pth"))


class Runs:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return Path.touch, (self.place,)


@pytest.mark.parametrize("kind", ["zip", "before 1.6"])
def test_code_in_a_file_is_not_run_and_its_class_is_named(kind, tmp_path):
    FORMATS[kind]({"weight": torch.ones(3), "more": Runs(tmp_path / "ran")}, tmp_path / "w.pth")
    with pytest.raises(weight_file.NotWeights, match=r"holds an object of the class .*save model.state_dict"):
        weight_file.read(tmp_path / "w.pth")
    with pytest.raises(JobFailure, match=r"save model\.state_dict"):
        weights.read_state(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_a_whole_model_is_refused_with_what_to_save(tmp_path):
    from torchvision import models

    torch.save(models.get_model("squeezenet1_1", weights=None), tmp_path / "w.pth")
    with pytest.raises(weight_file.NotWeights, match=r"holds the whole model .*SqueezeNet.*state_dict\(\) alone"):
        weight_file.read(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"not a checkpoint at all", "neither safetensors nor a torch checkpoint"),
        (b"PK\3\4" + b"0" * 64, "zip archive"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 64, "HDF5"),
        (b"<!DOCTYPE html><title>404</title>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (pickle.dumps({"weight": [1.0]}), "not one that torch.save wrote"),
    ],
)
def test_what_is_no_weight_file_is_called_what_it_is(data, said, tmp_path):
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(weight_file.NotWeights, match=said):
        weight_file.read(tmp_path / "w.pth")


def test_a_checkpoint_without_tensors_by_name_is_refused(tmp_path):
    torch.save({"epoch": 3, "loss": 0.5}, tmp_path / "w.pth")
    with pytest.raises(weight_file.NotWeights, match="holds no tensors by name, but a mapping of epoch, loss"):
        weight_file.tensors(weight_file.read(tmp_path / "w.pth"))


def test_reading_needs_no_torch(states, tmp_path):
    torch.save(states[TIMM], tmp_path / "w.pth")
    code = """
import sys
from pathlib import Path
from contract import weight_file
print(len(weight_file.tensors(weight_file.read(Path(sys.argv[1])))), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "w.pth"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == [str(len(states[TIMM])), "False"], done.stderr
