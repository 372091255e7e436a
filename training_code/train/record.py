"""What a training says while it runs and leaves behind: metric lines for SageMaker, epochs.jsonl, validation predictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contract import sheet
from contract.metrics import BY_NAME, metric_line
from training_code.train.checkpoints import write_whole
from training_code.train.measures import is_better

Watch = Callable[[int, dict[str, float]], None]


class Record:
    """The course of one training; `best` is the epoch with the best objective (equal ones: the lower validation loss).

    With `last` it is the last one: a refit has seen the validation photos, which cannot judge it.
    """

    def __init__(
        self,
        objective: str,
        folder: Path | None,
        *,
        quiet: bool = False,
        watch: Watch | None = None,
        last: bool = False,
    ) -> None:
        self.objective, self._folder, self._quiet, self._watch, self._last = objective, folder, quiet, watch, last
        self.epochs: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None

    @property
    def judges(self) -> bool:
        """Whether validation decides which epoch is the best."""
        return not self._last

    def restore(self, epochs: Iterable[Mapping[str, Any]]) -> None:
        for entry in epochs:
            self._keep(dict(entry))

    def epoch(self, number: int, metrics: Mapping[str, float], **facts: Any) -> bool:
        """Print and keep one epoch; whether it is the best so far."""
        better = self._keep({"epoch": number, **metrics, **facts})
        if self._watch:
            self._watch(number, dict(metrics))
        if not self._quiet:
            print(
                f"epoch={number}; {' '.join(metric_line(n, v) for n, v in metrics.items() if n in BY_NAME)}", flush=True
            )
            if self._folder:
                self.write(self._folder)
        return better

    def _keep(self, entry: dict[str, Any]) -> bool:
        self.epochs.append(entry)
        better = self.best is None or self._last or _key_is_better(self.objective, entry, self.best)
        if better:
            self.best = entry
        return better

    @property
    def epochs_since_best(self) -> int:
        return len(self.epochs) - 1 - self.epochs.index(self.best) if self.best else 0

    @property
    def epochs_to_best(self) -> int:
        """How many epochs led to the best one: what a refit repeats."""
        return self.epochs.index(self.best) + 1 if self.best else 0

    def finish(self) -> None:
        """SageMaker's tuning takes the last value that was printed: repeat those of the epoch that is kept."""
        if self.best and not self._quiet:
            kept = {name: value for name, value in self.best.items() if name in BY_NAME}
            print(
                f"best epoch={self.best['epoch']}; {' '.join(metric_line(n, v) for n, v in kept.items())}", flush=True
            )

    def write(self, folder: Path) -> None:
        text = "".join(json.dumps(entry) + "\n" for entry in self.epochs)
        write_whole(folder / "epochs.jsonl", lambda target: target.write_text(text, encoding="utf-8") and None)


def _key_is_better(objective: str, new: Mapping[str, float], old: Mapping[str, float]) -> bool:
    if new[objective] != old[objective]:
        return is_better(objective, new[objective], old[objective])
    return new["validation:loss"] < old["validation:loss"]


def write_predictions(
    path: Path, ids: list[str], labels: np.ndarray, probabilities: np.ndarray, classes: list[str]
) -> None:
    """One line a validation photo: photo_id, label, prediction, and the calibrated probability of each class."""

    def write(target: Path) -> None:
        with target.open("w", newline="", encoding="utf-8") as stream:
            rows = (
                [one, classes[label], classes[int(row.argmax())], *(f"{value:.6g}" for value in row)]
                for one, label, row in zip(ids, labels, probabilities, strict=True)
            )
            header = ["photo_id", "label", "prediction", *(f"probability:{name}" for name in classes)]
            sheet.write_rows(stream, [header, *rows])

    write_whole(path, write)
