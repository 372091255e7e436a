"""The look before an upload: what the photos, the execution input and the name mean, with the code that `prepare` runs.

A wrong folder, field or range costs a second here, and an upload and a job later. Where something can be read in two ways, a terminal
asks; a script gets a sentence with the field that settles it. Doubts (files left out, names almost alike) are asked about, too: --yes
accepts them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contract import architectures
from contract.comparison_input import ComparisonInput
from contract.execution_input import ExecutionInput
from contract.failure import JobFailure
from contract.photo_set.questions import Asked, Layout, TwoReadings
from contract.photo_set.read import read_set
from contract.photo_set.sources import Source, ZipSource
from contract.photo_set.splits import refuse_small
from darkroom import dataset
from darkroom.failure import DarkroomError

CLASSES_SHOWN = 20
PARTS = ("train", "validation", "test")
FIELDS = ("layout", "labels", "splits", "alike_names")
Check = Callable[[dict[str, Any]], None]


def check_run(document: Mapping[str, Any]) -> ExecutionInput:
    """The execution input as `prepare` will check it; DarkroomError with its sentence."""
    try:
        execution = ExecutionInput.from_json({**document, "dataset": "s3://not-known-yet/"})
        _ = execution.ranges, execution.resolved_hyperparameters
        architectures.require("model", execution.model)
        architectures.require_size(execution.model, execution.image_size)
    except JobFailure as failure:
        raise DarkroomError(
            f"Execution input (--input and options): {failure}", "Nothing was uploaded or started."
        ) from None
    return execution


def check_comparison(document: Mapping[str, Any]) -> ComparisonInput:
    """The input of a comparison as its job will check it; DarkroomError with its sentence."""
    try:
        comparison = ComparisonInput.from_json({**document, "dataset": "s3://not-known-yet/"})
        for one in comparison.candidates:
            architectures.require("models", one.model)
            architectures.require_size(one.model, comparison.image_size)
            comparison.hyperparameters_of(one.model, one.pretrained)
    except JobFailure as failure:
        raise DarkroomError(
            f"Input of the comparison (--input and options): {failure}", "Nothing was uploaded or started."
        ) from None
    return comparison


def look(console: Console, data: str, document: dict[str, Any], yes: bool) -> dict[str, Any]:
    """Show what will be learnt from `data`; the document with what a person has settled. S3 URIs are looked at by the job."""
    if "://" in data:
        return document
    path = Path(data)
    source = _source(path)
    files = source.read if isinstance(source, dataset.Survey) else source.files()
    opened: Source = source.source if isinstance(source, dataset.Survey) else source
    while True:
        try:
            layout = read_set(opened, files, _asked(document))
            refuse_small(layout)
            break
        except TwoReadings as question:
            document = {**document, **_settle(console, data, question)}
        except JobFailure as failure:
            raise DarkroomError(f"--data {data}: {_sentence(failure)}", "Nothing was uploaded or started.") from None
    show(console, layout)
    _confirm(console, layout, yes)
    return document


def _source(path: Path) -> dataset.Survey | ZipSource:
    if path.is_file() and path.suffix.lower() == ".zip":
        try:
            return ZipSource(path)
        except JobFailure as failure:
            raise DarkroomError(f"--data {path}: {_sentence(failure)}", "Nothing was uploaded or started.") from None
    return dataset.survey(path)


def _asked(document: Mapping[str, Any]) -> Asked:
    return Asked(**{name: document[name] for name in FIELDS if document.get(name) is not None})


def _sentence(failure: JobFailure) -> str:
    return str(failure).removeprefix("dataset: ")


def show(console: Console, layout: Layout) -> None:
    """Classes with counts for each split, facets, and a line for whatever is not used."""
    counts = Counter((photo.label, photo.split) for photo in layout.photos)
    has_splits = any(photo.split for photo in layout.photos)
    parts = [part for part in PARTS if any(photo.split == part for photo in layout.photos)] if has_splits else [None]
    table = Table(box=None, padding=(0, 2))
    table.add_column("  class", overflow="fold")
    for part in parts:
        table.add_column(part or "photos", justify="right")
    for label in layout.classes[:CLASSES_SHOWN]:
        table.add_row(f"  {escape(repr(label)[1:-1])}", *(f"{counts[label, part]:,}" for part in parts))
    total = [f"{sum(counts[label, part] for label in layout.classes):,}" for part in parts]
    if (hidden := len(layout.classes) - CLASSES_SHOWN) > 0:
        table.add_row(f"  … and {hidden:,} more", *("" for _ in parts))
    table.add_row(f"  {len(layout.classes):,} classes", *total, style="bold")
    console.print(table)
    if not has_splits:
        console.print("  test and validation are drawn (split.test, split.validation)", markup=False)
    facets = list(layout.photos[0].facets) if layout.photos else []
    for name in facets:
        values = Counter(photo.facets[name] for photo in layout.photos if photo.facets.get(name))
        most = ", ".join(f"{value} ({count:,})" for value, count in values.most_common(4))
        console.print(f"  facet {name}: {len(values):,} values, {most}", markup=False, soft_wrap=True)
    for notice in layout.notices:
        console.print(f"  note: {notice}", markup=False, soft_wrap=True)


def _at_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _settle(console: Console, data: str, question: TwoReadings) -> dict[str, Any]:
    """Ask which reading is right; without a terminal, a failure that names the field."""
    if not _at_terminal():
        raise DarkroomError(f"--data {data}: {_sentence(question)}", "Put the field into the JSON of --input.")
    console.print(f"  {question.question}", markup=False, soft_wrap=True)
    answers = list(question.answers)
    for number, (value, meaning) in enumerate(question.answers.items(), 1):
        console.print(f"    {number}  {meaning}  ({question.field}: {value})", markup=False, soft_wrap=True)
    chosen = click.prompt("  Which is right?", type=click.IntRange(1, len(answers)), err=True)
    return {question.field: question.settled(answers[chosen - 1])}


def _confirm(console: Console, layout: Layout, yes: bool) -> None:
    if not layout.doubts or yes:
        return
    if not _at_terminal():
        doubts = " ".join(layout.doubts)
        raise DarkroomError(f"Is this what you mean? {doubts}", "Mend it, or accept it with --yes.")
    click.confirm(f"  Go on with this ({len(layout.doubts)} of the notes need a yes)?", abort=True, err=True)
