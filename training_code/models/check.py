"""`check-weights`: what `darkroom weights add NAME FILE` runs, because only the architecture knows which tensors it needs.

    python -m training_code check-weights --model NAME

The one file in `<base>/processing/input/weights/` is loaded into the architecture, and stored (`<base>/processing/output/weights/`,
in the store's own layout) only if every tensor that the architecture needs is in it.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from contract.failure import JobFailure, base_directory
from training_code.models import backbone, catalogue
from training_code.models.weights import RECORD, key_of, record_of


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m training_code check-weights")
    parser.add_argument("--model", required=True)
    base = base_directory() / "processing"
    store(parser.parse_args(arguments).model, base / "input" / "weights", base / "output" / "weights")
    return 0


def store(name: str, given: Path, folder: Path) -> Path:
    """The one file of `given` as the weights of `name`, in the store's layout below `folder`; JobFailure where it does not fit."""
    files = [path for path in given.iterdir() if path.is_file()]
    if len(files) != 1:
        raise JobFailure(f"weights: received {len(files)} files in {given}; allowed: one.")
    module, _ = backbone.load(catalogue.resolve(name), files[0])
    target = folder / key_of(name)
    target.mkdir(parents=True, exist_ok=True)
    file = Path(shutil.copyfile(files[0], target / files[0].name))
    record = {**record_of(file, f"file {file.name}"), "loading": module.loading.to_dict()}
    (target / RECORD).write_text(json.dumps(record), encoding="utf-8")
    return target
