"""Tuning and training against the usual recipe, side by side in one run: `make bench-training DATA=folder`.

The folder holds `train/` and `val/` (or `validation/`), a folder per class each. The usual recipe, as its authors would write it:
torchvision ImageFolder, default DataLoader, eager PyTorch, frozen backbone, Adam, every trial from scratch, so that every photo
goes through the backbone in every epoch of every trial. Its rates are measured on a sample and the sum is shown; ours is run
whole: features of the plain and the mirrored photos, then every trial as a process of its own, as a tuning job starts them.
Fine-tuning is measured as photos per second, whole backbone, against the plain loop. Each part is a process of its own, which
reports its peak memory. Without DATA it says that it was skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

MODEL = "efficientnet_lite0"
RATES = (3e-4, 1e-3, 2e-3, 3e-3, 1e-2, 2e-2)


def folders(data: Path) -> tuple[Path, Path]:
    validation = next((data / name for name in ("val", "valid", "validation") if (data / name).is_dir()), None)
    if not (data / "train").is_dir() or validation is None:
        raise SystemExit(
            f"{data}: received no train/ and val/; give a folder that holds both, a folder per class each."
        )
    return data / "train", validation


def photos_of(folder: Path) -> list[tuple[Path, str]]:
    found = [
        (path, path.parent.name)
        for path in sorted(folder.glob("*/*"))
        if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    ]
    if not found:
        raise SystemExit(f"{folder}: received no JPEG or PNG in folders of classes.")
    return found


def loaded(seed: int = 0) -> tuple[Any, int, Any]:
    from training_code.models import backbone, resolve, weights

    spec = resolve(MODEL)
    module, width = backbone.load(spec, weights.resolve(MODEL).path, seed)
    return module, width, spec


def image_folder(folder: Path, spec: Any, *, augment: bool) -> Any:
    from torchvision import datasets, transforms

    size, wanted = spec.preprocessing.input_size[0], spec.preprocessing
    view = (
        [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip()]
        if augment
        else [transforms.Resize(wanted.resize.size), transforms.CenterCrop(size)]
    )
    steps = transforms.Compose([*view, transforms.ToTensor(), transforms.Normalize(wanted.mean, wanted.std)])
    return datasets.ImageFolder(str(folder), steps)


# --- the usual recipe


def recipe(data: Path, sample: int, batch: int) -> dict[str, float]:
    """Photos per second of training and evaluating a frozen backbone; the first batch warms up and does not count."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    module, width, spec = loaded()
    for parameter in module.parameters():
        parameter.requires_grad = False
    train, validation = folders(data)
    model = nn.Sequential(module, nn.Linear(width, len({name for _, name in photos_of(train)})))
    optimizer, loss_of = torch.optim.Adam(model[1].parameters()), nn.CrossEntropyLoss()

    def learn(images: Any, labels: Any) -> None:
        model.train()
        optimizer.zero_grad()
        loss = loss_of(model(images), labels)
        loss.backward()
        optimizer.step()

    def look(images: Any, labels: Any) -> None:
        model.eval()
        with torch.no_grad():
            (model(images).argmax(1) == labels).sum().item()

    rates = {}
    for name, folder, work in (("train_photos_per_s", train, learn), ("evaluation_photos_per_s", validation, look)):
        batches = iter(DataLoader(image_folder(folder, spec, augment=False), batch_size=batch, shuffle=True))
        work(*next(batches))
        seen, began = 0, time.perf_counter()
        for images, labels in batches:
            work(images, labels)
            seen += len(labels)
            if seen >= sample:
                break
        rates[name] = seen / (time.perf_counter() - began)
    return rates


def recipe_accuracy(data: Path, epochs: int, batch: int, trials: int) -> dict[str, float]:
    """Best validation accuracy of the recipe's trials. A frozen backbone without augmentation gives every epoch the same features, so
    that training the recipe's head on them once computed is the recipe's own arithmetic."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    module, width, spec = loaded()
    sets = {}
    for name, folder in zip(("train", "validation"), folders(data), strict=True):
        batches = DataLoader(image_folder(folder, spec, augment=False), batch_size=64, num_workers=os.cpu_count() or 1)
        with torch.inference_mode():
            found = [(module(images), labels) for images, labels in batches]
        sets[name] = torch.cat([one for one, _ in found]).clone(), torch.cat([one for _, one in found])
    best = 0.0
    for rate in RATES[:trials]:
        torch.manual_seed(0)
        head = nn.Linear(width, int(sets["train"][1].max()) + 1)
        optimizer = torch.optim.Adam(head.parameters(), rate)
        for _ in range(epochs):
            for indices in torch.randperm(len(sets["train"][1])).split(batch):
                optimizer.zero_grad()
                nn.functional.cross_entropy(head(sets["train"][0][indices]), sets["train"][1][indices]).backward()
                optimizer.step()
            right = head(sets["validation"][0]).argmax(1) == sets["validation"][1]
            best = max(best, right.float().mean().item())
    return {"best_validation_accuracy": best}


def recipe_fine_tuning(data: Path, batch: int, steps: int) -> dict[str, float]:
    """Photos per second of the plain loop over the whole model: median over steps of one that includes its data."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    module, width, spec = loaded()
    train, _ = folders(data)
    model = nn.Sequential(module, nn.Linear(width, len({name for _, name in photos_of(train)}))).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    stamps = [time.perf_counter()]
    for images, labels in DataLoader(image_folder(train, spec, augment=True), batch_size=batch, shuffle=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        stamps.append(time.perf_counter())
        if len(stamps) > steps + 1:
            break
    return rate_of(stamps, batch)


def rate_of(stamps: list[float], batch: int) -> dict[str, float]:
    intervals = [after - before for before, after in pairwise(stamps[1:])]
    middle = statistics.median(intervals)
    return {
        "photos_per_s": batch / middle,
        "slowest_photos_per_s": batch / max(intervals),
        "fastest_photos_per_s": batch / min(intervals),
        "n": len(intervals),
    }


# --- ours


def features(data: Path, base: Path) -> dict[str, float]:
    """Decode every photo once, compute plain and mirrored features of both splits, write the channel."""
    import numpy as np

    from inference_code.contract import decode, resize_and_crop
    from training_code.features.engine import open_engine
    from training_code.features.feature_set import FeatureSet, Part
    from training_code.models import resolve, weights

    began = time.perf_counter()
    spec = resolve(MODEL)
    engine = open_engine(spec, weights.resolve(MODEL).path, "auto", 0)
    splits = [photos_of(folder) for folder in folders(data)]
    paths = [path for split in splits for path, _ in split]
    classes = sorted({name for _, name in splits[0]})
    cache: dict[int, Any] = {}

    def pixels(index: int) -> Any:
        if index not in cache:
            cache.clear() if len(cache) > 64 else None
            cache[index] = resize_and_crop(decode(paths[index].read_bytes()), spec.preprocessing)
        return cache[index]

    loading = time.perf_counter() - began
    work = [(index, view) for index in range(len(paths)) for view in ("plain", "flipped")]
    began = time.perf_counter()
    found = engine.extract(work, pixels)
    seconds = time.perf_counter() - began
    parts, offset = [], 0
    for split in splits:
        rows = np.arange(offset, offset + len(split)) * 2
        labels = np.array([classes.index(name) for _, name in split])
        parts.append(Part(found[rows], labels, [str(row) for row in rows], found[rows + 1]))
        offset += len(split)
    FeatureSet(*parts, classes, "benchmark").write(base / "input" / "data" / "features")
    return {"loading_s": loading, "photos_per_s": len(work) / seconds, "views": len(work)}


def trial(base: Path, number: int, epochs: int, batch: int, rate: float) -> float:
    """One trial as a process of its own, as SageMaker starts one; its best validation accuracy."""
    folder = base / f"trial-{number}"
    (folder / "input" / "config").mkdir(parents=True)
    (folder / "input" / "data").symlink_to(base / "input" / "data", target_is_directory=True)
    settings = {
        "epochs": epochs,
        "batch_size": batch,
        "learning_rate": rate,
        "export": "false",
        "objective": "validation:accuracy",
    }
    text = json.dumps({name: str(value) for name, value in settings.items()})
    (folder / "input" / "config" / "hyperparameters.json").write_text(text)
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(folder), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "training_code", "train"], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    epochs_seen = (folder / "output" / "data" / "epochs.jsonl").read_text().splitlines()
    return max(json.loads(line)["validation:accuracy"] for line in epochs_seen)


def ours(data: Path, epochs: int, batch: int, trials: int) -> dict[str, float]:
    """Wall time from the first byte of the features' process to the end of the last trial."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        base = Path(scratch)
        began = time.perf_counter()
        extraction = part("features", data, base=base)
        extracted = time.perf_counter() - began
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            found = list(pool.map(lambda item: trial(base, item[0], epochs, batch, item[1]), enumerate(RATES[:trials])))
        whole = time.perf_counter() - began
    return {
        "seconds": whole,
        "features_s": extracted,
        "features_photos_per_s": extraction["photos_per_s"],
        "trials_s": whole - extracted,
        "seconds_a_trial": (whole - extracted) / trials,
        "best_validation_accuracy": max(found),
        "features_peak_mib": extraction["peak_mib"],
    }


def our_fine_tuning(data: Path, batch: int, steps: int, precision: str) -> dict[str, Any]:
    """Photos per second of `train` with fine_tune=all, from the times at which its steps ended."""
    from training_code.observation import NoObserver
    from training_code.prepare.photo_pack import write_pack
    from training_code.train.fine_tuning import fine_tune
    from training_code.train.job import Job
    from training_code.train.stopping import Stopped, StopRequest

    class Clock(NoObserver):
        def __init__(self, stop: StopRequest) -> None:
            self.stop, self.stamps = stop, [time.perf_counter()]

        def step(self, loss: Any, batch_size: int) -> None:
            self.stamps.append(time.perf_counter())
            self.stop.asked = len(self.stamps) > steps + 1

    train, validation = folders(data)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        base = Path(scratch)
        chosen = photos_of(train)[:: max(1, len(photos_of(train)) // (batch * (steps + 2)))]
        rows = [(f"t{i}", name, "train", "jpg", path) for i, (path, name) in enumerate(chosen)]
        rows += [
            (f"v{i}", name, "validation", "jpg", path) for i, (path, name) in enumerate(photos_of(validation)[::10])
        ]
        files = {row[0]: row[4] for row in rows}
        write_pack(base / "input/data/photos", [row[:4] for row in rows], lambda one: files[one].read_bytes())
        settings = {"model": MODEL, "fine_tune": "all", "batch_size": str(batch), "epochs": "9", "precision": precision}
        (base / "input/config").mkdir(parents=True)
        (base / "input/config/hyperparameters.json").write_text(json.dumps(settings))
        stop = StopRequest()
        clock = Clock(stop)
        job = Job.read(base)
        try:
            fine_tune(job, stop, clock)
        except Stopped:
            pass
        finally:
            job.close()
    return rate_of(clock.stamps[1:], batch)


# --- one run


def part(name: str, data: Path, **options: Any) -> dict[str, Any]:
    """One part as a process of its own: its answer and its peak memory."""
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.training",
        "--data",
        str(data),
        "--part",
        name,
        *arguments,
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def answer_part(options: argparse.Namespace) -> None:
    work = {
        "recipe": lambda: recipe(options.data, options.sample, options.batch_size),
        "recipe-accuracy": lambda: recipe_accuracy(options.data, options.epochs, options.batch_size, options.trials),
        "recipe-fine-tuning": lambda: recipe_fine_tuning(options.data, options.fine_tuning_batch, options.steps),
        "features": lambda: features(options.data, options.base),
        "ours": lambda: ours(options.data, options.epochs, options.batch_size, options.trials),
        "our-fine-tuning": lambda: our_fine_tuning(
            options.data, options.fine_tuning_batch, options.steps, options.precision
        ),
    }
    answer = work[options.part]()
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({**answer, "peak_mib": max(peaks) / 1024}))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    shared = {
        "sample": options.sample,
        "batch_size": options.batch_size,
        "epochs": options.epochs,
        "trials": options.trials,
    }
    tuned = {"fine_tuning_batch": options.fine_tuning_batch, "steps": options.steps, "precision": options.precision}
    train, validation = (len(photos_of(folder)) for folder in folders(options.data))
    runs = []
    for _ in range(options.repeat):
        usual = part("recipe", options.data, **shared)
        usual["seconds"] = (
            options.trials
            * options.epochs
            * (train / usual["train_photos_per_s"] + validation / usual["evaluation_photos_per_s"])
        )
        runs.append({"recipe": usual, "darkroom": part("ours", options.data, **shared)})
    accuracy = part("recipe-accuracy", options.data, **shared)
    fine_tuning = {
        "plain_loop": part("recipe-fine-tuning", options.data, **tuned),
        "darkroom": part("our-fine-tuning", options.data, **tuned),
    }
    ratios = [run["recipe"]["seconds"] / run["darkroom"]["seconds"] for run in runs]
    return {
        "machine": {"processor": processor(), "cores": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        "data": {"folder": options.data.name, "train": train, "validation": validation},
        "model": MODEL, "trials": options.trials, "epochs": options.epochs, "batch_size": options.batch_size,
        "n": options.repeat, "runs": runs, "ratios": ratios,
        "recipe_best_validation_accuracy": accuracy["best_validation_accuracy"],
        "fine_tuning": {**fine_tuning, "ratio": fine_tuning["darkroom"]["photos_per_s"] / fine_tuning["plain_loop"]["photos_per_s"]},
    }  # fmt: skip


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def table(result: dict[str, Any]) -> str:
    """The result as markdown; medians over the runs."""

    def middle(side: str, key: str) -> float:
        return statistics.median(run[side][key] for run in result["runs"])

    tuned, data = result["fine_tuning"], result["data"]
    spread = f"{min(result['ratios']):.0f} to {max(result['ratios']):.0f}"
    lines = [
        f"{result['trials']} trials of {result['epochs']} epochs, {result['model']}, {data['train']} + {data['validation']} photos "
        f"({data['folder']}), {result['machine']['cores']} cores, {result['machine']['processor']}, n = {result['n']}",
        "",
        "| | usual recipe | Darkroom | ratio |",
        "| --- | --- | --- | --- |",
        f"| training, photos/s (one epoch, frozen) | {middle('recipe', 'train_photos_per_s'):.1f} | "
        f"{middle('darkroom', 'features_photos_per_s'):.1f} (features, once) | |",
        f"| whole search, s | {middle('recipe', 'seconds'):.0f} (sum) | {middle('darkroom', 'seconds'):.1f} (measured) | "
        f"{statistics.median(result['ratios']):.0f} ({spread}) |",
        f"| best validation accuracy | {result['recipe_best_validation_accuracy']:.4f} | "
        f"{middle('darkroom', 'best_validation_accuracy'):.4f} | |",
        f"| peak memory, MiB | {middle('recipe', 'peak_mib'):.0f} | {middle('darkroom', 'features_peak_mib'):.0f} | |",
        f"| fine-tuning the whole model, photos/s | {tuned['plain_loop']['photos_per_s']:.1f} | "
        f"{tuned['darkroom']['photos_per_s']:.1f} | {tuned['ratio']:.2f} |",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with train/ and val/, a folder per class each")
    parser.add_argument("--trials", type=int, default=6, help=f"1 to {len(RATES)}")
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--sample", type=int, default=256, help="photos on which the recipe's rates are measured")
    parser.add_argument("--repeat", type=int, default=1, help="whole runs, for the spread")
    parser.add_argument("--fine-tuning-batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8, help="fine-tuning steps that are timed")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--output", type=Path, help="where the JSON goes")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--base", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.data is None:
        print(
            "benchmark of training: SKIPPED, no photos were given. Run `make bench-training DATA=folder` (train/ and val/)."
        )
        return 0
    if options.part:
        answer_part(options)
        return 0
    result = measure(options)
    if options.output:
        options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
