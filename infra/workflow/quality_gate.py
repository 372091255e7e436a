"""Quality gate: a model below the minimum is reported, never registered."""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.execution_input import QUALITY_METRICS


class QualityGate:
    """Choice `Quality gate`, and `Gate not met`, which notes metric, value and minimum in `$.gate`."""

    def __init__(self, scope: Construct) -> None:
        self._scope = scope
        self.choice = sfn.Choice(scope, "Quality gate")
        self.met = sfn.Pass(scope, "Gate met", result_path="$.gate", parameters={"met": True})

    def connect(self, otherwise: sfn.IChainable) -> sfn.Choice:
        """ASL cannot look up a field by a name that is itself a value, so there is one rule per metric."""
        for metric in QUALITY_METRICS:
            asked = sfn.Condition.string_equals("$.plan.quality_gate.metric", metric)
            reached = sfn.Condition.number_greater_than_equals_json_path(
                f"$.evaluation.{metric}", "$.plan.quality_gate.minimum"
            )
            missed = sfn.Pass(
                self._scope,
                f"Gate not met: {metric}",
                result_path="$.gate",
                parameters={
                    "met": False,
                    "message.$": "States.Format('The model was not registered: "
                    + metric
                    + " on the test photos is {}, "
                    "below the minimum {} of quality_gate. The report shows where it fails; more photos of those "
                    "classes, more trials or a larger model may help, or lower quality_gate.minimum.', "
                    f"$.evaluation.{metric}, $.plan.quality_gate.minimum)",
                },
            )
            missed.next(otherwise)
            self.choice.when(sfn.Condition.and_(asked, reached), self.met)
            self.choice.when(asked, missed)
        return self.choice
