"""Fine-tuning: what is frozen stays frozen, a kill changes nothing, two machines take the steps of one."""

import json
import os
import random
import signal
import socket

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.training_code.tiny_jobs import checkpoints_written, ended, in_child, job_folder, killed_at, train, wait_for

SMALL = {
    "model": "timm/test_efficientnet", "pretrained": "false", "image_size": "32", "fine_tune": "all", "epochs": "2",
    "batch_size": "8",
    "learning_rate": "0.003", "backbone_learning_rate": "1", "precision": "float32", "workers": "1", "export": "false",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def imported_once():
    """Children are forked: what they import is imported here, with nothing computed and so no thread started."""
    import timm  # noqa: F401
    import torch

    import training_code.train.fine_tuning  # noqa: F401

    torch.set_num_threads(1)


def with_weights(base):
    """`published` weights of the tiny model in the job's channel, as `prepare` would leave them."""
    import timm
    import torch
    from safetensors.torch import save_file

    from training_code.models.weights import RECORD, key_of, record_of

    folder = base / "input/data/weights" / key_of(SMALL["model"])
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_file(timm.create_model("test_efficientnet").state_dict(), folder / "tiny.safetensors")
    (folder / RECORD).write_text(json.dumps(record_of(folder / "tiny.safetensors", "a test")))
    return base


def state(base, place=""):
    import torch

    return torch.load(base / "checkpoints" / place / "fine_tuning.pt", weights_only=True)


def epochs(base):
    return [json.loads(line) for line in (base / "output/data/epochs.jsonl").read_text().splitlines()]


def same(one, other) -> bool:
    import torch

    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_fine_tuning_killed_at_any_moment_ends_with_the_same_weights(tmp_path):
    asked = {**SMALL, "checkpoint_steps": "1", "ema_decay": "0.9", "dropout": "0.2"}
    whole, cut = (job_folder(tmp_path / name, asked, photos=True) for name in ("whole", "cut"))
    log = tmp_path / "log"
    assert ended(in_child(lambda: train(whole), log), 120) == 0, log.read_text()
    moments, kills = random.Random(3), 0
    for _ in range(3):
        reached = checkpoints_written(cut, moments.randint(1, 3), "fine_tuning.pt")
        kills += killed_at(in_child(lambda: train(cut), log), reached)
    assert kills >= 2
    assert ended(in_child(lambda: train(cut), log), 120) == 0, log.read_text()
    assert "continuing from the checkpoint" in log.read_text()
    assert same(state(whole)["model"], state(cut)["model"])
    assert same(state(whole)["best"], state(cut)["best"])
    assert epochs(whole) == epochs(cut)


@pytest.mark.slow
def test_sigterm_exports_the_best_epoch_and_a_restart_ends_with_the_same_weights(tmp_path):
    asked = {**SMALL, "epochs": "30", "export": "true"}
    whole, cut = (job_folder(tmp_path / name, asked, photos=True) for name in ("whole", "cut"))
    log = tmp_path / "log"
    assert ended(in_child(lambda: train(whole), tmp_path / "whole-log"), 120) == 0
    pid = in_child(lambda: train(cut), log)
    wait_for(lambda: (cut / "output/data/epochs.jsonl").exists())
    os.kill(pid, signal.SIGTERM)
    assert ended(pid, 180) == 0
    assert "stopped as asked" in log.read_text()
    stopped = json.loads((cut / "output/data/training.json").read_text())["stopped"]
    assert stopped["by"] == "signal" and 1 <= state(cut)["epoch"] < 30
    assert (cut / "model" / "manifest.json").exists()
    assert ended(in_child(lambda: train(cut), log), 120) == 0
    assert "continuing from the checkpoint" in log.read_text()
    assert same(state(whole)["model"], state(cut)["model"]) and same(state(whole)["best"], state(cut)["best"])
    assert epochs(whole) == epochs(cut)


@pytest.mark.slow
def test_two_machines_take_the_steps_that_one_takes_with_the_same_batch(tmp_path):
    """Tolerance: 1e-4 of a loss. Float additions happen in another order; batch-norm statistics are fixed.

    Without dropout, whose masks each machine draws for itself.
    """
    asked = {**SMALL, "pretrained": "true", "batch_size": "7", "learning_rate": "0.001", "dropout": "0"}
    one = with_weights(job_folder(tmp_path / "one", asked, photos=True))
    assert ended(in_child(lambda: train(one), tmp_path / "log"), 120) == 0, (tmp_path / "log").read_text()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    hosts = ("algo-1", "algo-2")
    pids = []
    for host in hosts:
        base = with_weights(job_folder(tmp_path / host, asked, photos=True, hosts=hosts, host=host))
        pids.append(in_child(lambda base=base: train(base, {"MASTER_PORT": port}), tmp_path / f"{host}.log"))
    for pid, host in zip(pids, hosts, strict=True):
        assert ended(pid, 120) == 0, (tmp_path / f"{host}.log").read_text()
    together, alone = epochs(tmp_path / "algo-1"), epochs(one)
    for a, b in zip(together, alone, strict=True):
        for name in ("train:loss", "validation:loss"):
            assert a[name] == pytest.approx(b[name], abs=1e-4)
    ours, theirs = state(tmp_path / "algo-1")["model"], state(one)["model"]
    assert all(np.allclose(ours[name], theirs[name], atol=1e-3) for name in ours)
    assert not (tmp_path / "algo-2" / "checkpoints").exists(), "one writer"


@pytest.mark.slow
def test_the_last_block_learns_and_the_first_stays_and_the_model_is_exported(tmp_path):
    asked = {**SMALL, "fine_tune": "last_block", "export": "true", "epochs": "1", "test_time_flip": "true"}
    base = job_folder(tmp_path / "job", asked, photos=True)
    assert ended(in_child(lambda: train(base), tmp_path / "log"), 120) == 0, (tmp_path / "log").read_text()
    found = {name: value for name, value in state(base)["model"].items() if name.endswith("weight") and value.ndim == 4}
    import timm
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh = timm.create_model("test_efficientnet", num_classes=0).state_dict()
    first, *_, last = [name for name in found]
    plain = {name: fresh[name.removeprefix("backbone.")] for name in (first, last)}
    assert torch.equal(found[first], plain[first]) and not torch.equal(found[last], plain[last])
    manifest = json.loads((base / "model/manifest.json").read_text())
    assert manifest["pretrained"] is False and manifest["fine_tune"] == "last_block"
    assert manifest["calibration"]["test_time_flip"] is True
    model = onnx.load(base / "model/model.onnx")
    assert [one.name for one in model.graph.output] == ["probabilities"]
    weights = [numpy_helper.to_array(one) for one in model.graph.initializer]
    assert any(one.shape == found[last].shape for one in weights)


def test_a_batch_smaller_than_the_number_of_machines_is_refused(tmp_path):
    base = job_folder(tmp_path, {**SMALL, "batch_size": "1"}, photos=True, hosts=("algo-1", "algo-2"), host="algo-1")
    assert train(base) == 1
    assert "batch_size: received 1; 2 machines need at least one photo each" in (base / "output/failure").read_text()
