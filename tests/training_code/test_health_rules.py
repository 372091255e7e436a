"""Each rule, proven by a training that truly has the fault and by one that has not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch
from torch import nn

from contract.health_rules import RULE_NAMES
from tests.training_code.observed_training import decoding, outcome, perceptron, photos, slow_storage, train
from training_code.health.chosen import BY_NAME, chosen_rules
from training_code.health.observations import Observations
from training_code.health.rules import RULES
from training_code.profiling import steps

pytestmark = pytest.mark.alone
ROOT = Path(__file__).resolve().parents[2]
SAMPLED = {"profiler_interval_ms": "100"}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> Observations:
    torch.set_num_threads(1)
    return train(tmp_path_factory.mktemp("healthy"), perceptron(), photos(), epochs=12, learning_rate=0.2)


def found(name: str, observed: Observations, **parameters: float) -> dict:
    """Trainings of tests are short: what could be gained does not decide here."""
    whatever = {"min_gain_seconds": 0.0} if "min_gain_seconds" in BY_NAME[name].parameters else {}
    result = outcome(name, observed, **{**whatever, **parameters})
    assert result["status"] == "IssuesFound", result["seen"]
    assert result["why"] and result["change"] and result["seen"]
    return result


def clean(name: str, observed: Observations, **parameters: float) -> dict:
    result = outcome(name, observed, **parameters)
    assert result["status"] == "NoIssuesFound", result["seen"]
    return result


def test_every_rule_is_registered_with_a_definition():
    assert [rule.name for rule in RULES] == list(RULE_NAMES)
    assert all(len(rule.definition) > 40 for rule in RULES)


@pytest.mark.parametrize("name", RULE_NAMES)
def test_a_rule_without_anything_to_look_at_says_what_it_lacks(name):
    result = outcome(name, Observations())
    assert result["status"] == "NoData" and result["seen"]


@pytest.mark.parametrize(
    "name",
    [n for n in RULE_NAMES[:9] if n != "SaturatedActivation"] + ["StepOutlier", "LongEvaluation"],
)
def test_a_healthy_training_raises_no_alarm(name, healthy):
    parameters = {"share": 1.0} if name == "StepOutlier" else {}  # the machine under the tests is shared
    parameters |= {"max_ratio": 1.0} if name == "LongEvaluation" else {}
    clean(name, healthy, **parameters)


def test_a_loss_that_does_not_decrease_is_found(tmp_path):
    result = found("LossNotDecreasing", train(tmp_path, perceptron(), photos(), epochs=12, learning_rate=1e-9))
    assert "does not fall" in result["seen"]


@pytest.mark.parametrize(("learning_rate", "status"), [(1e-9, "IssuesFound"), (0.1, "NoIssuesFound")])
def test_whether_the_loss_decreases_does_not_depend_on_how_quick_the_machine_was(
    tmp_path, monkeypatch, learning_rate, status
):  # fmt: skip
    """Steps are recorded in groups that end with the clock: a busy machine makes other groups of the same losses."""
    for name in ("FIRST_GROUP_SECONDS", "GROUP_SECONDS"):
        monkeypatch.setattr(steps, name, 0.0)
    observed = train(tmp_path, perceptron(), photos(), epochs=12, learning_rate=learning_rate)
    losses = [record["loss"] for record in observed.train]
    assert len(losses) == 96, "each step is a record of its own"
    for seed in range(100):
        random, records, at = Random(seed), [], 0
        while at < len(losses):
            group = losses[at : at + random.randint(1, random.choice((1, 8, 20)))]
            records.append({"mode": "TRAIN", "step": at, "steps": len(group), "loss": sum(group) / len(group)})
            records[-1] |= {"seconds": 0.01, "nonfinite": 0}
            at += len(group)
        result = outcome("LossNotDecreasing", Observations(steps=records))
        assert result["status"] == status, f"groups drawn with seed {seed}: {result['seen']}"


def test_a_loss_that_rises_is_found(tmp_path):
    result = found("LossNotDecreasing", train(tmp_path, perceptron(), photos(noise=0.5), epochs=12, learning_rate=9.0))
    assert result["values"]["last_loss"] > result["values"]["lowest_loss"]


def test_a_gradient_that_vanishes_in_deep_sigmoids_is_found(tmp_path):
    observed = train(tmp_path, perceptron(nn.Sigmoid, depth=14), photos(), epochs=3)
    assert "0.weight" in found("VanishingGradient", observed)["values"]["vanished"]


def test_a_convolution_bias_in_front_of_batch_norm_is_no_vanishing_gradient(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 8, 3, padding=1, bias=True), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Flatten(), nn.Linear(128, 3),
    )  # fmt: skip
    observed = train(tmp_path, model, photos(), epochs=3)
    bias = [record["gradients"]["1.bias"]["abs_mean"] for record in observed.tensors]
    assert max(bias) < 1e-7, "the bias has the tiny gradient that a naive rule would report"
    clean("VanishingGradient", observed)


def test_frozen_layers_are_not_judged(tmp_path):
    model = perceptron()
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    observed = train(tmp_path, model, photos(), epochs=3)
    assert all("0.weight" not in record["gradients"] for record in observed.tensors)
    clean("VanishingGradient", observed)


def test_a_tensor_that_explodes_is_found(tmp_path):
    observed = train(tmp_path, perceptron(nn.Identity, depth=4), photos(), epochs=4, learning_rate=1e4)
    assert "not finite" in found("ExplodingTensor", observed)["seen"]


@pytest.fixture(scope="module")
def memorised(tmp_path_factory) -> Observations:
    """A large model, few photos, mostly wrong labels: it can only remember."""
    torch.set_num_threads(1)
    data, validation = photos(48, noise=0.8), photos(200, noise=0.8, seed=5)
    return train(
        tmp_path_factory.mktemp("memorised"),
        perceptron(width=128),
        data,
        validation,
        epochs=60,
        batch=16,
        learning_rate=0.3,
    )


def test_overfitting_is_found(memorised):
    values = found("Overfit", memorised)["values"]
    assert values["validation_loss"] > 2 * values["train_loss"]


def test_overtraining_is_found_and_its_cost_is_measured(memorised):
    result = found("Overtraining", memorised)
    last = memorised.epochs[-1]["time"] - memorised.epochs[result["values"]["best_epoch"]]["time"]
    assert result["gain_seconds"] == pytest.approx(last)


def epochs_of(losses: list[float], seconds: float = 0.1) -> Observations:
    return Observations(
        epochs=[{"epoch": n, "validation:loss": loss, "time": n * seconds} for n, loss in enumerate(losses)]
    )


def test_a_loss_that_stays_is_overtraining_only_where_it_costs_ten_seconds():
    losses = [1.0, 0.5, 0.4, 0.399, 0.398, 0.397, 0.3985, 0.398]
    assert "it stays" in clean("Overtraining", epochs_of(losses))["seen"]
    result = found("Overtraining", epochs_of(losses, seconds=5))
    assert "lowest in epoch 5 (0.397)" in result["seen"], "the lowest is the lowest, however small the step to it"
    assert found("Overtraining", epochs_of([*losses, 0.41]))["gain_seconds"] < 1, "a rise makes the model worse"


def test_rules_about_time_say_nothing_where_less_than_ten_seconds_could_be_gained(tmp_path):
    observed = train(tmp_path, perceptron(), photos(64), photos(20000), epochs=4, evaluations=20)
    found("LongEvaluation", observed)
    assert "too little to act on" in clean("LongEvaluation", observed)["seen"]


def test_equal_weights_are_found(tmp_path):
    model = perceptron()
    nn.init.constant_(model[0].weight, 0.05)
    nn.init.constant_(model[2].weight, 0.05)
    assert found("PoorWeightInitialization", train(tmp_path, model, photos(), epochs=3))["steps"] == (0,)


def test_weights_far_too_large_are_found(tmp_path):
    model = perceptron()
    for layer in model[::2]:
        nn.init.normal_(layer.weight, std=30.0)
    found("PoorWeightInitialization", train(tmp_path, model, photos(), epochs=3, learning_rate=1e-6))


def test_a_last_layer_of_zeros_is_no_poor_initialization(tmp_path):
    model = perceptron()
    nn.init.zeros_(model[-1].weight)
    clean("PoorWeightInitialization", train(tmp_path, model, photos(), epochs=6, learning_rate=0.5))


def test_dead_relus_are_found(tmp_path):
    model = perceptron()
    nn.init.constant_(model[2].bias, -50.0)
    assert found("DeadRelu", train(tmp_path, model, photos(), epochs=3))["values"]["layers"] == ["3"]


@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Tanh])
def test_saturated_activations_are_found(tmp_path, activation):
    model = perceptron(activation)
    nn.init.normal_(model[0].weight, std=20.0)
    found("SaturatedActivation", train(tmp_path / "bad", model, photos(), epochs=3))
    clean("SaturatedActivation", train(tmp_path / "good", perceptron(activation), photos(), epochs=3))


def test_class_imbalance_is_found(tmp_path):
    observed = train(tmp_path, perceptron(), photos(), epochs=1, counts={"ant": 1500, "bee": 60, "wasp": 700})
    assert "bee: 60" in found("ClassImbalance", observed)["seen"]


def _gpu_samples(observed: Observations, percent: float) -> Observations:
    """The samples of a real training with the GPU part that the sampler writes where there is a GPU (there is none here)."""
    gpu = {"utilization": percent, "memory_used": 2e9, "memory_total": 16e9}
    return replace(observed, system=[{**sample, "gpus": [gpu]} for sample in observed.system])


@pytest.fixture(scope="module")
def waiting(tmp_path_factory) -> Observations:
    torch.set_num_threads(1)
    base = tmp_path_factory.mktemp("waiting")
    return train(base, perceptron(), photos(), samples=9, load=slow_storage, settings=SAMPLED)


@pytest.fixture(scope="module")
def computing(tmp_path_factory) -> Observations:
    torch.set_num_threads(1)
    base = tmp_path_factory.mktemp("computing")
    return train(base, perceptron(), photos(), samples=9, load=decoding, settings=SAMPLED)


@pytest.fixture(scope="module")
def busy(tmp_path_factory) -> Observations:
    """A training that computes all the time, on all processors."""
    torch.set_num_threads(os.cpu_count() or 1)
    base = tmp_path_factory.mktemp("busy")
    return train(
        base, perceptron(width=1500), photos(4096), samples=9, batch=1024, learning_rate=0.01, settings=SAMPLED
    )


def test_an_idle_gpu_is_found_and_named(waiting):
    result = found("LowGPUUtilization", _gpu_samples(waiting, 4.0))
    assert "waits for data" in result["seen"] and "mean 4 %" in result["seen"]
    clean("LowGPUUtilization", _gpu_samples(waiting, 93.0))


def test_a_machine_without_gpu_gives_the_gpu_rule_no_data(waiting):
    assert "no GPU" in outcome("LowGPUUtilization", waiting)["seen"]


# The machine that runs the tests is shared: a busy training may get less than half of it, so limits are lower here, the
# same for the training with the fault and for the one without.
def test_idle_processors_are_found(waiting, busy):
    found("LowCPUUtilization", waiting, threshold=25)
    clean("LowCPUUtilization", busy, threshold=25)


def test_data_loading_that_computes_is_a_bottleneck_of_the_processor(computing, busy):
    result = found("CPUBottleneck", computing, busy_processors=0.15)
    assert "data loading dominates" in result["seen"]
    assert outcome("IOBottleneck", computing, busy_processors=0.15)["status"] == "NoIssuesFound"
    clean("CPUBottleneck", busy)


def test_data_loading_that_waits_is_a_bottleneck_of_storage(waiting, busy):
    result = found("IOBottleneck", waiting, busy_processors=0.15)
    assert result["gain_seconds"] == pytest.approx(waiting.phase_seconds("data"), rel=0.2)
    assert outcome("CPUBottleneck", waiting, busy_processors=0.15)["status"] == "NoIssuesFound"
    clean("IOBottleneck", busy)


def test_a_batch_that_leaves_the_machine_idle_is_found(tmp_path, busy):
    latency = train(tmp_path, perceptron(), photos(40), samples=9, batch=1, after=slow_storage, settings=SAMPLED)
    assert found("BatchSize", latency, utilization_threshold=25)["values"]["batch"] == 1
    clean("BatchSize", busy, utilization_threshold=25)


def test_a_training_pinned_to_one_processor_is_unbalanced(tmp_path, busy):
    allowed = os.sched_getaffinity(0)
    assert len(allowed) > 1, "this test needs two processors"
    os.sched_setaffinity(0, {min(allowed)})
    try:
        pinned = train(
            tmp_path, perceptron(width=1000), photos(2048), samples=9, batch=512, settings=SAMPLED, learning_rate=0.01
        )
    finally:
        os.sched_setaffinity(0, allowed)
    found("LoadBalancing", pinned)
    clean("LoadBalancing", busy)


def test_steps_that_stand_out_are_found(tmp_path):
    def hiccup(step: int) -> None:
        time.sleep(0.15 if step in (13, 27) else 0.002)

    observed = train(tmp_path, perceptron(), photos(), epochs=6, load=hiccup)
    result = found("StepOutlier", observed)
    detailed = replace(observed, run={**observed.run, "hyperparameters": {"profiler_steps": "30"}})
    assert 27 not in outcome("StepOutlier", detailed)["steps"], "steps under torch.profiler are slow because of it"
    assert set(result["steps"]) >= {13, 27} and "mostly in data" in result["seen"]


def test_evaluation_that_takes_longer_than_training_is_found_and_named(tmp_path):
    observed = train(tmp_path, perceptron(), photos(64), photos(20000), epochs=4, evaluations=20)
    assert "longer than training" in found("LongEvaluation", observed)["seen"]


SCRIPT = """
import sys, time
from pathlib import Path
from training_code.observers import observers_for
time.sleep(float(sys.argv[2]))  # stands for the slow reading of many small files
observer = observers_for(Path(sys.argv[1]), {"profiler_interval_ms": "0"})
observer.mode("TRAIN")
for step in range(30):
    observer.step(1.0 / (step + 1), 1)
observer.close()
assert "torch" not in sys.modules and "smdebug" not in sys.modules and "psutil" not in sys.modules
"""


@pytest.mark.parametrize(("delay", "status"), [("1.6", "IssuesFound"), ("0", "NoIssuesFound")])
def test_a_long_initialization_is_found(tmp_path, delay, status):
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path), delay], check=True, cwd=ROOT, timeout=60)
    observed = Observations.read(tmp_path / "output" / "data" / "observations")
    assert outcome("MaxInitializationTime", observed, threshold_seconds=1.5)["status"] == status


def test_the_rules_of_a_sagemaker_configuration_are_understood():
    entry = {
        "RuleConfigurationName": "r",
        "RuleParameters": {"rule_to_invoke": "VanishingGradient", "threshold": "0.001"},
    }
    ((rule, parameters),) = chosen_rules({"rules": [entry]})
    assert (rule.name, parameters) == ("VanishingGradient", {"threshold": 0.001})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "Overfitting"}, "rule 'Overfitting' is not known; allowed: LossNotDecreasing"),
        (
            {"name": "Overfit", "parameters": {"ratio": 1}},
            "rule Overfit has no parameter ratio; allowed: ratio_threshold",
        ),
        ({"name": "Overfit", "parameters": {"patience": "two"}}, "parameter patience of rule Overfit is 'two'"),
    ],
)
def test_a_wrong_rule_configuration_is_refused_with_what_is_allowed(entry, message):
    with pytest.raises(ValueError, match=message):
        chosen_rules({"rules": [entry]})


def test_observations_are_readable_while_they_are_written(tmp_path):
    (tmp_path / "steps.jsonl").write_text(json.dumps({"mode": "TRAIN", "step": 0}) + '\n{"mode": "TR')
    assert len(Observations.read(tmp_path).steps) == 1


def test_the_documentation_describes_the_rules_as_they_are():
    from training_code.health.documentation import with_rules

    page = (ROOT / "docs" / "health.md").read_text(encoding="utf-8")
    assert page == with_rules(page), "run: python -m training_code.health.documentation"
