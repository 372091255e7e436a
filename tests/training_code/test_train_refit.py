"""`refit`: validation photos judge one training, then another learns from them too and is exported."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from contract.hyperparameters import Hyperparameters
from contract.manifest import Manifest
from tests.training_code.test_train_fine_tuning import SMALL, epochs, imported_once, same, state, with_weights  # noqa: F401
from tests.training_code.tiny_jobs import (
    checkpoint_arrays,
    checkpoints_written,
    ended,
    in_child,
    job_folder,
    killed_at,
    tiny_features,
    train,
    training_json,
    wait_for,
)
from training_code.health.observations import Observations
from training_code.observation import NoObserver
from training_code.profiling.summary import parts
from training_code.train.head import HeadTraining
from training_code.train.record import Record
from training_code.train.stopping import StopRequest

HEAD = {"model": "resnet18", "pretrained": "false", "image_size": "32", "epochs": "6", "dropout": "0.2"}
DEEP = {**SMALL, "epochs": "4", "export": "true", "refit": "true", "checkpoint_steps": "1"}


def parameters(arrays):
    return {name: value for name, value in arrays.items() if name.startswith("parameter.")}


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """The same head trained without a refit, with one, and from both splits in the place of the training photos."""
    features = tiny_features(width=512)
    asked = {
        "plain": (HEAD, features),
        "refit": ({**HEAD, "refit": "true"}, features),
        "trial": ({**HEAD, "refit": "true", "export": "false"}, features),
        "patience": ({**HEAD, "refit": "true", "patience": "2", "epochs": "60"}, tiny_features(width=512, noise=60.0)),
    }
    log, bases = tmp_path_factory.mktemp("log") / "log", {}
    for name, (settings, given) in asked.items():
        bases[name] = job_folder(tmp_path_factory.mktemp(name), settings, features=given)
        assert ended(in_child(lambda base=bases[name]: train(base), log), 120) == 0, log.read_text()
    return bases


def best_epoch(base) -> int:
    rows = epochs(base)
    best = max(row["validation:balanced_accuracy"] for row in rows)
    return min(
        (row for row in rows if row["validation:balanced_accuracy"] == best), key=lambda row: row["validation:loss"]
    )["epoch"]


@pytest.mark.slow
def test_the_refit_takes_the_steps_of_a_training_on_both_splits_up_to_the_epoch_that_was_best(heads):
    features, until = tiny_features(width=512), best_epoch(heads["refit"]) + 1
    chosen = Hyperparameters.from_strings(HEAD)
    record = Record(chosen.objective, None, quiet=True, last=True)
    again = HeadTraining(features.together(), chosen, record, NoObserver(), StopRequest(), until=until)
    again.run()
    refit = checkpoint_arrays(heads["refit"], "refit")
    assert all((refit[f"parameter.{name}"] == value).all() for name, value in again.parameters.items())
    assert all((refit[f"best.{name.removeprefix('parameter.')}"] == refit[name]).all() for name in parameters(refit))
    assert training_json(heads["refit"])["refit"] == {"photos": 135, "epochs": until}


@pytest.mark.slow
def test_what_is_told_of_the_validation_photos_is_what_was_answered_before_the_refit_saw_them(heads):
    plain, refit = heads["plain"], heads["refit"]
    for name in ("epochs.jsonl", "validation_predictions.csv"):
        assert (plain / "output/data" / name).read_bytes() == (refit / "output/data" / name).read_bytes()
    one, other = (Manifest.read(base / "model/manifest.json") for base in (plain, refit))
    assert one.metrics == other.metrics and one.calibration == other.calibration
    assert one.hyperparameters["refit"] == "false" and other.hyperparameters["refit"] == "true"
    assert (plain / "model/model.onnx").read_bytes() != (refit / "model/model.onnx").read_bytes()
    assert "refit" not in training_json(plain)


@pytest.mark.slow
def test_a_trial_is_not_refitted(heads):
    assert not (heads["trial"] / "checkpoints/refit").exists()
    assert "refit" not in training_json(heads["trial"])


@pytest.mark.slow
def test_a_refit_ends_at_the_best_epoch_where_patience_ended_the_first_training(heads):
    ran = len(epochs(heads["patience"]))
    assert 2 < ran < 60
    assert training_json(heads["patience"])["refit"]["epochs"] == best_epoch(heads["patience"]) + 1 == ran - 2


def test_photos_without_a_mirrored_view_stand_for_it_themselves():
    made = tiny_features()
    without = replace(made, validation=replace(made.validation, flipped=None))
    both = without.together().train
    assert len(both.ids) == len(both.labels) == len(both.features) == len(both.flipped) == 135
    assert (both.flipped[:90] == made.train.flipped).all() and (both.flipped[90:] == made.validation.features).all()
    bare = replace(without, train=replace(made.train, flipped=None))
    assert bare.together().train.flipped is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    base, log = job_folder(tmp_path_factory.mktemp("whole"), DEEP, photos=True), tmp_path_factory.mktemp("log") / "log"
    assert ended(in_child(lambda: train(base), log), 120) == 0, log.read_text()
    assert training_json(base)["refit"] == {"photos": 33, "epochs": best_epoch(base) + 1}
    return base


@pytest.mark.slow
def test_the_profile_names_the_refit_among_what_took_the_time(whole):
    name, what, seconds = parts(Observations.read(whole / "output/data/observations"))[-1]
    assert name == "finalization" and "the refit" in what and seconds > 0


@pytest.mark.slow
def test_a_refit_killed_at_any_moment_ends_with_the_same_weights(whole, tmp_path):
    cut, log = job_folder(tmp_path / "cut", DEEP, photos=True), tmp_path / "log"
    for written in (0, 1):
        assert killed_at(in_child(lambda: train(cut), log), checkpoints_written(cut, written, "refit/fine_tuning.pt"))
    assert ended(in_child(lambda: train(cut), log), 120) == 0, log.read_text()
    assert same(state(whole, "refit")["best"], state(cut, "refit")["best"])
    assert epochs(whole) == epochs(cut)
    for name in ("model/model.onnx", "output/data/validation_predictions.csv"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes()


@pytest.mark.slow
def test_sigterm_in_a_refit_exports_the_model_that_was_judged(whole, tmp_path):
    asked = {**DEEP, "epochs": "30", "checkpoint_steps": "0"}
    cut, log = job_folder(tmp_path / "cut", asked, photos=True), tmp_path / "log"
    judged = job_folder(tmp_path / "judged", {**asked, "refit": "false"}, photos=True)
    assert ended(in_child(lambda: train(judged), log), 120) == 0, log.read_text()
    pid = in_child(lambda: train(cut), log)
    wait_for(checkpoints_written(cut, 0, "refit/fine_tuning.pt"))
    os.kill(pid, signal.SIGTERM)
    assert ended(pid, 180) == 0
    said = training_json(cut)
    assert said["stopped"]["by"] == "signal" and "refit" not in said
    assert (judged / "model/model.onnx").read_bytes() == (cut / "model/model.onnx").read_bytes()


@pytest.mark.slow
def test_kept_activations_of_the_first_training_are_not_taken_for_those_of_the_second(tmp_path):
    asked = {
        **DEEP,
        "pretrained": "true",
        "fine_tune": "last_block",
        "frozen_views": "2",
        "epochs": "2",
        "checkpoint_steps": "0",
    }
    base, log = with_weights(job_folder(tmp_path / "job", asked, photos=True)), tmp_path / "log"
    assert ended(in_child(lambda: train(base), log), 120) == 0, log.read_text()
    said = training_json(base)
    until = best_epoch(base) + 1
    assert said["refit"] == {"photos": 33, "epochs": until} and said["frozen_blocks"].startswith("computed once")
    steps = until * (33 // 8)  # the 24 training photos alone would make three an epoch
    assert state(base, "refit")["epoch"] == until and len(state(base, "refit")["epochs"]) == until
    assert int(next(iter(state(base, "refit")["optimizer"]["state"].values()))["step"]) == steps
