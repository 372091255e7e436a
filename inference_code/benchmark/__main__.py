"""Measures the artifact of one candidate.

`--times A,B,C,D`: begin and end of extraction and of training in milliseconds, as the state machine saw them. Inputs
below `<base>/processing/input/`: `training/model.tar.gz`, `training/output.tar.gz` and `extraction/extraction.json` (both
optional), `prepared/manifest.csv`, `test/` (one file per photo), `photos/` (packed validation photos), and for a second set
`second/manifest.csv` and `second-test/`. Output in `<base>/processing/output/benchmark/`: `benchmark.json`,
`predictions.npz`, `manifest.json`, `epochs.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

from contract.failure import JobFailure, leave_message
from contract.manifest import MANIFEST_FILE, MODEL_FILE
from contract.whole_file import whole_file, write_bytes, write_json
from inference_code.benchmark import photos, timing
from inference_code.classifier import Classifier
from inference_code.settings import Settings


class NothingToMeasure(JobFailure):
    """An input that the benchmark cannot do without is missing."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m inference_code.benchmark")
    parser.add_argument("--times", type=_both_seconds, default=None)
    times = parser.parse_args(arguments).times
    settings = Settings.from_environment()
    folder = settings.base / "processing"
    try:
        benchmark(folder / "input", folder / "output" / "benchmark", settings, times)
    except Exception as error:
        traceback.print_exc()
        leave_message("message", error, settings.base)
        return 1
    return 0


def benchmark(inputs: Path, output: Path, settings: Settings, seconds: tuple[float, float] | None) -> None:
    """Everything that the comparison shows of one candidate, written last and whole."""
    with tempfile.TemporaryDirectory() as temporary:
        model = Path(temporary)
        _extract(inputs / "training" / "model.tar.gz", model)
        memory = _memory_of(model)
        classifier = Classifier.load(model, settings.cores, settings.engine)
        classes = classifier.manifest.classes
        sets = {
            "test": photos.from_tree(inputs / "test", inputs / "prepared" / "manifest.csv", classes),
            "validation": photos.from_pack(inputs / "photos", classes),
        }
        if (inputs / "second-test").is_dir():
            sets["second"] = photos.from_tree(inputs / "second-test", inputs / "second" / "manifest.csv", classes)
        if not len(sets["test"]):
            raise NothingToMeasure(f"{inputs / 'test'} holds no photo of the classes {', '.join(classes)}.")
        started = time.perf_counter()
        answers = {name: _answer(classifier, one, settings.cores) for name, one in sets.items()}
        for name, answer in answers.items():
            if not np.isfinite(answer).all():
                raise NothingToMeasure(
                    f"the model answers {name} photos with numbers that are not finite: it diverged."
                )
        print(f"answered {sum(map(len, sets.values()))} photos in {time.perf_counter() - started:.1f} s")
        result = {
            "machine": timing.machine(settings.cores),
            "engine": classifier.engine.name,
            **_times(seconds, _member(inputs / "training" / "output.tar.gz", "best.json")),
            "features_from_cache": _share_from_cache(inputs / "extraction" / "extraction.json"),
            "latency": timing.latency(classifier, sets["test"], settings.cores),
            "size": _sizes(model, memory),
            "peak_memory_bytes": memory["peak_bytes"],
            "evaluations": {name: photos.judge(sets[name].labels, answer) for name, answer in answers.items()},
            "left_out": {name: one.left_out for name, one in sets.items()},
        }
        output.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, np.ndarray] = {}
        for name, answer in answers.items():
            arrays |= {
                f"{name}/labels": sets[name].labels,
                f"{name}/probabilities": answer,
                f"{name}/photo_ids": np.array(sets[name].ids, dtype=str),
            }
        with whole_file(output / "predictions.npz") as path:
            np.savez(path, **arrays)
        write_bytes(output / "manifest.json", (model / MANIFEST_FILE).read_bytes())
        epochs = _member(inputs / "training" / "output.tar.gz", "epochs.jsonl")
        if epochs is not None:
            write_bytes(output / "epochs.jsonl", epochs)
        # Last: a folder with benchmark.json is complete, and the candidate is not measured again.
        write_json(output / "benchmark.json", result)
    print(json.dumps({key: result[key] for key in ("engine", "latency", "evaluations")}))


def _both_seconds(times: str) -> tuple[float, float]:
    """Seconds of extraction and of training, from four instants in milliseconds."""
    begin, end, again, finish = (float(one) for one in times.split(","))
    return (end - begin) / 1e3, (finish - again) / 1e3


def _answer(classifier: Classifier, photo_set: photos.PhotoSet, cores: int) -> np.ndarray:
    """Probabilities, float32 (N, classes), one photo at a time on every core, as the server answers them."""
    return np.concatenate(
        timing.on_all_cores(lambda i: classifier.predict([classifier.decode(photo_set.read(i))]), len(photo_set), cores)
        or [np.zeros((0, len(classifier.manifest.classes)), np.float32)]
    )


def _extract(archive: Path, folder: Path) -> None:
    if not archive.is_file():
        raise NothingToMeasure(f"{archive} does not exist: the training wrote no model.")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")


def _times(seconds: tuple[float, float] | None, search: bytes | None) -> dict[str, float | None]:
    """Seconds of tuning and of all else, of which extraction ran on a machine of its own.

    A search inside the training job notes how long its trials took.
    """
    if seconds is None:
        return {"training_seconds": None, "extraction_seconds": None, "tuning_seconds": None}
    tuning = None if search is None else float(json.loads(search)["seconds"])
    whole = sum(seconds) - (tuning or 0)
    return {"training_seconds": whole, "extraction_seconds": seconds[0], "tuning_seconds": tuning}


def _share_from_cache(path: Path) -> float | None:
    """What part of the features an earlier run had computed: the training time then lacks their computation."""
    if not path.is_file():
        return None
    said = json.loads(path.read_text())
    return said["from_cache"] / max(1, said["from_cache"] + said["computed"])


def _member(archive: Path, name: str) -> bytes | None:
    """A file that the training left, such as its loss curve; None where it left none."""
    if not archive.is_file():
        return None
    with tarfile.open(archive) as tar:
        for member in tar:
            if Path(member.name) == Path(name) and (stream := tar.extractfile(member)):
                return stream.read()
    return None


def _memory_of(model: Path) -> dict[str, int]:
    """Resident memory of a process that does nothing but serve this model, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "inference_code.benchmark.memory", str(model)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NothingToMeasure(f"the model does not load: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _sizes(model: Path, memory: dict[str, int]) -> dict[str, int | None]:
    disk = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    return {
        "disk_bytes": disk,
        "memory_bytes": memory["loaded_bytes"],
        "parameters": timing.parameters(model / MODEL_FILE),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
