"""`evaluate`: joins the answers of batch transform with the truth, measures, and prepares the measurement of bias.

Reads `<base>/processing/input/`: `transform/` (one `.out` a photo), `prepared/` (`manifest.csv`, `evaluation_plan.json`). Writes
`output/evaluation/` (`evaluation.json`, `predictions.csv`, `details.json`) and `output/bias-input/` (`config/`, `data/`). PyTorch
is not imported. Refuses answers that do not fit the manifest: a number on part of the test set would be another number.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from contract import sheet
from contract.failure import JobFailure, base_directory
from contract.foreign_json import parse
from contract.json_form import from_json
from contract.plan import EVALUATION_FILE, BiasPlan, EvaluationPlan
from contract.whole_file import whole_file, write_json
from training_code.measurement import measure

# evaluation.json travels through the state machine, whose state is limited to 256 KiB: nothing that grows with classes or columns.
TOO_LARGE_FOR_THE_STATE = frozenset({"classes", "per_class", "confusion_matrix", "facets", "calibration"})
RESERVED = frozenset({"file", "label", "predicted_label"})


@dataclass(frozen=True)
class Answers:
    """Test photos in the order of the manifest, and what the model answered: photos × classes."""

    rows: list[dict[str, str]]
    probabilities: np.ndarray
    classes: list[str]

    @property
    def truth(self) -> np.ndarray:
        number = {name: position for position, name in enumerate(self.classes)}
        return np.array([number[row["label"]] for row in self.rows])

    @property
    def predicted(self) -> list[str]:
        return [self.classes[i] for i in self.probabilities.argmax(axis=1)]

    def facets(self) -> list[str]:
        return [name.removeprefix("facet_") for name in self.rows[0] if name.startswith("facet_")]


def main(arguments: Sequence[str]) -> int:
    if arguments:
        raise JobFailure(f"evaluate: received the arguments {list(arguments)}; it takes none.")
    evaluate(base_directory() / "processing")
    return 0


def evaluate(folder: Path) -> dict[str, Any]:
    """The whole job in `folder` (input/, output/); what `details.json` holds."""
    plan = _plan(folder / "input" / EVALUATION_FILE)
    answers = join(folder / "input" / "prepared" / "manifest.csv", folder / "input" / "transform", plan.classes)
    facet_values = {
        name: [row[f"facet_{name}"] for row in answers.rows] for name in answers.facets()
    }  # fmt: skip
    thresholds = {facet.name: facet.threshold for facet in plan.bias.facets if facet.threshold is not None}
    details = measure(answers.truth, answers.probabilities, answers.classes, facet_values, thresholds)
    details["quality_gate"] = plan.quality_gate.judged(details)
    summary = {name: value for name, value in details.items() if name not in TOO_LARGE_FOR_THE_STATE}
    out = folder / "output"
    _write_predictions(out / "evaluation" / "predictions.csv", answers)
    write_json(out / "evaluation" / "details.json", details)
    write_json(out / "evaluation" / "evaluation.json", summary)
    _write_bias_input(out / "bias-input", answers, plan.bias)
    print(f"evaluated {details['n']} photos: accuracy={reached_text(details, 'accuracy')}; "
          f"balanced_accuracy={details['balanced_accuracy']:.4f};", flush=True)  # fmt: skip
    return details


def reached_text(details: Mapping[str, Any], name: str) -> str:
    low, high = details["intervals"][name]
    return f"{details[name]:.4f} ({low:.4f} to {high:.4f})"


def _plan(path: Path) -> EvaluationPlan:
    if not path.is_file():
        raise JobFailure(f"evaluate: {path.name} is missing among the inputs 'prepared'; run Prepare dataset again.")
    return from_json(EvaluationPlan, parse(path.read_bytes()), path.name)


def join(manifest: Path, transform: Path, classes: Sequence[str]) -> Answers:
    """Every test photo with its answer; JobFailure when any has none or one that is not an answer."""
    with manifest.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in sheet.read_rows(stream) if row["split"] == "test"]
    missing = [row for row in rows if not (transform / f"{row['object']}.out").is_file()]
    if missing:
        raise JobFailure(
            f"evaluate: {len(missing)} of {len(rows)} test photos have no answer, first {missing[0]['path']} "
            f"({missing[0]['object']}.out); allowed: one .out for each. Look at the log of the batch transform job."
        )
    found = np.empty((len(rows), len(classes)))
    for position, row in enumerate(rows):
        name = f"{row['object']}.out"
        found[position] = probabilities_in((transform / name).read_bytes(), classes, name)
    return Answers(rows, found, list(classes))


def probabilities_in(data: bytes, classes: Sequence[str], name: str) -> np.ndarray:
    """One answer of the server, in either of its forms, as probabilities in the order of `classes`."""
    try:
        value = parse(data)
        if isinstance(value, dict):
            (prediction,) = value["predictions"]
            by_label = prediction["probabilities"]
            if set(by_label) != set(classes):
                raise ValueError(f"its classes are {sorted(by_label)[:5]}")
            value = [by_label[label] for label in classes]
        elif value and isinstance(value[0], list):
            (value,) = value
        row = np.array(value, dtype=float)
        if row.shape != (len(classes),) or not np.isfinite(row).all() or abs(row.sum() - 1) > 1e-2 or row.min() < 0:
            raise ValueError(f"it is {str(value)[:80]}")
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise JobFailure(
            f"evaluate: {name} holds no answer for {len(classes)} classes ({error}): {data[:80]!r}. "
            "Look at the log of the batch transform job."
        ) from None
    return row


def _write_predictions(path: Path, answers: Answers) -> None:
    columns = ["file", "label", "predicted_label", *(f"probability:{name}" for name in answers.classes)]
    facets = answers.facets()
    rows = (
        [row["path"], row["label"], predicted, *(f"{value:.6g}" for value in probabilities),
         *(row[f"facet_{name}"] for name in facets)]
        for row, predicted, probabilities in zip(answers.rows, answers.predicted, answers.probabilities, strict=True)
    )  # fmt: skip
    _write_whole(path, lambda stream: sheet.write_rows(stream, [[*columns, *map(_column, facets)], *rows]))


def _column(facet: str) -> str:
    """A facet that is called like one of our columns gets another name."""
    return f"facet_{facet}" if facet in RESERVED or facet.startswith("probability:") else facet


def _write_bias_input(folder: Path, answers: Answers, bias: BiasPlan) -> None:
    """Table and `analysis_config.json` in Clarify's form; without a facet, a note in their place.

    https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-processing-job-configure-analysis.html
    """
    if not bias.enabled:
        for name in ("config", "data"):  # on AWS an input without any object fails the job that names it
            write_json(folder / name / "skipped.json", {"reason": bias.reason})
        return
    names = [facet.name for facet in bias.facets]
    headers = ["label", "predicted_label", *(_column(name) for name in names)]
    facets = []
    for facet in bias.facets:
        wanted: dict[str, Any] = {"name_or_index": _column(facet.name)}
        if facet.threshold is not None:
            wanted["value_or_threshold"] = [facet.threshold]
        facets.append(wanted)
    config = {
        "dataset_type": "text/csv",
        "headers": headers,
        "label": "label",
        "label_values_or_threshold": list(bias.positive_labels),
        "predicted_label": "predicted_label",
        "facet": facets,
        "methods": {
            "pre_training_bias": {"methods": "all"},
            "post_training_bias": {"methods": "all"},
            "report": {"name": "report", "title": "Bias of the test predictions"},
        },
    }
    write_json(folder / "config" / "analysis_config.json", config)
    rows = (
        [row["label"], predicted, *(row[f"facet_{name}"] for name in names)]
        for row, predicted in zip(answers.rows, answers.predicted, strict=True)
        if all(row[f"facet_{name}"] for name in names)
    )
    # Clarify takes the column names from `headers`, every line of the file as data, and every text as it stands.
    _write_whole(folder / "data" / "predictions.csv", lambda stream: csv.writer(stream).writerows(rows))


def _write_whole(path: Path, write: Callable[[TextIO], None]) -> None:
    with whole_file(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as stream:
        write(stream)
