"""Quality gate: a model below the minimum is reported, never registered. `evaluate` has judged; this step obeys."""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.workflow.platform import Platform
from infra.workflow.step import Step

MESSAGE = (
    "The model was not registered: {} on the test photos is {}, below the minimum {} of quality_gate. The report shows where it "
    "fails; more photos of those classes, more trials or a larger model may help, or lower quality_gate.minimum."
)


class QualityGate(Step):
    """`$.gate` says whether it was met, and if not, why; `met` are the steps of a model that passed."""

    def __init__(self, scope: Construct, platform: Platform, met: sfn.Chain) -> None:
        self._met = met
        super().__init__(scope, platform)

    def states(self) -> sfn.Chain:
        figures = ", ".join(f"$.evaluation.quality_gate.{name}" for name in ("metric", "value", "minimum"))
        met = sfn.Pass(self, "Gate met", result_path="$.gate", parameters={"met": True})
        missed = sfn.Pass(
            self, "Gate not met", result_path="$.gate",
            parameters={"met": False, "message.$": f"States.Format('{MESSAGE}', {figures})"},
        )  # fmt: skip
        passed = sfn.Condition.boolean_equals("$.evaluation.quality_gate.passed", True)
        return sfn.Choice(self, "Quality gate").when(passed, met.next(self._met)).otherwise(missed).afterwards()
