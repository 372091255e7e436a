"""What is wrong with a definition, and where: the form of AWS's diagnostics."""

from __future__ import annotations

from dataclasses import dataclass

TRANSITION = "MISSING_TRANSITION_TARGET"


@dataclass(frozen=True)
class Fault:
    """One fault; `location` is the path of the field, such as `/States/First/Next`."""

    message: str
    location: str = ""
    code: str = "SCHEMA_VALIDATION_FAILED"

    def text(self) -> str:
        """As InvalidDefinition names it."""
        where = f" at {self.location}" if self.location and self.code != "INVALID_JSON_DESCRIPTION" else ""
        return f"{self.code}: {self.message}{where}"
