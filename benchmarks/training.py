"""Tuning and training against the usual recipe, side by side in one run: `make bench-training DATA=folder`.

The folder holds `train/` and `val/` (or `validation/`), a folder per class each. What the peers are is said in `benchmarks/recipes.py`.
The usual recipe sends every photo through the backbone in every epoch of every trial: its costs per photo are measured over a few
dozen steps (median), and the sum over all trials and epochs is shown. Ours is run whole, `--repeats` times: the features of the plain and
the mirrored photos as `prepare` computes them, nothing cached, then every trial as a process of its own, as a tuning job starts
them. Fine-tuning is photos per second of the whole model, by the median step. Each part is a process of its own, which reports its
peak memory. Without DATA it says that it was skipped.
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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.recipes import (
    MODEL,
    RATES,
    WARM_UP,
    folders,
    photos_of,
    plain_loop,
    rate_of,
    recipe_accuracy,
    timm_script,
    usual_recipe,
)

PEERS = ("plain-loop", "timm-script", "timm-script-tuned")


def features(data: Path, base: Path, precision: str) -> dict[str, Any]:
    """The channels of a training, by the code of `prepare`: what a photo needs is computed, nothing is cached."""
    from contract.decode import decode
    from contract.hyperparameters import Hyperparameters
    from contract.preprocessing import resize_and_crop
    from training_code.features.channel import write_channels
    from training_code.features.extraction import Sample
    from training_code.models import resolve, weights

    os.environ.pop("FEATURE_CACHE_URI", None)
    began = time.perf_counter()
    settings = Hyperparameters(model=MODEL, precision=precision)
    spec, found = resolve(MODEL), weights.resolve(MODEL)
    splits = dict(zip(("train", "validation"), folders(data), strict=True))
    placed = [(path, label, split) for split, folder in splits.items() for path, label in photos_of(folder)]
    samples = [Sample(i, str(i), f"{i:064x}", label, split) for i, (_, label, split) in enumerate(placed)]

    def pixels(index: int) -> Any:
        return resize_and_crop(decode(placed[index][0].read_bytes()), spec.preprocessing)

    classes = sorted({label for _, label, _ in placed})
    made = write_channels(base / "input" / "data", spec, found, settings, samples, classes, pixels)
    seconds = time.perf_counter() - began
    return {"views": made.facts["computed"], "seconds": seconds, "arithmetic": made.facts["arithmetic"]}


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
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(folder)}
    subprocess.run(
        [sys.executable, "-m", "training_code", "train"], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    epochs_seen = (folder / "output" / "data" / "epochs.jsonl").read_text().splitlines()
    return max(json.loads(line)["validation:accuracy"] for line in epochs_seen)


def ours(data: Path, epochs: int, batch: int, trials: int, precision: str) -> dict[str, Any]:
    """Wall time from the first byte of the features' process to the end of the last trial."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        base = Path(scratch)
        began = time.perf_counter()
        extraction = part("features", data, base=base, precision=precision)
        extracted = time.perf_counter() - began
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            found = list(pool.map(lambda item: trial(base, item[0], epochs, batch, item[1]), enumerate(RATES[:trials])))
        whole = time.perf_counter() - began
    return {
        "seconds": whole,
        "features_s": extracted,
        "features_views_per_s": extraction["views"] / extraction["seconds"],
        "arithmetic": extraction["arithmetic"],
        "trials_s": whole - extracted,
        "best_validation_accuracy": max(found),
        "features_peak_mib": extraction["peak_mib"],
    }


def our_fine_tuning(data: Path, batch: int, steps: int, precision: str) -> dict[str, Any]:
    """Photos per second of `train` with fine_tune=all, from the times at which its steps ended."""
    from training_code.observation import NoObserver
    from training_code.prepare.photo_pack import write_pack
    from training_code.train.fine_tuned import fine_tune
    from training_code.train.job import Job
    from training_code.train.stopping import Stopped, StopRequest

    class Clock(NoObserver):
        def __init__(self, stop: StopRequest) -> None:
            self.stop, self.stamps = stop, [time.perf_counter()]

        def step(self, loss: Any, batch_size: int) -> None:
            self.stamps.append(time.perf_counter())
            self.stop.asked = len(self.stamps) > steps + WARM_UP

    train, validation = folders(data)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        base = Path(scratch)
        chosen = photos_of(train)[:: max(1, len(photos_of(train)) // (batch * (steps + WARM_UP + 1)))]
        rows = [(f"t{i}", name, "train", "jpg", path) for i, (path, name) in enumerate(chosen)]
        rows += [
            (f"v{i}", name, "validation", "jpg", path) for i, (path, name) in enumerate(photos_of(validation)[::10])
        ]
        files = {row[0]: row[4] for row in rows}
        write_pack(
            base / "input/data/photos",
            [row[:4] for row in rows],
            lambda one: files[one].read_bytes(),
            sorted({row[1] for row in rows}),
        )
        settings = {"model": MODEL, "fine_tune": "all", "batch_size": str(batch), "epochs": "9", "precision": precision}
        (base / "input/config").mkdir(parents=True)
        (base / "input/config/hyperparameters.json").write_text(json.dumps(settings))
        stop = StopRequest()
        clock = Clock(stop)
        job = Job.read(base)
        try:
            fine_tune(job, stop, clock, watch=lambda *_: None)
        except Stopped:
            pass
        finally:
            job.close()
    return rate_of(clock.stamps, batch)


# --- one run


def part(name: str, data: Path, **options: Any) -> dict[str, Any]:
    """One part as a process of its own: its answer and its peak memory."""
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.training", "--data", str(data), "--part", name]
    done = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def answer_part(given: argparse.Namespace) -> None:
    data, batch, tuned_batch, steps = given.data, given.batch_size, given.fine_tuning_batch, given.fine_tuning_steps
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "recipe": lambda: usual_recipe(data, given.steps, batch),
        "recipe-accuracy": lambda: recipe_accuracy(data, given.epochs, batch, given.trials),
        "features": lambda: features(data, given.base, given.precision),
        "ours": lambda: ours(data, given.epochs, batch, given.trials, given.precision),
        "plain-loop": lambda: plain_loop(data, tuned_batch, steps),
        "timm-script": lambda: timm_script(data, tuned_batch, steps, tuned=False),
        "timm-script-tuned": lambda: timm_script(data, tuned_batch, steps, tuned=True),
        "our-fine-tuning": lambda: our_fine_tuning(data, tuned_batch, steps, given.precision),
    }
    answer = work[given.part]()
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({**answer, "peak_mib": max(peaks) / 1024}))


def measure(given: argparse.Namespace) -> dict[str, Any]:
    names = ("steps", "fine_tuning_steps", "batch_size", "fine_tuning_batch", "epochs", "trials", "precision")
    asked = {name: getattr(given, name) for name in names}
    train, validation = (len(photos_of(folder)) for folder in folders(given.data))
    result: dict[str, Any] = {
        "machine": {"processor": processor(), "cores": len(os.sched_getaffinity(0)), "load_before": os.getloadavg()[0],
                    "python": platform.python_version()},
        "data": {"folder": given.data.name, "train": train, "validation": validation},
        "model": MODEL, **asked, "repeats": given.repeats,
    }  # fmt: skip
    if "search" in given.only:
        usual = part("recipe", given.data, **asked)
        usual |= part("recipe-accuracy", given.data, **asked) | {"peak_mib": usual["peak_mib"]}

        def whole(which: str) -> float:
            """All trials and epochs, from what one photo costs."""
            an_epoch = train / usual["training"][which] + validation / usual["evaluation"][which]
            return given.trials * given.epochs * an_epoch

        usual["seconds"] = whole("photos_per_s")
        usual["seconds_range"] = [whole("faster_quarter_photos_per_s"), whole("slower_quarter_photos_per_s")]
        runs = [part("ours", given.data, **asked) for _ in range(given.repeats)]
        ratios = [usual["seconds"] / run["seconds"] for run in runs]
        result |= {"recipe": usual, "darkroom": runs, "ratios": ratios}
    if "fine-tuning" in given.only:
        tuned = {name: part(name, given.data, **asked) for name in (*PEERS, "our-fine-tuning")}
        ours_rate = tuned["our-fine-tuning"]["photos_per_s"]
        result["fine_tuning"] = tuned
        result["fine_tuning_ratios"] = {name: ours_rate / tuned[name]["photos_per_s"] for name in PEERS}
    return result


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def table(result: dict[str, Any]) -> str:
    """The result as markdown: medians, and the spread beside them."""
    data, machine = result["data"], result["machine"]
    lines = [
        f"{result['trials']} trials of {result['epochs']} epochs, {result['model']}, {data['train']} + {data['validation']} photos "
        f"({data['folder']}), {machine['cores']} cores, {machine['processor']}, load {machine['load_before']:.1f} before",
        "",
        "| | peer | Darkroom | ratio |",
        "| --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *_search_rows(result), *_fine_tuning_rows(result)])


def _search_rows(result: dict[str, Any]) -> list[str]:
    if "recipe" not in result:
        return []
    usual, runs, ratios = result["recipe"], result["darkroom"], result["ratios"]

    def shown(key: str, form: str) -> str:
        values = [run[key] for run in runs]
        return f"{statistics.median(values):{form}} (n = {len(values)}: {min(values):{form}} to {max(values):{form}})"

    low, high = usual["seconds_range"]
    recipe = f"{usual['seconds']:.0f} (summed; quartile steps: {low:.0f} to {high:.0f})"
    return [
        f"| whole search, s | {recipe} | {shown('seconds', '.1f')} | {statistics.median(ratios):.0f} "
        f"({min(ratios):.0f} to {max(ratios):.0f}) |",
        f"| of it features, s | | {shown('features_s', '.1f')}, {runs[0]['arithmetic']['precision']} | |",
        f"| training a frozen backbone, photos/s | {_rate(usual['training'])} | | |",
        f"| evaluating, photos/s | {_rate(usual['evaluation'])} | | |",
        f"| best validation accuracy | {usual['best_validation_accuracy']:.4f} | {shown('best_validation_accuracy', '.4f')} | |",
        f"| peak memory, MiB | {usual['peak_mib']:.0f} | {shown('features_peak_mib', '.0f')} | |",
    ]


def _fine_tuning_rows(result: dict[str, Any]) -> list[str]:
    if "fine_tuning" not in result:
        return []
    tuned, ratios = result["fine_tuning"], result["fine_tuning_ratios"]
    mine = _rate(tuned["our-fine-tuning"])
    titles = ("plain loop", "timm's script", "timm's script, channels last and bfloat16")
    return [
        f"| fine-tuning the whole model, photos/s, against: {title} | {_rate(tuned[name])} | {mine} | {ratios[name]:.2f} |"
        for name, title in zip(PEERS, titles, strict=True)
    ]


def _rate(rates: dict[str, float]) -> str:
    slower, faster = rates["slower_quarter_photos_per_s"], rates["faster_quarter_photos_per_s"]
    return f"{rates['photos_per_s']:.1f} (n = {rates['n']}: {slower:.1f} to {faster:.1f})"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with train/ and val/, a folder per class each")
    parser.add_argument("--repeats", type=int, default=3, help="whole runs of our side")
    parser.add_argument("--only", nargs="+", choices=("search", "fine-tuning"), default=("search", "fine-tuning"))
    parser.add_argument("--trials", type=int, default=6, help=f"1 to {len(RATES)}")
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument(
        "--steps", type=int, default=24, help="steps of the recipe that are timed; a third of it evaluating"
    )
    parser.add_argument("--fine-tuning-batch", type=int, default=32)
    parser.add_argument("--fine-tuning-steps", type=int, default=10, help="fine-tuning steps that are timed")
    parser.add_argument("--precision", default="auto", help="of our side")
    parser.add_argument("--output", type=Path, help="where the JSON goes")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--base", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.data is None:
        print(
            "benchmark of training: SKIPPED, no photos were given. Run `make bench-training DATA=folder` (train/ and val/)."
        )
        return 0
    if given.part:
        answer_part(given)
        return 0
    result = measure(given)
    if given.output:
        given.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
