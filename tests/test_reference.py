"""The reference is written from the code, and the schemas let pass what the checks let pass, and nothing else."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contract.execution_input import ExecutionInput, defaults
from contract.hyperparameters import RULES
from contract.rule import Rule
from contract.validation import InvalidField
from darkroom.summary_fields import FIELDS, SCHEMA
from infra.settings import Settings, read

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
_spec = importlib.util.spec_from_file_location("generate", FOLDER / "generate.py")
assert _spec and _spec.loader
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)

EXAMPLE = ExecutionInput.from_json({"dataset": "s3://bucket/x.zip"})
FIELD_RULES: dict[str, Rule] = {
    **{f"settings {path}": rule for path, _, rule in generate.rows(Settings, Settings())},
    **{f"input {path}": rule for path, _, rule in generate.rows(ExecutionInput, EXAMPLE)},
    **{f"hyperparameter {name}": rule for name, rule in RULES.items()},
}
VALUES: list[Any] = [
    -1, 0, 1, 2, 3, 8, 100, 101, 750, 751, 2**31, 10**9, 0.0, 0.02, 0.5, 0.995, 1.5, 1e-9, True, False, "head", "Off", "Grid", "kms",
    "auto", "s3://bucket/photos/", "S3://x", "ml.m5.large", "m5.large", "bees", "a--b", "", [], ["a"], [""], [1], {}, None,
]  # fmt: skip


@pytest.mark.parametrize("name", sorted(generate.files()))
def test_the_page_or_schema_is_what_the_code_says(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == generate.files()[name], "run `make docs`"


def test_the_folder_holds_nothing_else():
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == {*generate.files(), "generate.py"}


@pytest.mark.parametrize("name", [name for name in sorted(generate.files()) if name.endswith(".json")])
def test_a_schema_is_a_schema(name):
    Draft202012Validator.check_schema(json.loads(generate.files()[name]))


@pytest.mark.parametrize("name", [name for name, rule in FIELD_RULES.items() if rule.kind != "other"])
def test_an_editor_lets_a_value_pass_just_where_the_check_does(name):
    """Texts for numbers and numbers for texts apart, which the check reads and an editor need not offer."""
    rule = FIELD_RULES[name]
    schema = Draft202012Validator(rule.json_schema)
    for value in VALUES:
        if schema.is_valid(value):
            assert rule.check(name, value) == value
        elif _of_its_type(rule, value):
            with pytest.raises(InvalidField):
                rule.check(name, value)


def _of_its_type(rule: Rule, value: Any) -> bool:
    kinds = {"number": (int, float), "integer": (int,), "boolean": (bool,), "texts": (list,), "choice": (str,)}
    return isinstance(value, kinds.get(rule.kind, (str,))) and (rule.kind == "boolean" or not isinstance(value, bool))


def test_the_defaults_of_an_execution_pass_its_schema_and_a_wrong_name_does_not():
    schema = Draft202012Validator(generate.execution_input_schema())
    schema.validate({"dataset": "s3://bucket/x.zip", "$schema": "execution-input.schema.json", **defaults()})
    for wrong in ({"tunning": {}}, {"tuning": {"max_job": 1}}, {"hyperparameters": {"epoch": 1}},
                  {"hyperparameters": {"model": "resnet18"}}, {"tuning": {"ranges": {"epochs": 3}}},
                  {"tuning": {"ranges": {"seed": [1, 2]}}}, {"splits": {"holdout": "tests"}}, {"layout": "klass"}):  # fmt: skip
        assert not schema.is_valid(wrong)
        with pytest.raises(InvalidField):
            ExecutionInput.from_json({"dataset": "s3://bucket/x.zip", **wrong})


def test_what_cdk_json_says_passes_its_schema_and_a_wrong_name_does_not():
    schema = Draft202012Validator(generate.cdk_schema())
    written = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))
    schema.validate(written)
    read(written["context"])
    assert not schema.is_valid({"context": {"darkroom": {"enviroment": "prod"}}})
    assert not schema.is_valid({"context": {"darkroom": {"logs": {"retention_days": 31}}}})


def test_a_summary_has_every_field_and_no_other():
    schema = Draft202012Validator(SCHEMA)
    failed = dict.fromkeys(FIELDS) | {
        "status": "FAILED", "execution_arn": "arn", "seconds": 1.5, "orchestration_seconds": 0.2, "warnings": [],
        "steps": [{"name": "Prepare dataset", "status": "Failed", "seconds": 1.0}],
        "error": {"name": "States.TaskFailed", "reason": "no photo can be read", "log": "", "fix": "look"},
    }  # fmt: skip
    schema.validate(failed)
    assert not schema.is_valid({name: value for name, value in failed.items() if name != "test"})
    assert not schema.is_valid(failed | {"accuracy": 0.9}) and not schema.is_valid(failed | {"test": {"accuracy": 0.9}})
