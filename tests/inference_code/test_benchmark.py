"""The benchmark of a candidate: a whole job in its own process, on a model whose answers are known."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference_code.benchmark import photos
from tests.inference_code.tiny_model import CLASSES, write_artifact

ROOT = Path(__file__).resolve().parents[2]
PLAIN, RED = CLASSES


def photo(label: str, seed: int) -> bytes:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 60, (40, 50, 3), dtype=np.uint8)
    if label == RED:
        pixels[:20, :25, 0] += 190
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def add_to_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def inputs(tmp_path) -> Path:
    folder = tmp_path / "processing" / "input"
    for name in ("training", "test", "prepared", "photos"):
        (folder / name).mkdir(parents=True)
    write_artifact(folder / "model")
    model = {path.name: path.read_bytes() for path in (folder / "model").iterdir()}
    add_to_tar(folder / "training" / "model.tar.gz", model)
    left = {
        "observations/epochs.jsonl": b'{"epoch": 9}\n',
        "epochs.jsonl": b'{"epoch": 1, "train:loss": 0.5}\n',
        "best.json": b'{"seconds": 4.5, "trials": []}',
    }
    add_to_tar(folder / "training" / "output.tar.gz", left)
    (folder / "extraction").mkdir()
    (folder / "extraction" / "extraction.json").write_text('{"from_cache": 3, "computed": 1}')
    rows = []
    for number in range(6):
        label = CLASSES[number % 2]
        (folder / "test" / f"p{number}.png").write_bytes(photo(label, number))
        # The manifest gives p0 the other label: one answer in six must count as wrong.
        rows.append({"photo_id": f"p{number}", "label": RED if number == 0 else label})
    with (folder / "prepared" / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["photo_id", "label"])
        writer.writeheader()
        writer.writerows(rows)
    write_pack(folder / "photos")
    return folder


def write_pack(folder: Path) -> None:
    """As `prepare` packs photos: stored zips, and where each photo's bytes begin."""
    lines = ["photo_id,label,split,shard,offset,length"]
    with zipfile.ZipFile(folder / "photos-00000.zip", "w", zipfile.ZIP_STORED) as pack:
        for name, label, split in (("t", RED, "train"), ("v", PLAIN, "validation")):
            data = photo(label, 9)
            entry = zipfile.ZipInfo(f"{name}.png")
            pack.writestr(entry, data)
            lines.append(
                f"{name},{label},{split},photos-00000.zip,{entry.header_offset + 30 + len(entry.filename)},{len(data)}"
            )
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")


def run(base: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(
        filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    )  # a measurement of coverage is there
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(base), "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-m", "inference_code.benchmark", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_a_benchmark_job_measures_what_is_served(inputs, tmp_path):
    done = run(tmp_path, "--times", "1000,3500,5000,9000")
    assert done.returncode == 0, done.stderr
    output = tmp_path / "processing" / "output" / "benchmark"
    result = json.loads((output / "benchmark.json").read_text())
    assert result["evaluations"]["test"]["accuracy"] == pytest.approx(5 / 6)
    assert result["evaluations"]["validation"] == pytest.approx(
        {"n": 1, "accuracy": 1, "balanced_accuracy": 1, "loss": 0}, abs=0.05
    )
    assert (result["training_seconds"], result["tuning_seconds"]) == pytest.approx((6.5 - 4.5, 4.5))
    assert result["extraction_seconds"] == pytest.approx(2.5)
    assert result["features_from_cache"] == 0.75
    assert result["size"]["parameters"] >= 6
    assert 0 < result["latency"]["batch_1"]["p50_ms"] <= result["latency"]["batch_1"]["p99_ms"]
    assert result["latency"]["best_batch"]["seconds_per_photo"] > 0
    assert result["peak_memory_bytes"] > 0
    with np.load(output / "predictions.npz", allow_pickle=False) as arrays:
        assert arrays["test/probabilities"].shape == (6, 2)
        assert arrays["test/photo_ids"][0].endswith(".png")
    assert json.loads((output / "epochs.jsonl").read_text())["epoch"] == 1


@pytest.mark.slow
def test_a_training_without_a_model_fails_with_a_sentence(inputs, tmp_path):
    (inputs / "training" / "model.tar.gz").unlink()
    assert run(tmp_path).returncode == 1
    assert "wrote no model" in (tmp_path / "output" / "message").read_text()
    assert not (tmp_path / "processing" / "output" / "benchmark" / "benchmark.json").exists()


def test_photos_of_classes_that_the_candidate_does_not_know_are_left_out_and_counted(inputs):
    found = photos.from_tree(inputs / "test", inputs / "prepared" / "manifest.csv", [RED])
    assert (len(found), found.left_out) == (4, 2)


def test_only_validation_photos_come_out_of_the_pack(inputs):
    found = photos.from_pack(inputs / "photos", CLASSES)
    assert found.ids == ["v"]
    assert found.read(0) == photo(PLAIN, 9)


def test_the_loss_is_the_mean_log_loss_and_nothing_is_judged_without_photos():
    judged = photos.judge(np.array([0, 1]), np.array([[0.5, 0.5], [0.75, 0.25]]))
    assert judged["loss"] == pytest.approx(-(np.log(0.5) + np.log(0.25)) / 2)
    assert photos.judge(np.zeros(0, int), np.zeros((0, 2)))["accuracy"] is None
