"""SIGKILL at random moments of what takes several parts: a search inside one job, and two machines that learn together."""

import json
import os
import random
import signal
import socket

import pytest

from tests.training_code.test_train_fine_tuning import SMALL, epochs, imported_once, same, state  # noqa: F401
from tests.training_code.tiny_jobs import (
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

HOSTS = ("algo-1", "algo-2")
RANGES = {
    "ContinuousParameterRanges": [{"Name": "learning_rate", "MinValue": "0.0001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}],
    "IntegerParameterRanges": [{"Name": "batch_size", "MinValue": "8", "MaxValue": "32"}],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_search_killed_at_any_moment_finds_the_same_trials_and_the_same_model(tmp_path, seed):
    search = {
        "strategy": "Bayesian", "max_jobs": 6, "early_stopping": "Off", "parameter_ranges": RANGES,
        "objective": {"Type": "Maximize", "MetricName": "validation:balanced_accuracy"},
    }  # fmt: skip
    asked = {"epochs": "6", "export": "false", "search": json.dumps(search), "seed": str(seed)}
    whole, cut = (job_folder(tmp_path / name, asked, features=tiny_features()) for name in ("whole", "cut"))
    log = tmp_path / "log"
    assert ended(in_child(lambda: train(whole), log), 120) == 0, log.read_text()
    moments, kills = random.Random(seed), 0
    for _ in range(4):
        kills += killed_at(in_child(lambda: train(cut), log), checkpoints_written(cut, moments.randint(2, 14)))
    assert kills >= 2
    assert ended(in_child(lambda: train(cut), log), 120) == 0, log.read_text()
    trials = [json.loads((base / "checkpoints/search.json").read_text())["trials"] for base in (whole, cut)]
    assert trials[0] == trials[1] and len(trials[0]) == 6
    one, other = (checkpoint_arrays(base, "best") for base in (whole, cut))
    assert one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


@pytest.mark.slow
def test_two_machines_killed_together_go_on_together_to_the_same_weights(tmp_path):
    """As SageMaker does it: when one instance is lost the whole job starts again, with the first machine's checkpoints everywhere."""
    asked = {**SMALL, "batch_size": "8", "epochs": "3", "checkpoint_steps": "1"}
    finished = {}
    for name in ("whole", "cut"):
        bases = {host: job_folder(tmp_path / name / host, asked, photos=True, hosts=HOSTS, host=host) for host in HOSTS}
        if name == "cut":
            pids = start(bases, tmp_path)
            wait_for(checkpoints_written(bases["algo-1"], 3, "fine_tuning.pt"))
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            assert (state(bases["algo-1"])["epoch"], state(bases["algo-1"])["step"]) < (3, 0), "killed too late"
        for pid, host in zip(start(bases, tmp_path), HOSTS, strict=True):
            assert ended(pid, 120) == 0, (tmp_path / f"{host}.log").read_text()
        finished[name] = bases["algo-1"]
    assert "continuing from the checkpoint" in (tmp_path / "algo-1.log").read_text()
    assert same(state(finished["whole"])["model"], state(finished["cut"])["model"])
    assert epochs(finished["whole"]) == epochs(finished["cut"])


def start(bases, logs):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return [
        in_child(lambda base=base: train(base, {"MASTER_PORT": port}), logs / f"{host}.log")
        for host, base in bases.items()
    ]
