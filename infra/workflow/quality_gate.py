"""Quality gate: a model below the minimum is reported, never registered. `evaluate` has judged; this step obeys."""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

MESSAGE = (
    "The model was not registered: {} on the test photos is {}, below the minimum {} of quality_gate. The report shows where it "
    "fails; more photos of those classes, more trials or a larger model may help, or lower quality_gate.minimum."
)


class QualityGate:
    """Choice `Quality gate`, then `Gate met` or `Gate not met`, which note what was decided in `$.gate`."""

    def __init__(self, scope: Construct) -> None:
        figures = ", ".join(f"$.evaluation.quality_gate.{name}" for name in ("metric", "value", "minimum"))
        self.choice = sfn.Choice(scope, "Quality gate")
        self.met = sfn.Pass(scope, "Gate met", result_path="$.gate", parameters={"met": True})
        self.missed = sfn.Pass(
            scope, "Gate not met", result_path="$.gate",
            parameters={"met": False, "message.$": f"States.Format('{MESSAGE}', {figures})"},
        )  # fmt: skip

    def connect(self, otherwise: sfn.IChainable) -> sfn.Choice:
        passed = sfn.Condition.boolean_equals("$.evaluation.quality_gate.passed", True)
        return self.choice.when(passed, self.met).otherwise(self.missed.next(otherwise))
