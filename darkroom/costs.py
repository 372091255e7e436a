"""What endpoints cost for as long as they stand, read from templates, so that it is said before they are made.

Prices are those of contract/prices.json, a dated list for one region; an instance type without a price is named, not guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import contract

HOURS_A_MONTH = 730
ENDPOINT, CONFIGURATION = "AWS::SageMaker::Endpoint", "AWS::SageMaker::EndpointConfig"
TABLE = Path(contract.__file__).with_name("prices.json")


@dataclass(frozen=True)
class Standing:
    """Machines by type, all of them together."""

    machines: Mapping[str, int]

    def __str__(self) -> str:
        table = json.loads(TABLE.read_text(encoding="utf-8"))
        what = " + ".join(f"{count} × {kind}" for kind, count in sorted(self.machines.items()))
        unknown = sorted(set(self.machines) - set(table["per_hour"]))
        hour = sum(table["per_hour"].get(kind, 0) * count for kind, count in self.machines.items())
        listed = f"list prices of {table['region']}, {table['as_of']}"
        if len(unknown) == len(self.machines):
            return f"{what}, of unknown price"
        besides = f", and what {', '.join(unknown)} costs" if unknown else ""
        return f"{what}: ${hour:.2f} an hour, about ${hour * HOURS_A_MONTH:.0f} a month ({listed}){besides}"


def of_idle(templates: Mapping[str, Any]) -> dict[str, tuple[int, float, str]]:
    """What a deployment without endpoints has standing: number, dollars a month for all of them, and what else it costs by use.

    Raises KeyError for a type of resource that the table does not know: it might cost by the hour.
    """
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    standing, free = table["standing_per_month"], table["free_while_idle"]
    lines: dict[str, tuple[int, float, str]] = {}
    for template in templates.values():
        for resource in template.get("Resources", {}).values():
            kind = resource["Type"]
            if kind == ENDPOINT:
                continue
            each, by_use = (standing[kind], "requests") if kind in standing else (0.0, free[kind])
            if "Condition" in resource:  # an endpoint's, there only while somebody has asked for it
                continue
            count = lines.get(kind, (0, 0.0, ""))[0] + 1
            lines[kind] = (count, each * count, by_use)
    return lines


def of_endpoints(template: Mapping[str, Any]) -> Standing:
    """The machines of all endpoint configurations of a template."""
    machines: dict[str, int] = {}
    for resource in template.get("Resources", {}).values():
        if resource["Type"] == CONFIGURATION:
            for variant in resource["Properties"]["ProductionVariants"]:
                kind = variant["InstanceType"]
                machines[kind] = machines.get(kind, 0) + int(variant["InitialInstanceCount"])
    return Standing(machines)
