"""A training that is stopped, by a health rule or by SIGTERM, leaves its best epoch as a model and says who stopped it."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from contract.failure import JobFailure
from contract.hyperparameters import NOT_LEARNT_FROM, Hyperparameters
from contract.manifest import Manifest
from tests.training_code.tiny_jobs import (
    checkpoint_arrays,
    ended,
    in_child,
    job_folder,
    killed_at,
    tiny_features,
    train,
    training_json,
    wait_for,
)
from training_code.train.checkpoints import identity_of
from training_code.train.job import Job
from training_code.train.run import identity_facts

# Random weights of a small network: an export that needs neither a weight store nor a minute.
SMALL = {"model": "resnet18", "pretrained": "false", "image_size": "32", "checkpoint_steps": "1000000"}
LONG = {**SMALL, "epochs": "1000", "batch_size": "8"}


def features(labels_without_meaning: bool = False):
    """Of the width that resnet18 gives."""
    if not labels_without_meaning:
        return tiny_features(width=512)
    made = tiny_features(width=512, train=900)  # so many steps that the rule is always the first to end it
    shuffled = np.random.default_rng(0).integers(0, 3, len(made.train.labels))
    return replace(made, train=replace(made.train, labels=shuffled))


@pytest.fixture(scope="module")
def stopped_by_rule(tmp_path_factory):
    """Labels drawn at random and steps too small to learn them: the loss does not fall, and the rule may stop it."""
    base, log = tmp_path_factory.mktemp("job"), tmp_path_factory.mktemp("log") / "log"
    asked = {
        **LONG,
        "stop_on": "LossNotDecreasing",
        "profiler_interval_ms": "100",
        "learning_rate": "1e-9",
        "batch_size": "1",
    }
    job_folder(base, asked, features=features(labels_without_meaning=True))
    assert ended(in_child(lambda: train(base), log), 240) == 0, log.read_text()
    return base, log.read_text()


@pytest.mark.slow
def test_a_training_that_a_rule_stopped_leaves_its_best_epoch_as_a_model(stopped_by_rule):
    base, log = stopped_by_rule
    stopped = training_json(base)["stopped"]
    assert stopped["by"] == "rule" and stopped["rule"] == "LossNotDecreasing" and "loss" in stopped["seen"]
    epochs = [json.loads(line) for line in (base / "output/data/epochs.jsonl").read_text().splitlines()]
    assert 0 < len(epochs) < 1000
    manifest = Manifest.read(base / "model" / "manifest.json")
    best = next(e for e in epochs if e["epoch"] == stopped["kept_epoch"])
    assert manifest.metrics["validation:balanced_accuracy"] == best["validation:balanced_accuracy"]
    assert best["validation:balanced_accuracy"] == max(e["validation:balanced_accuracy"] for e in epochs)
    assert "stopped by rule LossNotDecreasing" in log
    assert not (base / "output" / "failure").exists()


@pytest.mark.slow
def test_the_health_report_and_the_metrics_say_so_too(stopped_by_rule, tmp_path):
    from training_code.__main__ import main

    base, log = stopped_by_rule
    assert "health_issues_found=" in log
    assert main(["health", "--input", str(base / "output"), "--output", str(tmp_path)]) == 0
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert verdict["stopped_by"] == "LossNotDecreasing"
    assert "Stopped by LossNotDecreasing" in (tmp_path / "health.html").read_text()


@pytest.mark.slow
def test_a_training_that_nobody_stopped_does_not_say_so(tmp_path, capfd):
    base = job_folder(tmp_path, {**SMALL, "epochs": "2", "stop_on": "LossNotDecreasing"}, features=features())
    assert train(base) == 0
    assert "stopped" not in training_json(base)
    assert "stopped" not in capfd.readouterr().out
    assert Manifest.read(base / "model" / "manifest.json").architecture == "resnet18"


@pytest.mark.slow
def test_sigterm_exports_the_best_epoch_and_a_restart_still_ends_with_the_same_weights(tmp_path):
    """StopTrainingJob and a spot interruption look the same from inside; both must be served."""
    asked = {**LONG, "epochs": "60", "dropout": "0.2", "checkpoint_steps": "0"}
    whole, cut = (job_folder(tmp_path / name, asked, features=features()) for name in ("whole", "cut"))
    log = tmp_path / "log"
    assert ended(in_child(lambda: train(whole), log), 240) == 0
    pid = in_child(lambda: train(cut), log)
    wait_for(lambda: (cut / "output/data/epochs.jsonl").exists())
    os.kill(pid, signal.SIGTERM)
    assert ended(pid, 180) == 0
    assert training_json(cut)["stopped"]["by"] == "signal"
    assert Manifest.read(cut / "model" / "manifest.json").architecture == "resnet18"
    assert ended(in_child(lambda: train(cut), log), 240) == 0
    assert "continuing from the checkpoint" in log.read_text()
    assert "stopped" not in training_json(cut)
    expected, actual = checkpoint_arrays(whole), checkpoint_arrays(cut)
    assert expected.keys() == actual.keys() and all((expected[n] == actual[n]).all() for n in expected)
    for name in ("model/model.onnx", "output/data/epochs.jsonl"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes()


def test_a_stop_before_the_first_epoch_has_ended_leaves_a_checkpoint_and_no_model(tmp_path):
    asked = {**LONG, "batch_size": "1", "hidden_units": "4096", "observe": "off", "checkpoint_steps": "1"}
    base = job_folder(tmp_path, asked, features=features())
    pid = in_child(lambda: train(base), tmp_path / "log")
    wait_for(lambda: (base / "checkpoints" / "head.npz").exists())
    os.kill(pid, signal.SIGTERM)
    assert ended(pid, 180) == 0
    assert "no epoch had ended" in (tmp_path / "log").read_text()
    assert not (base / "model").exists() and not (base / "output" / "failure").exists()


@pytest.mark.slow
def test_a_rule_that_stops_before_the_first_epoch_has_ended_leaves_the_weights_as_they_are(tmp_path):
    """What `watch.py` does when a rule stops a training: it writes the reason, then sends the signal."""
    asked = {**LONG, "batch_size": "1", "hidden_units": "4096", "observe": "off", "checkpoint_steps": "1"}
    base = job_folder(tmp_path, asked, features=features())
    pid = in_child(lambda: train(base), tmp_path / "log")
    wait_for(lambda: (base / "checkpoints" / "head.npz").exists())
    (base / "output/data/observations").mkdir(parents=True, exist_ok=True)
    (base / "output/data/observations/stop.json").write_text(
        json.dumps({"name": "ExplodingTensor", "seen": "norm 1e9"})
    )
    os.kill(pid, signal.SIGTERM)
    assert ended(pid, 240) == 0
    stopped = training_json(base)["stopped"]
    assert (stopped["rule"], stopped["epoch"], stopped["kept_epoch"]) == ("ExplodingTensor", 0, 0)
    assert Manifest.read(base / "model" / "manifest.json").metrics["validation:loss"] > 0


def test_what_is_watched_does_not_decide_what_is_learnt(tmp_path):
    base = job_folder(tmp_path, {}, features=features())
    watched = {
        "observe": "off", "debug_hook": "reductions", "profiler_interval_ms": "5000", "profiler_steps": "50",
        "stop_on": "Overfit, VanishingGradient",
    }  # fmt: skip
    assert set(watched) < set(NOT_LEARNT_FROM)

    def identity(values: dict[str, str]) -> str:
        job_folder(base, values)
        return identity_of(identity_facts(Job.read(base)))

    assert identity(watched) == identity({})
    assert identity({"learning_rate": "0.002"}) != identity({})


def test_a_checkpoint_is_continued_by_a_training_that_is_watched_otherwise(tmp_path):
    asked = {**LONG, "export": "false", "checkpoint_steps": "3"}
    base = job_folder(tmp_path, asked, features=features())
    pid = in_child(lambda: train(base), tmp_path / "log")
    assert killed_at(pid, lambda: (base / "checkpoints" / "head.npz").exists())
    job_folder(base, {**asked, "observe": "off"})
    pid = in_child(lambda: train(base), tmp_path / "log")
    assert killed_at(pid, lambda: "continuing from the checkpoint" in (tmp_path / "log").read_text())


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"stop_on": "Overfit,Overfittting"}, "Overfittting"),
        ({"debug_hook": "everything"}, "off, losses, reductions"),
        ({"profiler_interval_ms": "70000"}, "60000"),
        ({"profiler_steps": "-1"}, "profiler_steps"),
        ({"observe": "maybe"}, "on, off"),
    ],
)
def test_a_wrong_value_is_refused_before_any_work(values, named):
    with pytest.raises(JobFailure, match=named):
        Hyperparameters.from_strings(values)


def test_rules_that_could_stop_nothing_are_a_warning(tmp_path, caplog):
    from training_code.debugging.settings import observation_settings

    observation_settings(tmp_path, {"stop_on": "Overfit", "profiler_interval_ms": "0"})
    assert "stops nothing" in caplog.text
    caplog.clear()
    assert observation_settings(tmp_path, {"stop_on": "Overfit", "export": "false"}).interval_ms == 1000
    assert not caplog.text
