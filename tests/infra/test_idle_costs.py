"""What a deployment costs that does nothing, from its templates; the page's table is held to it."""

from __future__ import annotations

import pytest

from darkroom import costs
from tests.infra.conftest import ROOT

PAGE = ROOT / "docs" / "aws.md"


def row(kind: str, count: int, dollars: float, by_use: str) -> str:
    return f"| `{kind}` | {count} | {dollars:.2f} | {by_use} |"


@pytest.fixture(scope="module")
def encrypted(synthesize):
    return synthesize(encryption="kms")


def test_nothing_stands_by_the_month_without_a_key_of_your_own_and_one_dollar_with_it(default, encrypted):
    assert sum(dollars for _, dollars, _ in costs.of_idle(default.templates).values()) == 0
    assert sum(dollars for _, dollars, _ in costs.of_idle(encrypted.templates).values()) == 1.0


def test_the_table_of_the_page_is_what_the_templates_hold(encrypted):
    rows = [row(kind, *said) for kind, said in sorted(costs.of_idle(encrypted.templates).items())]
    page = PAGE.read_text()
    shown = [line for line in page.splitlines() if line.startswith("| `AWS::")]
    assert shown == rows, "\n".join(rows)


def test_a_kind_of_resource_that_nobody_has_priced_is_not_taken_for_free():
    with pytest.raises(KeyError, match="NatGateway"):
        costs.of_idle({"Network": {"Resources": {"Nat": {"Type": "AWS::EC2::NatGateway"}}}})
