"""Writes the table of rules in docs/health.md from the rules themselves: `python -m training_code.health.documentation`.

A definition or default that is remembered instead of generated is wrong sooner or later; a test compares the page with this.
"""

from __future__ import annotations

from pathlib import Path

from contract.health_rules import RULE_NAMES
from training_code.health.chosen import BY_NAME

BEGIN, END = "<!-- rules: written by", "<!-- end of rules -->"


def rules_section() -> str:
    parts = []
    for name in RULE_NAMES:
        rule = BY_NAME[name]
        defaults = ", ".join(f"`{key}` = {value:g}" for key, value in rule.parameters.items())
        parts.append(f"### {name}\n\n{rule.definition}\n\nParameters: {defaults}.\n")
    return "\n".join(parts)


def with_rules(page: str) -> str:
    head, rest = page.split(BEGIN, 1)
    marker, _ = rest.split("\n", 1)
    return f"{head}{BEGIN}{marker}\n\n{rules_section()}\n{END}{page.split(END, 1)[1]}"


if __name__ == "__main__":
    path = Path(__file__).resolve().parents[2] / "docs" / "health.md"
    path.write_text(with_rules(path.read_text(encoding="utf-8")), encoding="utf-8")
