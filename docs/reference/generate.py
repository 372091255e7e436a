"""Writes the pages and JSON schemas of this folder from the code: `make docs`. A test holds them to it.

What is typed by hand a second time is wrong sooner or later. Refuses nothing: what the code declares is what is written.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.execution_input import GIVEN_ELSEWHERE, ExecutionInput
from contract.hyperparameters import DEFAULTS_OF_EXACT, OF_EXACT, OF_STEPS, RULES, Hyperparameters, as_string
from contract.rule import Rule, rules_of
from darkroom.summary_fields import FIELDS, SCHEMA
from infra.settings import Settings

FOLDER = Path(__file__).resolve().parent
LONGEST_CELL = 200
MADE = "Written by `make docs` from `{source}`; do not edit."
DIALECT = "https://json-schema.org/draft/2020-12/schema"

Row = tuple[str, str, str, str]


def sections(kind: type) -> dict[str, type]:
    """The fields of a dataclass that are dataclasses themselves."""
    hints = typing.get_type_hints(kind)
    return {
        item.name: hints[item.name] for item in dataclasses.fields(kind) if dataclasses.is_dataclass(hints[item.name])
    }


def rows(kind: type, default: Any, prefix: str = "") -> Iterator[tuple[str, Any, Rule]]:
    """Every field's path, default and rule, those of sections below their own name."""
    for item in dataclasses.fields(kind):
        value = getattr(default, item.name, None)
        if item.name in sections(kind):
            yield from rows(sections(kind)[item.name], value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", value, rules_of(kind)[item.name]


def shown(value: Any) -> str:
    """A default as one would write it."""
    if value is None or value == () or value == [] or value == {} or value == "":
        return "none"
    return f"`{as_string(value)}`"


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table whose cells can be read at a glance; longer ones stand below it."""
    written, below = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"], []
    for line in lines:
        cells = [cell.replace("|", "\\|") for cell in line]
        for place, cell in enumerate(cells):
            if len(cell) > LONGEST_CELL:
                below.append(f"- {cells[0]}, {heads[place]}: {_as_list(cell)}")
                cells[place] = "below"
        written.append(f"| {' | '.join(cells)} |")
    return "\n".join(written) + ("\n\n" + "\n".join(below) if below else "") + "\n"


def _as_list(cell: str) -> str:
    """Names in a list, so that none is taken for a sentence."""
    head, colon, tail = cell.partition(": ")
    names = (tail if colon else head).split(", ")
    return (f"{head}: " if colon else "") + ", ".join(f"`{name}`" for name in names)


def settings_page() -> str:
    lines = [
        (f"`{path}`", shown(value), rule.allowed, rule.meaning) for path, value, rule in rows(Settings, Settings())
    ]
    return f"""# Settings of a deployment

{MADE.format(source="infra/settings.py")} For editors: [cdk.schema.json](cdk.schema.json).

In `cdk.json` below `context.darkroom`, or on the command line: `cdk deploy --all -c endpoints.gpu.enabled=true`. Lists are
separated by commas there. The command line wins. What is not a setting is refused by name. More on some of them:
[infrastructure.md](../infrastructure.md#settings).

{table(("setting", "default", "allowed", "what it does"), lines)}"""


def hyperparameters_page() -> str:
    default = Hyperparameters()
    lines = [
        (f"`{name}`", shown(getattr(default, name)), rule.allowed, _read_by(name), rule.meaning)
        for name, rule in RULES.items()
    ]
    other = ", ".join(f"`{name}` `{as_string(value)}`" for name, value in DEFAULTS_OF_EXACT.items())
    return f"""# Hyperparameters of a training

{MADE.format(source="contract/hyperparameters.py")} What they do: [training.md](../training.md).

SageMaker passes every value as text. In the execution input they stand below `hyperparameters`, those of its own fields excepted
({", ".join(f"`{name}`" for name in GIVEN_ELSEWHERE)}).

{table(("name", "default", "allowed", "read by", "meaning"), lines)}
A head that is solved has other defaults: {other}.
"""


def _read_by(name: str) -> str:
    return "steps" if name in OF_STEPS else "a solved head" if name in OF_EXACT else "both"


def execution_input_page() -> str:
    example = ExecutionInput.from_json({"dataset": "s3://bucket/photos.zip"})
    of_the_data = {"name": None}
    lines = [
        (
            f"`{path}`",
            "must be given" if path == "dataset" else shown(of_the_data.get(path, value)),
            rule.allowed,
            rule.meaning,
        )
        for path, value, rule in rows(ExecutionInput, example)
    ]
    return f"""# Execution input

{MADE.format(source="contract/execution_input.py")} For editors: [execution-input.schema.json](execution-input.schema.json);
a `"$schema"` in the file that `--input` names is for the editor alone.

Only `dataset` must be given, and `--data` of `darkroom run` gives it. Unknown fields and wrong values are refused before anything is
uploaded. `instances` are those of the deployment unless an execution says otherwise.

{table(("field", "default", "allowed", "meaning"), lines)}"""


def summary_page() -> str:
    lines = [(f"`{name}`", item.meaning) for name, item in FIELDS.items()]
    return f"""# summary.json

{MADE.format(source="darkroom/summary_fields.py")} Its schema: [summary.schema.json](summary.schema.json).

`darkroom run --json` prints it; `runs/<execution>/summary.json` holds it, whether the execution succeeded or not. Every field is
there always.

{table(("field", "meaning"), lines)}"""


def schema_of(kind: type, default: Any) -> dict[str, Any]:
    """Of a dataclass and its sections; a default is a hint for editors."""
    properties: dict[str, Any] = {}
    for item in dataclasses.fields(kind):
        value = getattr(default, item.name, None)
        if item.name in sections(kind):
            properties[item.name] = schema_of(sections(kind)[item.name], value)
            continue
        rule = rules_of(kind)[item.name]
        hint = {} if value is None or item.name in ("dataset", "name") else {"default": _plain(value)}
        properties[item.name] = {"description": rule.meaning, **rule.json_schema, **hint}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value


def execution_input_schema() -> dict[str, Any]:
    schema = schema_of(ExecutionInput, ExecutionInput.from_json({"dataset": "s3://bucket/photos.zip"}))
    schema["properties"] = {"$schema": {"type": "string"}, **schema["properties"]}
    return {"$schema": DIALECT, "title": "Execution input of Darkroom", **schema}


def cdk_schema() -> dict[str, Any]:
    ours = {"darkroom": schema_of(Settings, Settings())}
    context = {"type": "object", "properties": ours}
    return {"$schema": DIALECT, "title": "cdk.json of Darkroom", "type": "object", "properties": {"context": context}}


def files() -> dict[str, str]:
    """Every generated file's content, by its name."""
    schemas = {
        "execution-input.schema.json": execution_input_schema(),
        "cdk.schema.json": cdk_schema(),
        "summary.schema.json": SCHEMA,
    }
    return {
        "settings.md": settings_page(),
        "hyperparameters.md": hyperparameters_page(),
        "execution-input.md": execution_input_page(),
        "summary.md": summary_page(),
        **{name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas.items()},
    }


if __name__ == "__main__":
    for name, content in files().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
