"""Bias metrics of a table, computed by AWS's own open library `smclarify`, in Clarify's own result format.

A metric that cannot be computed for this data (no such group, no group variable) has value null and says why.
"""

import csv
import logging
from pathlib import Path
from typing import Any, Final

import pandas as pd
from smclarify.bias import report as smclarify

from analysis_code.clarify.config import BiasAnalysis, Facet, wrong
from contract.failure import JobFailure

log = logging.getLogger("clarify")
_MOST_NUMERIC_CATEGORIES: Final = 10
# It logs a traceback for every metric that the data does not allow; analysis.json carries the reason instead.
logging.getLogger("smclarify").setLevel(logging.CRITICAL)


def read_table(folder: Path, headers: tuple[str, ...] | None) -> pd.DataFrame:
    """All CSV files below the folder as one table of text; with `headers` the files hold rows only."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise JobFailure(f"{folder}: there is no table; mount a folder with CSV files as the input dataset")
    parts = []
    for file in files:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.reader(lines))
        names = list(headers) if headers else (rows[0] if rows else [])
        if rows and rows[0] == names:  # the first row repeats the headers
            rows = rows[1:]
        uneven = next((number for number, row in enumerate(rows) if len(row) != len(names)), None)
        if uneven is not None:
            raise JobFailure(
                f"{file.name}: data row {uneven + 1} has {len(rows[uneven])} columns; the headers name {len(names)}"
            )
        parts.append(pd.DataFrame(rows, columns=names, dtype="object"))
    table = pd.concat(parts, ignore_index=True)
    if table.empty:
        raise JobFailure(f"{folder}: the table has no rows; bias needs predictions to compare")
    return table


def measure(table: pd.DataFrame, analysis: BiasAnalysis) -> dict[str, Any]:
    """The two sections of analysis.json, as far as they are wanted."""
    label = _column(table, "label", analysis.label)
    label_series = _typed(table[label], analysis.positive_values)
    _require_some(table, "label_values_or_threshold", label, label_series, analysis.positive_values)
    predicted = None
    if analysis.predicted_label is not None:
        predicted = _column(table, "predicted_label", analysis.predicted_label)
    group = None
    if analysis.group_variable is not None:
        group = table[_column(table, "group_variable", analysis.group_variable)]
    result: dict[str, Any] = {}
    for stage, names in (("pre_training", analysis.pre_training), ("post_training", analysis.post_training)):
        if names is None:
            continue
        facets = {}
        for facet in analysis.facets:
            column = _column(table, "facet", facet.column)
            facets[column] = _report(
                table, analysis, facet, column, label, label_series, predicted, group, stage, names
            )
        result[f"{stage}_bias_metrics"] = {
            "label": label,
            "label_value_or_threshold": ",".join(str(value) for value in analysis.positive_values),
            "facets": facets,
        }
    return result


def _report(
    table: pd.DataFrame, analysis: BiasAnalysis, facet: Facet, column: str, label: str, label_series: pd.Series,
    predicted: str | None, group: pd.Series | None, stage: str, names: tuple[str, ...],
) -> list[dict[str, Any]]:  # fmt: skip
    positive = list(analysis.positive_values)
    facet_series = _typed(table[column], facet.values)
    _require_some(table, f"facet {column}: value_or_threshold", column, facet_series, facet.values or ())
    used = [one for one in (label, predicted) if one is not None and one != column]
    frame = table.drop(columns=used).assign(**{column: facet_series})
    prediction = None
    if stage == "post_training" and predicted is not None:
        prediction_series = _typed(table[predicted], analysis.positive_values)
        if isinstance(label_series.dtype, pd.CategoricalDtype):
            # One set of categories, so that a class that was never predicted is a zero and not an error.
            both = sorted({*label_series.cat.categories, *prediction_series.cat.categories})
            label_series = label_series.cat.set_categories(both)
            prediction_series = prediction_series.cat.set_categories(both)
        prediction = smclarify.LabelColumn(predicted, prediction_series)
    try:
        return smclarify.bias_report(
            frame,
            smclarify.FacetColumn(column, list(facet.values) if facet.values else None),
            smclarify.LabelColumn(label, label_series, positive),
            smclarify.StageType(stage),
            prediction,
            metrics=list(names),
            group_variable=group,
        )
    except ValueError as error:
        raise JobFailure(f"bias of facet {column!r} ({stage.replace('_', ' ')}): {error}") from None


def _column(table: pd.DataFrame, field: str, name_or_index: str | int) -> str:
    columns = list(table.columns)
    if isinstance(name_or_index, int) and 0 <= name_or_index < len(columns):
        return columns[name_or_index]
    if name_or_index in columns:
        return str(name_or_index)
    raise wrong(field, name_or_index, f"one of the table's columns {columns}")


def _typed(series: pd.Series, values: tuple[Any, ...] | None) -> pd.Series:
    """Categories; numbers where a number is asked for, and a scale where it is a single one that may be a threshold.

    smclarify would guess the kind from how many distinct values a column has, which fails for short tables.
    """
    if not values or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return series.astype("category")
    try:
        numbers = pd.to_numeric(series)
    except ValueError as error:
        raise wrong(f"column {series.name}", list(values), f"text, since the column is not numeric: {error}") from None
    if len(values) == 1 and (values[0] not in set(numbers) or numbers.nunique() > _MOST_NUMERIC_CATEGORIES):
        return numbers.astype(float)
    return numbers.astype("category")


def _require_some(table: pd.DataFrame, field: str, column: str, series: pd.Series, values: tuple[Any, ...]) -> None:
    """A value that never occurs is a spelling mistake more often than a finding."""
    if not isinstance(series.dtype, pd.CategoricalDtype):
        return
    present = list(series.cat.categories)
    missing = [value for value in values if value not in present]
    if missing:
        raise wrong(field, missing, f"values of column {column!r}, which holds {present[:50]}")
