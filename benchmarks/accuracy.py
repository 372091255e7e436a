"""Test accuracy over seeds, with the training time beside it: `python -m benchmarks.accuracy FOLDER --recipe NAME`.

Each seed is the pipeline's own three steps as processes of their own: `prepare` (which splits and computes features), `train`, and
the exported model answering every test photo by the code of the server. Test photos reach the training in no form: `train` gets
the channels `features` and `photos`, which hold training and validation photos alone.
The recipes were chosen by validation accuracy; `--set NAME=VALUE` tries others, and `--validation-only` shows nothing of the test set.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# Execution inputs as `darkroom run --input` takes them. The fine-tunings are refitted: that more photos do not harm needs no try.
DEEP = {
    "batch_size": 32, "learning_rate": 0.0005, "backbone_learning_rate": 1.0, "weight_decay": 0.02, "dropout": 0.2,
    "ema_decay": 0.99, "label_smoothing": 0.1,
}  # fmt: skip
RECIPES: dict[str, dict[str, Any]] = {
    "lite0-head": {"model": "efficientnet_lite0"},
    "lite2-head": {"model": "efficientnet_lite2"},
    "lite2-deep": {
        "model": "efficientnet_lite2",
        "fine_tune": "last_block",
        "hyperparameters": {
            **DEEP, "epochs": 8, "last_block_share": 0.5, "frozen_views": 4, "test_time_flip": True, "refit": True,
        },
    },
    # Solar cells have no up, and their published results are plain accuracy.
    "lite0-deeper-flips": {
        "model": "efficientnet_lite0",
        "fine_tune": "last_block",
        "tuning": {"enabled": False, "objective": "validation:accuracy"},
        "hyperparameters": {
            **DEEP, "epochs": 15, "warmup": 0.1, "class_balance": "none", "last_block_share": 0.7, "flips": "both",
            "refit": True,
        },
    },
}  # fmt: skip
REPOSITORY = Path(__file__).resolve().parent.parent


def step(command: str, base: Path, log: Path) -> float:
    """Run one command of the training image in `base`; its wall time in seconds."""
    began = time.perf_counter()
    with log.open("a") as stream:
        subprocess.run(
            [sys.executable, "-m", "training_code", command],
            env={**os.environ, "SAGEMAKER_BASE_DIR": str(base)},
            cwd=REPOSITORY,
            check=True,
            stdout=stream,
            stderr=stream,
        )
    return time.perf_counter() - began


def one_seed(data: Path, recipe: dict[str, Any], seed: int, scratch: Path, *, test: bool) -> dict[str, Any]:
    """Prepare, train and judge with one seed; seconds and accuracies."""
    log = scratch / "log.txt"
    preparing, training = scratch / "prepare", scratch / "train"
    fixed = {"dataset": "s3://local/photos/", "tuning": {"enabled": False}, "seed": seed}
    asked = fixed | {k: v for k, v in recipe.items() if k != "hyperparameters"}
    hyperparameters = recipe.get("hyperparameters", {})
    request = preparing / "processing" / "input" / "request"
    request.mkdir(parents=True)
    (request / "input.json").write_text(json.dumps({**asked, "hyperparameters": hyperparameters}))
    (request.parent / "dataset").symlink_to(data.resolve(), target_is_directory=True)
    prepare_s = step("prepare", preparing, log)
    made = preparing / "processing" / "output"
    for channel in ("features", "photos"):
        (training / "input" / "data").mkdir(parents=True, exist_ok=True)
        (training / "input" / "data" / channel).symlink_to(made / channel, target_is_directory=True)
    (training / "input" / "config").mkdir(parents=True)
    plan = json.loads((made / "plan" / "plan.json").read_text())
    settings = {name: str(value) for name, value in plan["training"]["hyperparameters"].items()}
    (training / "input" / "config" / "hyperparameters.json").write_text(json.dumps(settings))
    train_s = step("train", training, log)
    epochs = [json.loads(line) for line in (training / "output/data/epochs.jsonl").read_text().splitlines()]
    objective = settings.get("objective", "validation:balanced_accuracy")
    best = max(epochs, key=lambda epoch: epoch[objective])
    found = {"seed": seed, "prepare_s": prepare_s, "train_s": train_s}
    found["validation"] = {name: value for name, value in best.items() if name.startswith("validation:")}
    if test:
        found["test"] = judged(training / "model", made)
    return found


def judged(model: Path, made: Path) -> dict[str, Any]:
    """The exported model's answers to the test photos, one photo at a time as the server gives them."""
    import numpy as np

    from inference_code.benchmark.photos import from_tree, judge
    from inference_code.classifier import Classifier

    cores = len(os.sched_getaffinity(0))
    classifier = Classifier.load(model, cores)
    photos = from_tree(made / "test", made / "prepared" / "manifest.csv", classifier.manifest.classes)
    with ThreadPoolExecutor(cores) as pool:
        answers = list(
            pool.map(lambda i: classifier.predict([classifier.decode(photos.read(i))])[0], range(len(photos)))
        )
    return judge(photos.labels, np.stack(answers))


def shown(name: str, values: Sequence[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{name} {statistics.mean(values):.4f} ± {spread:.4f} (n = {len(values)}: {', '.join(f'{v:.4f}' for v in values)})"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, help="photos, in any layout that `darkroom run --data` takes")
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="lite0-head")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="other hyperparameters, or model=NAME"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--validation-only", action="store_true", help="leave the test photos alone")
    parser.add_argument("--output", type=Path, help="where the JSON goes")
    given = parser.parse_args(arguments)
    if given.data is None:
        print("benchmark of accuracy: SKIPPED, no photos were given. Run `python -m benchmarks.accuracy FOLDER`.")
        return 0
    recipe = json.loads(json.dumps(RECIPES[given.recipe]))
    for item in given.set:
        name, _, value = item.partition("=")
        place = recipe if name in ("model", "image_size", "fine_tune") else recipe.setdefault("hyperparameters", {})
        place[name] = typed(value)
    print(f"{given.data.name}: {json.dumps(recipe)}", flush=True)
    results = []
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        scratch = Path(tempfile.mkdtemp(prefix="bench-"))
        try:
            results.append(one_seed(given.data, recipe, seed, scratch, test=not given.validation_only))
        except subprocess.CalledProcessError:
            print("\n".join((scratch / "log.txt").read_text().splitlines()[-12:]), file=sys.stderr)
            raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        print(json.dumps(results[-1]), flush=True)
    print(shown("validation accuracy", [one["validation"]["validation:accuracy"] for one in results]))
    if not given.validation_only:
        for name in ("accuracy", "balanced_accuracy"):
            print(shown(f"test {name.replace('_', ' ')}", [one["test"][name] for one in results]))
    for name in ("prepare_s", "train_s"):
        print(shown(name, [one[name] for one in results]))
    if given.output:
        given.output.write_text(json.dumps({"recipe": recipe, "results": results}, indent=2) + "\n", encoding="utf-8")
    return 0


def typed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


if __name__ == "__main__":
    sys.exit(main())
