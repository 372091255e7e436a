"""What ends a training is named with the hyperparameter to change: provoked with the real thing, not with a made-up error."""

import os
import resource
from pathlib import Path

import pytest

from contract.hyperparameters import Hyperparameters
from tests.training_code.test_train_fine_tuning import SMALL, imported_once  # noqa: F401
from tests.training_code.tiny_jobs import ended, in_child, job_folder, tiny_features, train
from training_code.train.failures import explained

MIB = 2**20


def failure(base, log):
    found = base / "output" / "failure"
    assert found.exists(), log.read_text()
    return found.read_text()


def with_memory(more, work):
    """`work` in a process that gets no more than `more` bytes of address space above what it holds."""

    def limited():
        held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (held + more, resource.RLIM_INFINITY))
        return work()

    return limited


@pytest.mark.slow
def test_a_head_without_memory_names_batch_size(tmp_path):
    base = job_folder(tmp_path / "job", {"hidden_units": "8192"}, features=tiny_features(width=4096))
    log = tmp_path / "log"
    assert ended(in_child(with_memory(150 * MIB, lambda: train(base)), log), 120) == 1, log.read_text()
    said = failure(base, log)
    assert "out of memory with batch_size=64" in said and "Lower batch_size (try 32) or image_size" in said


@pytest.mark.slow
def test_a_fine_tuning_without_memory_names_batch_size(tmp_path):
    """torch's own allocator fails: a batch of 24 photos of 512 pixels needs more than there is."""
    asked = {**SMALL, "image_size": "512", "batch_size": "24"}
    base, log = job_folder(tmp_path / "job", asked, photos=True), tmp_path / "log"
    assert ended(in_child(with_memory(900 * MIB, lambda: train(base)), log), 120) == 1, log.read_text()
    said = failure(base, log)
    assert "out of memory with batch_size=24, image_size=512" in said and "take a larger instance" in said


@pytest.mark.parametrize(
    ("asked", "name", "more"),
    [({"epochs": "2"}, "head.npz", {}), (SMALL, "fine_tuning.pt", {"photos": True})],
    ids=["head", "fine_tuning"],
)  # fmt: skip
@pytest.mark.slow
def test_a_full_disk_is_named_with_the_file_and_what_needs_less(tmp_path, asked, name, more):
    """/dev/full takes no byte: the system itself answers that no space is left."""
    features = {} if more else {"features": tiny_features()}
    base, log = job_folder(tmp_path / "job", asked, **features, **more), tmp_path / "log"
    (base / "checkpoints").mkdir()

    def on_a_full_disk() -> int:
        (base / "checkpoints" / f".{os.getpid()}-{name}").symlink_to("/dev/full")
        return train(base)

    assert ended(in_child(on_a_full_disk, log), 120) == 1, log.read_text()
    said = failure(base, log)
    assert "the disk is full while writing" in said and name in said and "VolumeSizeInGB" in said
    assert list((base / "checkpoints").iterdir()) == [], "nothing half-written is left"


@pytest.mark.slow
def test_a_fine_tuning_whose_loss_is_nan_names_the_learning_rate(tmp_path):
    asked = {**SMALL, "learning_rate": "10", "optimizer": "sgd", "epochs": "30"}
    base, log = job_folder(tmp_path / "job", asked, photos=True), tmp_path / "log"
    assert ended(in_child(lambda: train(base), log), 120) == 1, log.read_text()
    said = failure(base, log)
    assert "the loss became" in said and "Lower learning_rate (try 1)" in said


@pytest.mark.parametrize(
    "text",
    ["CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15 GiB", "std::bad_alloc",
     "cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
     "could not create a primitive", "could not create a memory object"],
)  # fmt: skip
def test_the_words_of_other_libraries_for_no_memory_are_understood(text):
    said = str(explained(RuntimeError(text), Hyperparameters(batch_size=64)))
    assert "Lower batch_size (try 32)" in said and text.split(".")[0] in said


@pytest.mark.parametrize(
    "text",
    ["shapes (3,4) and (5,) do not fit", "could not create a primitive descriptor for a convolution forward propagation primitive"],
)  # fmt: skip
def test_an_error_of_another_kind_stays_what_it_is(text):
    error = RuntimeError(text)
    assert explained(error, Hyperparameters()) is error
