"""docs/comparison.md says what the code does: every input field, every candidate with its weights, every measure."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from contract.comparison_candidates import KNOWN, PRESETS, Candidate
from contract.comparison_input import WEIGHABLE, ComparisonInput
from darkroom.cli import darkroom
from darkroom.commands.comparison import compare

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "comparison.md").read_text(encoding="utf-8")


def line_of(candidate: Candidate) -> str:
    presets = ", ".join(f"`{preset}`" for preset, names in PRESETS.items() if candidate.name in names) or "–"
    match = f"near: {candidate.note}" if candidate.match == "near" else "same"
    return f"| `{candidate.name}` | `{candidate.model}` | {candidate.framework} | {candidate.weights} | {match} | {presets} |"


@pytest.mark.parametrize("name", [field.name for field in fields(ComparisonInput)])
def test_every_input_field_is_documented(name):
    assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("name", KNOWN)
def test_every_candidate_stands_in_the_table_with_its_weights(name):
    assert line_of(KNOWN[name]) in PAGE.splitlines()


@pytest.mark.parametrize("column", WEIGHABLE)
def test_every_column_that_can_be_weighed_is_documented(column):
    assert f"`{column}`" in PAGE


def own_options() -> list[str]:
    """Without those of every command, which docs/cli.md describes."""
    everybodys = {"--json"} | {name for option in darkroom.params for name in option.opts}
    return [name for option in compare.params for name in option.opts if name not in everybodys]


@pytest.mark.parametrize("option", own_options())
def test_every_option_of_the_command_is_documented(option):
    assert f"`{option}" in PAGE
