"""A head on cached features: learns, is honest about rare classes, resumes bitwise, and fails in words."""

import csv
import json
import os
import random
import re
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.hyperparameters import Hyperparameters
from contract.metrics import metric_definitions
from tests.training_code.tiny_jobs import (
    CLASSES,
    checkpoint_arrays,
    checkpoints_written,
    ended,
    in_child,
    job_folder,
    killed_at,
    tiny_features,
    train,
    wait_for,
)
from training_code.models.export import softmax
from training_code.observation import NoObserver
from training_code.train import run
from training_code.train.head import HeadTraining
from training_code.train.job import Job
from training_code.train.measures import class_weights, fit_temperature, score
from training_code.train.optimizers import Optimizer
from training_code.train.record import Record
from training_code.train.sampling import Sampler
from training_code.train.search import Search, TrialLog, best_of_search
from training_code.train.stopping import StopRequest

OBJECTIVE = "validation:balanced_accuracy"


def trained(features, **changes):
    chosen = Hyperparameters(**{"epochs": 15, "batch_size": 16, "learning_rate": 0.02, **changes})
    record = Record(chosen.objective, None, quiet=True)
    return HeadTraining(features, chosen, record, NoObserver(), StopRequest()).run(), record


def test_a_head_learns_what_can_be_learnt():
    result, _ = trained(tiny_features())
    assert result.metrics["validation:accuracy"] > 0.9


def test_labels_without_meaning_are_not_learnt():
    features = tiny_features(noise=1.0)
    features.validation.labels[:] = np.random.default_rng(1).permutation(features.validation.labels)
    result, _ = trained(features)
    assert result.metrics["validation:accuracy"] < 0.7


def test_folded_layers_answer_raw_features_as_the_training_answered_standardised_ones():
    features = tiny_features()
    result, _ = trained(features, hidden_units=8)
    from training_code.models.export import logits_of

    np.testing.assert_allclose(
        logits_of(features.validation.features, result.layers), result.validation_logits, atol=1e-4
    )


@pytest.mark.parametrize("balance", ["loss", "sampling"])
def test_a_rare_class_counts_as_much_as_the_others(balance):
    features = tiny_features(width=4, train=300, noise=2.5)
    keep = np.flatnonzero((features.train.labels != 2) | (np.arange(300) % 30 == 2))
    part = type(features.train)(
        features.train.features[keep], features.train.labels[keep], [features.train.ids[i] for i in keep], None
    )
    rare = type(features)(part, features.validation, CLASSES, "rare")
    recall = {
        how: (
            trained(rare, class_balance=how)[0].validation_logits.argmax(1)[features.validation.labels == 2] == 2
        ).mean()
        for how in (balance, "none")
    }
    assert recall[balance] > recall["none"]


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd", "rmsprop"])
def test_optimizers_step_as_those_of_torch(kind):
    import torch

    chosen = Hyperparameters(optimizer=kind, weight_decay=0.1, momentum=0.8, epsilon=1e-6)
    start = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    ours = {"w": start.copy()}
    optimizer = Optimizer(ours, chosen)
    theirs = torch.nn.Parameter(torch.from_numpy(start.copy()))
    make = {
        "adamw": lambda: torch.optim.AdamW([theirs], eps=1e-6, weight_decay=0.1),
        "adam": lambda: torch.optim.Adam([theirs], eps=1e-6, weight_decay=0.1),
        "sgd": lambda: torch.optim.SGD([theirs], momentum=0.8, weight_decay=0.1),
        "rmsprop": lambda: torch.optim.RMSprop([theirs], eps=1e-6, momentum=0.8, weight_decay=0.1),
    }[kind]()
    for step in range(7):
        gradient = np.random.default_rng(step + 1).normal(size=start.shape).astype(np.float32)
        for group in make.param_groups:
            group["lr"] = 0.01 / (step + 1)
        theirs.grad = torch.from_numpy(gradient.copy())
        make.step()
        optimizer.step({"w": gradient}, 0.01 / (step + 1))
    np.testing.assert_allclose(ours["w"], theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_torch():
    import torch

    features = tiny_features()
    chosen = Hyperparameters(hidden_units=6, dropout=0, label_smoothing=0.1, batch_size=16)
    training = HeadTraining(features, chosen, Record(OBJECTIVE, None, quiet=True), NoObserver(), StopRequest())
    training.parameters["0.bias"][:] = 0.3
    inputs, labels = features.train.features[:16], features.train.labels[:16]
    loss, caches, gradient = training._forward(inputs, labels, np.random.default_rng(0))
    ours = training._backward(caches, gradient)
    tensors = {name: torch.from_numpy(value.copy()).requires_grad_() for name, value in training.parameters.items()}
    hidden = torch.relu(torch.from_numpy(inputs) @ tensors["0.weight"] + tensors["0.bias"])
    logits = hidden @ tensors["1.weight"] + tensors["1.bias"]
    theirs = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels), weight=None, label_smoothing=0.1)
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=1e-4)
    for name, value in ours.items():
        np.testing.assert_allclose(value, tensors[name].grad.numpy(), atol=1e-5)


@pytest.mark.parametrize("hidden", [0, 6])
@pytest.mark.parametrize("dropout", [0.0, 0.2, 0.5])
def test_the_gradient_is_the_slope_of_the_loss_also_through_dropout(hidden, dropout):
    """Measured by moving each weight a little, with the same photos dropped out: dropout scales what it lets through."""
    features = tiny_features()
    chosen = Hyperparameters(hidden_units=hidden, dropout=dropout, label_smoothing=0.1)
    training = HeadTraining(features, chosen, Record(OBJECTIVE, None, quiet=True), NoObserver(), StopRequest())
    training.parameters = {name: value.astype(np.float64) for name, value in training.parameters.items()}
    training.gradients = {name: np.empty_like(value) for name, value in training.parameters.items()}
    inputs, labels = features.train.features[:16].astype(np.float64), features.train.labels[:16]

    def loss() -> float:
        return training._forward(inputs, labels, np.random.default_rng(5))[0]

    _, caches, gradient = training._forward(inputs, labels, np.random.default_rng(5))
    gradients = training._backward(caches, gradient)
    little = 1e-5
    for name, values in training.parameters.items():
        for place in np.random.default_rng(1).choice(values.size, min(20, values.size), replace=False):
            kept = values.flat[place]
            values.flat[place] = kept + little
            above = loss()
            values.flat[place] = kept - little
            slope = (above - loss()) / (2 * little)
            values.flat[place] = kept
            assert gradients[name].flat[place] == pytest.approx(slope, rel=1e-3, abs=1e-6), name


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 200), batch=st.integers(1, 64), seed=st.integers(0, 99), epoch=st.integers(0, 5))
def test_every_epoch_shows_every_photo_once_and_no_tiny_batch(n, batch, seed, epoch):
    sampler = Sampler(np.arange(n) % 2, 2, batch, seed, weighted=False)
    batches = sampler.epoch(epoch)
    assert sorted(np.concatenate(batches)) == list(range(n)) and len(batches) == sampler.steps
    assert min(len(one) for one in batches) >= min(batch, n) / 2
    again = sampler.epoch(epoch)
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))


def test_class_weights_give_every_class_the_same_share():
    labels = np.array([0] * 90 + [1] * 10)
    weights = class_weights(labels, 2, "loss")
    assert weights[0] * 90 == pytest.approx(weights[1] * 10)
    assert (class_weights(labels, 2, "none") == 1).all()


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.2, 5))
def test_calibration_finds_by_how_much_logits_are_too_loud(factor):
    random_numbers = np.random.default_rng(3)
    logits = random_numbers.normal(size=(4000, 3)) * 2
    odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (odds.cumsum(1) > random_numbers.random((4000, 1))).argmax(1)
    assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.12)


def test_a_handful_of_right_answers_does_not_make_the_model_certain():
    """49 photos, all right with a wide margin: without doubt the fit would sharpen until one wrong answer costs everything."""
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, 2, 49)
    logits = np.zeros((49, 2), np.float32)
    logits[np.arange(49), labels] = numbers.uniform(1, 3, 49)
    sharpened = softmax(logits / fit_temperature(logits, labels))
    assert 0.9 < sharpened.max(axis=1).mean() < 0.999


def test_balanced_accuracy_is_the_mean_recall():
    logits = np.array([[2, 0], [2, 0], [2, 0], [2, 0.0]])
    assert score(logits, np.array([0, 0, 0, 1])) == pytest.approx(
        {
            "validation:loss": score(logits, np.array([0, 0, 0, 1]))["validation:loss"],
            "validation:accuracy": 0.75,
            OBJECTIVE: 0.5,
        }
    )


def test_patience_ends_a_training_that_no_longer_gets_better():
    _, record = trained(tiny_features(noise=4.0), epochs=200, patience=3)
    assert len(record.epochs) < 200 and record.epochs_since_best == 3


# --- the command


def test_a_trial_prints_metrics_that_sagemaker_finds_and_writes_no_model(tmp_path, capfd):
    base = job_folder(tmp_path, {"epochs": "3", "export": "false"}, features=tiny_features())
    assert train(base) == 0
    printed = capfd.readouterr().out
    for definition in metric_definitions():
        # Three epochs and the best one again; rules judge the training that is exported.
        wanted = 0 if definition["Name"].startswith("health:") else 4
        assert len(re.findall(definition["Regex"], printed)) == wanted, definition
    last = float(re.findall(r"\bvalidation_balanced_accuracy=([0-9.]+);", printed)[-1])
    epochs = [json.loads(line) for line in (base / "output/data/epochs.jsonl").read_text().splitlines()]
    assert len(epochs) == 3 and last == pytest.approx(max(epoch[OBJECTIVE] for epoch in epochs), abs=1e-5)
    assert not (base / "model").exists() or not list((base / "model").iterdir())


def test_validation_predictions_name_every_photo_and_add_up_to_one(tmp_path):
    base = job_folder(tmp_path, {"epochs": "2", "export": "false"}, features=tiny_features())
    train(base)
    with (base / "output/data/validation_predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 45 and set(rows[0]) >= {"photo_id", "label", "prediction", "probability:crane fly"}
    assert all(abs(sum(float(row[f"probability:{name}"]) for name in CLASSES) - 1) < 1e-4 for row in rows)


@pytest.mark.parametrize(
    ("hyperparameters", "expected"),
    [
        ({"learning_rat": "0.1"}, "learning_rat: no such field"),
        ({"epochs": "0"}, "epochs: received 0; allowed: a whole number from 1 to 1000"),
        ({"optimizer": "lion"}, "allowed: adamw, adam, sgd, rmsprop"),
        (
            {"learning_rate": "10", "optimizer": "sgd", "weight_decay": "1", "epochs": "300", "export": "false"},
            "Lower learning_rate (try 1)",
        ),
        ({"fine_tune": "all"}, "channel 'photos': received none"),
        ({"search": "{}"}, "hyperparameters.search: received '{}'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_in_the_failure_file(tmp_path, hyperparameters, expected):
    base = job_folder(tmp_path, hyperparameters, features=tiny_features())
    assert train(base) == 1
    assert expected in (base / "output" / "failure").read_text()


def test_features_that_are_no_numbers_are_refused(tmp_path):
    base = job_folder(tmp_path, {}, features=tiny_features())
    np.save(base / "input/data/features/train.npy", np.full((90, 12), np.inf, np.float32))
    assert train(base) == 1
    assert "hold NaN or infinite values" in (base / "output" / "failure").read_text()


def test_a_job_without_features_says_which_channel_is_missing(tmp_path):
    assert train(job_folder(tmp_path, {})) == 1
    assert "channel 'features': received none" in (tmp_path / "output" / "failure").read_text()


def test_arguments_are_refused(tmp_path, monkeypatch):
    from training_code.train import main

    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    handler = signal.getsignal(signal.SIGTERM)
    assert main(["--epochs", "3"]) == 1
    signal.signal(signal.SIGTERM, handler)
    assert "it takes no arguments" in (tmp_path / "output" / "failure").read_text()


SLOW_ENOUGH = {
    "epochs": "60",
    "batch_size": "8",
    "export": "false",
    "checkpoint_steps": "3",
    "hidden_units": "16",
    "dropout": "0.2",
}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_head_killed_at_any_moment_ends_with_the_same_weights(tmp_path, seed):
    whole = job_folder(tmp_path / "whole", SLOW_ENOUGH, features=tiny_features())
    assert train(whole) == 0
    cut = job_folder(tmp_path / "cut", SLOW_ENOUGH, features=tiny_features())
    moments, kills = random.Random(seed), 0
    for _ in range(4):
        reached = checkpoints_written(cut, moments.randint(5, 40) - 1, "head.npz")
        kills += killed_at(in_child(lambda: train(cut), tmp_path / "log"), reached)
    assert kills >= 2
    assert ended(in_child(lambda: train(cut), tmp_path / "log"), 180) == 0
    expected, actual = checkpoint_arrays(whole), checkpoint_arrays(cut)
    assert expected.keys() == actual.keys()
    assert all((expected[name] == actual[name]).all() for name in expected)
    assert (whole / "output/data/epochs.jsonl").read_text() == (cut / "output/data/epochs.jsonl").read_text()


def test_sigterm_saves_and_leaves_in_order_and_the_training_goes_on_later(tmp_path):
    asked = {**SLOW_ENOUGH, "epochs": "1000", "checkpoint_steps": "1000000"}
    base = job_folder(tmp_path, asked, features=tiny_features())
    pid = in_child(lambda: train(base), tmp_path / "log")
    wait_for(lambda: (base / "output/data/epochs.jsonl").exists())
    os.kill(pid, signal.SIGTERM)
    assert ended(pid, 120) == 0
    assert not (base / "output" / "failure").exists()
    pid = in_child(lambda: train(base), tmp_path / "log")
    assert killed_at(pid, lambda: "continuing from the checkpoint" in (tmp_path / "log").read_text())


def test_a_checkpoint_of_other_settings_is_not_continued(tmp_path, capfd):
    base = job_folder(tmp_path, {"epochs": "2", "export": "false"}, features=tiny_features())
    train(base)
    job_folder(tmp_path, {"epochs": "2", "export": "false", "learning_rate": "0.02"})
    capfd.readouterr()
    assert train(base) == 0
    assert "starting afresh" in capfd.readouterr().out


def test_a_search_inside_one_job_finds_the_better_learning_rate_and_goes_on_after_a_cut(tmp_path, capfd):
    search = {
        "strategy": "Grid", "max_jobs": 4, "early_stopping": "Off",
        "objective": {"Type": "Maximize", "MetricName": OBJECTIVE},
        "parameter_ranges": {"CategoricalParameterRanges": [{"Name": "learning_rate", "Values": ["0.000001", "0.02"]},
                                                            {"Name": "batch_size", "Values": ["16", "32"]}]},
    }  # fmt: skip
    base = job_folder(
        tmp_path, {"epochs": "4", "export": "false", "search": json.dumps(search)}, features=tiny_features()
    )
    assert train(base) == 0
    best, all_of_them = (json.loads((base / f"checkpoints/{name}.json").read_text()) for name in ("best", "trials"))
    assert best["hyperparameters"]["learning_rate"] == "0.02" and best["trials"] == len(all_of_them["trials"]) == 4
    assert json.loads((base / "output/data/trials.json").read_text()) == all_of_them, "for the report"
    (named,) = [trial for trial in all_of_them["trials"] if trial["number"] == all_of_them["best"]]
    assert named["hyperparameters"] == best["hyperparameters"]
    stored = json.loads((base / "checkpoints/search.json").read_text())
    (base / "checkpoints/search.json").write_text(json.dumps({**stored, "trials": stored["trials"][:3]}))
    capfd.readouterr()
    assert train(base) == 0
    assert "going on after 3 finished trials" in capfd.readouterr().out
    again = json.loads((base / "checkpoints/trials.json").read_text())["trials"]
    assert [{**one, "seconds": 0} for one in again] == [{**one, "seconds": 0} for one in all_of_them["trials"]]


class Ticks:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def timed_search(base, minutes):
    search = {
        "strategy": "Random", "max_jobs": 5, "minutes": minutes, "early_stopping": "Off",
        "objective": {"Type": "Maximize", "MetricName": OBJECTIVE},
        "parameter_ranges": {"ContinuousParameterRanges": [{"Name": "learning_rate", "MinValue": "0.001", "MaxValue": "0.1"}]},
    }  # fmt: skip
    job_folder(base, {"epochs": "10", "export": "false", "search": json.dumps(search)}, features=tiny_features())
    best_of_search(Job.read(base), StopRequest(), run.train, Ticks())
    return json.loads((base / "checkpoints/trials.json").read_text())["trials"]


def test_the_minutes_of_a_search_cut_the_trial_that_runs_and_start_no_other(tmp_path, capfd):
    trials = timed_search(tmp_path, minutes=20 / 60)  # a trial of ten epochs looks at the clock about 13 times
    assert [trial["state"] for trial in trials] == ["Completed", "Stopped"]
    assert 0 < trials[1]["epochs"] < 10 and "minutes of the search were over" in trials[1]["reason"]
    assert trials[1]["objective"] is not None, "it may win"
    assert "minutes are over after 2 of 5 trials" in capfd.readouterr().out


def test_a_search_with_no_time_at_all_ends_with_one_epoch_of_one_trial(tmp_path):
    assert [(t["state"], t["epochs"]) for t in timed_search(tmp_path, minutes=0.001)] == [("Stopped", 1)]


def test_a_search_that_was_interrupted_goes_on_with_the_minutes_that_are_left(tmp_path):
    first = timed_search(tmp_path, minutes=30 / 60)
    stored = json.loads((tmp_path / "checkpoints/search.json").read_text())
    kept = {**stored, "trials": stored["trials"][:1], "seconds": [29.5]}
    (tmp_path / "checkpoints/search.json").write_text(json.dumps(kept))
    again = timed_search(tmp_path, minutes=30 / 60)
    assert len(first) > 2 and again[0]["objective"] == first[0]["objective"]
    assert len(again) == 1, "half a second is over when the clock is looked at"


@pytest.mark.parametrize(
    ("scaling", "low", "high", "logarithmic"),
    [
        ("Auto", "0.001", "0.1", True),  # two orders of magnitude
        ("Auto", "0.001", "0.099", False),
        ("Auto", "0.01", "0.5", False),
        ("Auto", "0.0001", "0.1", True),
        ("Auto", "0", "1", False),  # no logarithm of nothing
        ("Logarithmic", "0.1", "0.2", True),
        ("Linear", "0.0001", "0.1", False),
    ],
)
def test_auto_scaling_is_logarithmic_from_two_orders_of_magnitude(scaling, low, high, logarithmic):
    def space(kind: str, low: str, high: str):
        name = "epochs" if kind == "Integer" else "learning_rate"
        entry = {"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": scaling}
        (distribution,) = search_over({f"{kind}ParameterRanges": [entry]}).distributions().values()
        return distribution

    assert space("Continuous", low, high).log is logarithmic
    if float(low):
        whole = [str(round(float(bound) * 10_000)) for bound in (low, high)]
        assert space("Integer", *whole).log is logarithmic


def search_over(ranges: dict) -> Search:
    objective = {"Type": "Maximize", "MetricName": OBJECTIVE}
    raw = {"strategy": "Random", "max_jobs": 2, "early_stopping": "Off", "objective": objective}
    return Search.read(json.dumps({**raw, "parameter_ranges": ranges}))


def test_what_passes_through_the_state_machine_does_not_grow_with_the_trials(tmp_path):
    """The state of an execution is limited to 256 KiB, and `best.json` is part of it."""
    search = {
        "strategy": "Random", "max_jobs": 600, "early_stopping": "Off",
        "objective": {"Type": "Maximize", "MetricName": OBJECTIVE},
        "parameter_ranges": {"ContinuousParameterRanges": [{"Name": "learning_rate", "MinValue": "0.001", "MaxValue": "0.1"}]},
    }  # fmt: skip
    asked = {"epochs": "1", "export": "false", "search": json.dumps(search)}
    base = job_folder(tmp_path, asked, features=tiny_features())
    job = Job.read(base)
    log = TrialLog(job, Search.read(job.settings.search))
    log.trials = [{"number": n, "hyperparameters": {"learning_rate": "0.01"}, "values": {"learning_rate": 0.01}, "objective": n / 600,
                   "state": "Completed"} for n in range(599)]  # fmt: skip
    log.seconds = [0.1] * 599
    log.add({**log.trials[-1], "number": 599, "objective": 0.9999}, 0.1)
    assert train(base) == 0
    assert len(json.loads((base / "output/data/trials.json").read_text())["trials"]) == 600
    assert (base / "checkpoints/trials.json").stat().st_size > 50_000
    assert (base / "checkpoints/best.json").stat().st_size < 1_000


def test_the_second_machine_has_nothing_to_do_for_a_head(tmp_path, capfd):
    base = job_folder(tmp_path, {"epochs": "2"}, features=tiny_features(), hosts=("algo-1", "algo-2"), host="algo-2")
    assert train(base) == 0
    assert "this one has nothing to do" in capfd.readouterr().out
    assert not (base / "model").exists()
