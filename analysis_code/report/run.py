"""A run as the report sees it: every piece is there or Missing with a reason."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from markupsafe import Markup

from analysis_code.report.evaluation import Evaluation
from analysis_code.report.inputs import Missing
from analysis_code.report.timeline import Step
from analysis_code.report.training import Tuning


@dataclass(frozen=True)
class Run:
    """All pieces; `outcome` is what the state machine knew when it asked for the report."""

    folder: Path
    outcome: dict[str, Any] | Missing
    plan: dict[str, Any] | Missing
    photos: list[dict[str, str]] | Missing
    data_report: dict[str, Any] | Missing
    tuning: Tuning | Missing
    training_job: dict[str, Any] | Missing
    epochs: list[dict[str, Any]] | Missing
    decisions: dict[str, Any] | Missing
    health: dict[str, Any] | Missing
    explanations: dict[str, Any] | Missing
    evaluation: Evaluation | Missing
    bias: dict[str, Any] | Missing
    timeline: list[Step] | Missing
    pictures: dict[str, Markup] | Missing

    def missing(self) -> dict[str, str]:
        """The reason for each piece that is not there."""
        pieces = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: piece.reason for name, piece in pieces.items() if isinstance(piece, Missing)}

    def unreadable(self) -> dict[str, str]:
        """Of those, the pieces that should be there: asked for and not given, or there and not to be read."""
        pieces = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: piece.reason for name, piece in pieces.items() if isinstance(piece, Missing) and piece.failed}

    def noted(self, *path: str) -> Any:
        """What the state machine noted, e.g. noted("training", "job"); None where it did not."""
        value: Any = self.outcome or {}
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    @property
    def hyperparameters(self) -> dict[str, str]:
        """Of the final training: what SageMaker says, else what was noted, else what was planned."""
        asked = (self.training_job or {}).get("HyperParameters") or self.noted("training", "hyperparameters")
        planned = ((self.plan or {}).get("training") or {}).get("hyperparameters")
        return dict(asked or planned or {})

    @property
    def best_hyperparameters(self) -> dict[str, str] | None:
        """Of the best trial."""
        best = self.tuning.best if self.tuning else None
        return best.hyperparameters if best else self.noted("tuning", "hyperparameters") or None
