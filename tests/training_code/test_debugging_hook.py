"""The real smdebug hook on today's torch: configured as SageMaker does, read by smdebug itself."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.training_code.observed_training import outcome, perceptron, photos, train
from training_code.debugging import hook as hook_module
from training_code.debugging import statistics
from training_code.debugging.smdebug_compatibility import load_smdebug
from training_code.health.command import judge
from training_code.health.observations import Observations
from training_code.observation import NoObserver, ObserverGroup
from training_code.observers import observers_for

ROOT = Path(__file__).resolve().parents[2]
OBSERVATIONS = Path("output", "data", "observations")


def trial_of(directory: Path):
    load_smdebug()
    from smdebug.trials import create_trial

    return create_trial(str(directory))


def modes():
    load_smdebug()
    from smdebug import modes

    return modes


def configure(base: Path, monkeypatch, **hook) -> Path:
    """Writes debughookconfig.json as SageMaker does, and names it as SageMaker's variable does."""
    path = base / "debughookconfig.json"
    out = base / "tensors"
    path.write_text(json.dumps({"LocalPath": str(out), **hook}))
    monkeypatch.setenv("SMDEBUG_CONFIG_FILE_PATH", str(path))
    return out


def collection(name: str, **parameters: str) -> dict:
    return {"CollectionName": name, "CollectionParameters": {k.replace("__", "."): v for k, v in parameters.items()}}


def test_the_loss_of_both_modes_can_be_read_and_plotted(tmp_path, monkeypatch):
    out = configure(
        tmp_path,
        monkeypatch,
        CollectionConfigurations=[collection("losses", train__save_interval="4", eval__save_interval="1")],
    )
    observed = train(tmp_path, perceptron(), photos(), epochs=3)  # 8 steps an epoch
    trial = trial_of(out)
    loss = trial.tensor("CrossEntropyLoss_output_0")
    assert loss.steps(mode=modes().TRAIN) == [0, 4, 8, 12, 16, 20]
    assert loss.steps(mode=modes().EVAL) == [0, 1, 2]
    assert trial.loaded_all_steps, "the hook said that the training has ended"
    expected = [record["validation:loss"] for record in observed.epochs]
    assert [float(loss.value(k, mode=modes().EVAL)) for k in range(3)] == pytest.approx(expected, rel=1e-5)


def test_collections_are_saved_as_configured(tmp_path, monkeypatch):
    out = configure(
        tmp_path, monkeypatch,
        HookParameters={"save_interval": "8"},
        CollectionConfigurations=[
            collection("gradients", reductions="abs_mean,l2_norm"),
            collection("weights"),
            collection("mine", include_regex="^1_output_", save_interval="16"),
        ],
    )  # fmt: skip
    model = perceptron()
    train(tmp_path, model, photos(), epochs=3)
    trial = trial_of(out)
    gradient = trial.tensor("gradient/Sequential_0.weight")
    assert gradient.steps(mode=modes().TRAIN) == [0, 8, 16]
    assert set(gradient.reduction_values(8, mode=modes().TRAIN)) == {("mean", True), ("l2", False)}
    weight = trial.tensor("Sequential_0.weight").value(16, mode=modes().TRAIN)
    assert weight.shape == (32, 16), "weights were configured without reductions: they are whole"
    assert trial.tensor("1_output_0").steps(mode=modes().TRAIN) == [0, 16]
    assert trial.tensor("1_output_0").value(0, mode=modes().TRAIN).shape == (32, 32)


def test_the_open_setting_saves_reductions_of_everything(tmp_path):
    train(tmp_path, perceptron(), photos(), epochs=2, settings={"debug_hook": "reductions"})
    trial = trial_of(tmp_path / OBSERVATIONS / "tensors")
    names = set(trial.tensor_names())
    assert {
        "CrossEntropyLoss_output_0",
        "gradient/Sequential_2.weight",
        "Sequential_2.weight",
        "Sequential_2.bias",
        "1_output_0",
    } <= names
    assert ("mean", True) in trial.tensor("1_output_0").reduction_values(0, mode=modes().TRAIN)


def test_frozen_layers_have_weights_but_no_gradients(tmp_path):
    model = perceptron()
    model[0].requires_grad_(False)
    train(tmp_path, model, photos(), epochs=1, settings={"debug_hook": "reductions"})
    names = trial_of(tmp_path / OBSERVATIONS / "tensors").tensor_names()
    assert "Sequential_0.weight" in names and "gradient/Sequential_0.weight" not in names
    assert "gradient/Sequential_2.weight" in names


def test_a_numpy_head_is_saved_through_the_same_hook(tmp_path):
    observer = observers_for(tmp_path, {"debug_hook": "reductions", "profiler_interval_ms": "0"})
    weight = np.ones((3, 4), np.float32)
    for step in range(3):
        observer.tensors("gradient", lambda: {"head.weight": weight * 0.5})
        observer.tensors("weight", lambda: {"head.weight": weight})
        observer.step(1.0 / (step + 1), 8)
    observer.close()
    trial = trial_of(tmp_path / OBSERVATIONS / "tensors")
    assert trial.tensor("gradient/head.weight").reduction_value(
        0, "mean", mode=modes().TRAIN, abs=True
    ) == pytest.approx(0.5)


def test_the_rules_judge_a_training_by_smdebugs_files_alone(tmp_path, monkeypatch):
    every = {"train__save_interval": "2", "eval__save_interval": "2"}
    out = configure(
        tmp_path, monkeypatch,
        CollectionConfigurations=[collection("losses", **every), collection("gradients", reductions="abs_mean", **every)],
    )  # fmt: skip
    train(
        tmp_path, perceptron(nn.Sigmoid, depth=14), photos(), epochs=4, learning_rate=1e-9, settings={"observe": "off"}
    )
    assert not (tmp_path / OBSERVATIONS).exists()
    result = judge(
        out.parent,
        tmp_path / "health",
        {"rules": [{"name": "VanishingGradient"}, {"name": "LossNotDecreasing"}, {"name": "StepOutlier"}]},
    )
    assert [rule["status"] for rule in result["rules"]] == ["IssuesFound", "IssuesFound", "NoData"]


def test_nothing_is_registered_between_saved_steps(tmp_path):
    model = perceptron()
    observer = hook_module.SmdebugHook("reductions", tmp_path / "tensors")
    observer.model_ready(model, nn.CrossEntropyLoss(), None)
    hooks = []
    for _ in range(3):
        model(photos()[0])
        hooks.append(sum(len(module._forward_hooks) for module in model.modules()))
        observer.step(torch.tensor(1.0), 8)
    observer.close()
    assert hooks == [len(list(model.modules())), 0, 0]
    assert not model._forward_pre_hooks, "and nothing at all after the end"


NOT_ASKED = """
import sys
from pathlib import Path
from training_code.observation import NoObserver
from training_code.observers import observers_for
observer = observers_for(Path(sys.argv[1]), {"observe": "off"})
assert isinstance(observer, NoObserver), observer
observer = observers_for(Path(sys.argv[1]), {"profiler_interval_ms": "0"})
observer.step(1.0, 1)
observer.close()
assert not [name for name in sys.modules if name.split(".")[0] in ("smdebug", "torch", "numpy", "psutil")]
"""


def test_a_training_that_did_not_ask_for_the_hook_does_not_import_it(tmp_path):
    subprocess.run([sys.executable, "-c", NOT_ASKED, str(tmp_path)], check=True, cwd=ROOT, timeout=60)


def test_a_broken_hook_configuration_is_a_warning_and_the_training_goes_on(tmp_path, monkeypatch, caplog):
    configure(tmp_path, monkeypatch, CollectionConfigurations=[collection("losses", reductions="no_such_reduction")])
    with caplog.at_level(logging.WARNING, "darkroom.observation"):
        observed = train(tmp_path, perceptron(), photos(), epochs=2)
    assert "no smdebug hook in this training" in caplog.text
    assert observed.train_steps == 16


def test_a_disk_that_is_full_for_the_hook_is_a_warning_and_the_training_goes_on(tmp_path, caplog):
    class FullDisk(NoObserver):
        steps = 0

        def step(self, loss, batch_size):
            FullDisk.steps += 1
            raise OSError(28, "No space left on device")

    group = ObserverGroup([FullDisk(), *observers_for(tmp_path, {"profiler_interval_ms": "0"})._members])
    with caplog.at_level(logging.WARNING, "darkroom.observation"):
        observed = train(tmp_path, perceptron(), photos(), epochs=2, observer=group)
    assert FullDisk.steps == 1 and caplog.text.count("FullDisk failed in step") == 1
    assert observed.train_steps == 16, "the other observers went on"


def test_a_failure_inside_the_model_is_a_warning_and_the_training_goes_on(tmp_path, caplog):
    """Where the hook writes from within forward: its folder is not a folder any more."""
    hook = hook_module.SmdebugHook("reductions", tmp_path / "tensors")
    shutil.rmtree(tmp_path / "tensors", ignore_errors=True)
    (tmp_path / "tensors").write_text("a file")
    group = ObserverGroup([hook, *observers_for(tmp_path, {"profiler_interval_ms": "0"})._members])
    with caplog.at_level(logging.WARNING, "darkroom.observation"):
        observed = train(tmp_path, perceptron(), photos(), epochs=2, observer=group)
    assert "SmdebugHook failed in step" in caplog.text
    assert observed.train_steps == 16


def test_a_failure_of_the_training_passes_through_a_phase(tmp_path):
    observer = observers_for(tmp_path, {"profiler_interval_ms": "0"})
    with pytest.raises(ZeroDivisionError), observer.phase("forward"):
        raise ZeroDivisionError
    observer.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"debug_hook": "everything"}, "debug_hook is 'everything'; allowed: off, losses, reductions"),
        ({"profiler_interval_ms": "50"}, "profiler_interval_ms is 50; allowed: 0 (off) or 100 to 60000"),
        ({"stop_on": "Overfitting"}, "stop_on names Overfitting; allowed: LossNotDecreasing"),
    ],
)
def test_a_wrong_setting_is_a_warning_that_says_what_is_allowed(tmp_path, caplog, settings, message):
    with caplog.at_level(logging.WARNING, "darkroom.observation"):
        assert isinstance(observers_for(tmp_path, settings), NoObserver)
    assert message in caplog.text


def test_whole_tensors_come_back_bit_for_bit(tmp_path, monkeypatch):
    out = configure(
        tmp_path, monkeypatch, HookParameters={"save_interval": "1"}, CollectionConfigurations=[collection("weights")]
    )
    model = perceptron()
    before = model[0].weight.detach().numpy().copy()
    train(tmp_path, model, photos(32), epochs=1)
    saved = trial_of(out).tensor("Sequential_0.weight").value(0, mode=modes().TRAIN)
    assert saved.dtype == np.float32 and np.array_equal(saved, before)


class Clock:
    """Each question costs as long as it is told to; the rest of a step takes ten milliseconds."""

    time = staticmethod(time.time)

    def __init__(self, cost):
        self.now, self.cost = 0.0, cost

    def perf_counter(self):
        self.now += self.cost
        return self.now

    def step(self, _):
        self.now += 0.01


def test_statistics_are_taken_less_often_than_their_budget_allows(tmp_path, monkeypatch):
    looks = {}
    for name, cost in (("cheap", 1e-5), ("dear", 1e-2)):
        clock = Clock(cost)
        monkeypatch.setattr(statistics, "time", clock)
        observed = train(tmp_path / name, perceptron(), photos(4096), epochs=4, batch=16, after=clock.step)
        looks[name] = len(observed.tensors)
        assert outcome("ExplodingTensor", observed)["status"] == "NoIssuesFound"
    assert isinstance(observed, Observations)
    assert 3 <= looks["dear"] < looks["cheap"] < 0.25 * observed.train_steps


def test_the_collections_of_managed_mode_are_saved_and_judged(tmp_path, monkeypatch):
    """`relu_output` without a regular expression is what AWS's own examples configure for DeadRelu."""
    wanted = [collection(name, save_interval="4") for name in ("losses", "gradients", "weights", "relu_output")]
    out = configure(tmp_path, monkeypatch, CollectionConfigurations=wanted)
    model = perceptron()
    nn.init.constant_(model[2].bias, -50.0)
    train(tmp_path, model, photos(), epochs=2, settings={"observe": "off"})
    names = trial_of(out).tensor_names(collection="relu_output")
    assert names == ["1_output_0", "3_output_0"]
    rules = [{"name": "DeadRelu"}, {"name": "PoorWeightInitialization"}, {"name": "ExplodingTensor"}]
    result = judge(out.parent, tmp_path / "health", {"rules": rules})
    assert [rule["status"] for rule in result["rules"]] == ["IssuesFound", "NoIssuesFound", "NoIssuesFound"]


def test_a_collection_without_tensors_does_not_cost_the_others(tmp_path, monkeypatch, caplog):
    out = configure(
        tmp_path, monkeypatch, CollectionConfigurations=[collection("mine"), collection("losses", save_interval="1")]
    )
    with caplog.at_level(logging.WARNING, "darkroom.observation"):
        train(tmp_path, perceptron(), photos(64), epochs=1)
    assert "collection mine has no include_regex" in caplog.text
    assert len(trial_of(out).tensor("CrossEntropyLoss_output_0").steps(mode=modes().TRAIN)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2", "densenet121"])
def test_hook_and_statistics_work_with_models_of_the_store(tmp_path, name):
    """Frozen stem, activations in place, and a training and an evaluation mode."""
    from torchvision.models import get_model

    model = get_model(name, weights=None, num_classes=3)
    for parameter in list(model.parameters())[:3]:
        parameter.requires_grad_(False)
    observer = observers_for(tmp_path, {"debug_hook": "reductions", "profiler_interval_ms": "0"})
    members = len(observer._members)
    observer.model_ready(model, nn.functional.cross_entropy, None)
    for mode in ("TRAIN", "EVAL"):
        observer.mode(mode)
        loss = nn.functional.cross_entropy(
            model.train(mode == "TRAIN")(torch.randn(2, 3, 64, 64)), torch.tensor([0, 1])
        )
        if mode == "TRAIN":
            loss.backward()
        observer.step(loss.detach(), 2)
    assert len(observer._members) == members, "none was left out"
    observer.close()
    trained = sum(p.requires_grad for p in model.parameters())
    tensors = Observations.read(tmp_path / OBSERVATIONS).tensors[0]
    assert len(tensors["gradients"]) == trained and tensors["activations"]
    trial = trial_of(tmp_path / OBSERVATIONS / "tensors")
    assert len([n for n in trial.tensor_names() if n.startswith("gradient/")]) == trained
    assert trial.tensor("cross_entropy_Loss_output_0").steps(mode=modes().EVAL) == [0]
