"""The fields of summary.json, their types and what they mean: what a program that reads the file may rely on.

docs/reference/summary.md and its JSON schema are made from it, and a test holds summaries of real runs to the schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
SECONDS: Schema = {"type": "number", "minimum": 0}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "required": [*properties], "properties": properties}


def _by_name(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


@dataclass(frozen=True)
class Field:
    """One field of summary.json."""

    meaning: str
    schema: Schema


FIELDS: dict[str, Field] = {
    "status": Field("of the execution", {"enum": ["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]}),
    "execution_arn": Field("its ARN", TEXT),
    "seconds": Field("from the execution's start to its end", SECONDS),
    "orchestration_seconds": Field(
        "of these, the seconds in which no job ran. A job runs from the scheduling of its .sync task to the task's end "
        "(GetExecutionHistory)",
        NUMBER,
    ),
    "steps": Field(
        "every Task state in its order: name, status, seconds", _list(_object(name=TEXT, status=TEXT, seconds=SECONDS))
    ),
    "tuning": Field(
        "the search; null without one",
        _or_null(_object(trials=_or_null(COUNT), best_hyperparameters=_by_name(TEXT), best_objective=_or_null(NUMBER))),
    ),
    "test": Field(
        "what the model reached on the test photos; null where the execution did not get so far",
        _or_null(_object(accuracy=SHARE, balanced_accuracy=SHARE, n=COUNT)),
    ),
    "warnings": Field(
        "what prepare warns of, as photos of few clips whose test says less than it seems to; also in the table at the end",
        _list(TEXT),
    ),
    "bias": Field(
        "metrics by facet and group; null where not measured", _or_null(_by_name(_by_name(_by_name(_or_null(NUMBER)))))
    ),
    "endpoint": Field(
        "null without one. predictions: file is the photo's path in the data set, copy where it was downloaded to",
        _or_null(
            _object(name=TEXT, predictions=_list(_object(label=TEXT, probability=SHARE, file=TEXT, copy=TEXT)))
        ),
    ),
    "target_model": Field("what to ask the multi-model endpoint for; null where nothing was published", _or_null(TEXT)),
    "model_package_arn": Field("null where no model was registered", _or_null(TEXT)),
    "report": Field("path of the report's index.html; null where none was written", _or_null(TEXT)),
    "error": Field(
        "null, or what failed: name, reason, log and fix", _or_null(_object(name=TEXT, reason=TEXT, log=TEXT, fix=TEXT))
    ),
}  # fmt: skip

SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "summary.json of Darkroom",
    **_object(**{name: {"description": item.meaning, **item.schema} for name, item in FIELDS.items()}),
}
