"""What an instance hour costs, from a dated table that the user can override.

The table holds on-demand list prices of SageMaker AI in us-east-1 as published on
https://aws.amazon.com/sagemaker/ai/pricing/ ; prices differ by region and change: the page shows the date beside every
dollar, and an unknown instance type has no price rather than a guess.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import contract
from contract.failure import JobFailure

DEFAULT_TABLE = Path(contract.__file__).with_name("prices.json")


@dataclass(frozen=True)
class Prices:
    """Dollars per instance hour, by instance type."""

    as_of: str
    region: str
    source: str
    per_hour: Mapping[str, float]

    @classmethod
    def read(cls, path: Path = DEFAULT_TABLE) -> Prices:
        return cls.from_table(json.loads(path.read_text()), str(path))

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str) -> Prices:
        """From a user's own table; without its date and region a price says nothing, so both are needed."""
        missing = {"as_of", "region", "source", "per_hour"} - set(table)
        if missing:
            raise JobFailure(
                f"{where} lacks {sorted(missing)}. A price table needs as_of, region, source and per_hour."
            )
        wrong = {k: v for k, v in table["per_hour"].items() if not isinstance(v, int | float) or v <= 0}
        if wrong:
            raise JobFailure(f"{where} has prices that are not positive numbers: {wrong}. Give dollars per hour.")
        return cls(table["as_of"], table["region"], table["source"], table["per_hour"])

    def training_dollars(self, seconds: float | None, instance_type: str) -> float | None:
        """Dollars for one training of that many billable seconds; None where time or price is unknown."""
        price = self.per_hour.get(instance_type)
        return None if price is None or seconds is None else seconds / 3600 * price

    def dollars_per_million(self, seconds_per_photo: float | None, instance_type: str) -> float | None:
        """Dollars for a million predictions on an instance kept busy at the measured rate."""
        price = self.per_hour.get(instance_type)
        return None if price is None or seconds_per_photo is None else seconds_per_photo * 1e6 / 3600 * price
