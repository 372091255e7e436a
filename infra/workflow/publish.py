"""Publish: put an approved model where endpoints take it from. The Endpoints stack follows at its next update.

The multi-model endpoint finds a model under a key of its own for each execution, at once. No key is ever written twice: AWS warns that
an endpoint may go on answering with the model that was overwritten. A name without a version is for whoever wants one fixed name
for one model; it is given to the first model that is published under it, and stays with it. Of two first publications at once, the
one that made the parameter of the name is the first; whoever finds the key missing copies the first one's model.
https://docs.aws.amazon.com/sagemaker/latest/dg/add-models-to-endpoint.html
"""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.names import (
    APPROVED_DATA,
    APPROVED_PACKAGE,
    fixed_target_model,
    multi_model_key,
    registered_key,
    target_model,
)
from infra.workflow import step
from infra.workflow.platform import Platform
from infra.workflow.register_model import model_data
from infra.workflow.wiring import Wiring

TARGET = f"States.Format('{target_model('{}', '{}')}', $.plan.name, $.names.execution)"
KEY = f"States.Format('{multi_model_key(target_model('{}', '{}'))}', $.plan.name, $.names.execution)"
FIXED_KEY = f"States.Format('{multi_model_key(fixed_target_model('{}'))}', $.plan.name)"


class Publish:
    """States `Publish`, `Note target model`, perhaps those of the fixed name, `Note model data`, `Note approved model`."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        self._scope, self._platform = scope, platform
        self.copy = self._copy("Publish", KEY, of="$.names.execution")
        names = platform.settings.names
        self.use = sfn.Pass(scope, "Use target model", result_path="$.published", parameters={"target_model.$": TARGET})
        self.note_target = note(
            scope, "Note target model", f"States.Format('{names.target_model_parameter('{}')}', $.plan.name)", TARGET,
            said="States.Format('Data set {}, published by execution {}', $.plan.dataset.fingerprint, $.names.execution)",
        )  # fmt: skip
        self.look = step.call(
            scope, "Look for fixed name", action="aws-sdk:s3:listObjectsV2", result="$.fixed",
            parameters={"Bucket": platform.models_bucket, "Prefix.$": FIXED_KEY, "MaxKeys": 1},
            selector={"count.$": "$.KeyCount"},
        )  # fmt: skip
        fixed = f"States.Format('{names.fixed_model_parameter('{}')}', $.plan.name)"
        self.claim = note(scope, "Claim fixed name", fixed, "$.names.execution", overwrite=False)
        self.read_owner = step.call(
            scope, "Read owner of fixed name", action="aws-sdk:ssm:getParameter", result="$.fixed",
            parameters={"Name.$": fixed}, selector={"owner.$": "$.Parameter.Value"},
        )  # fmt: skip
        self.copy_fixed = self._copy("Publish fixed name", FIXED_KEY, of="$.fixed.owner")
        self.note_data = note(scope, "Note model data", names.parameter(APPROVED_DATA), model_data(platform))
        # Last, because it is what makes endpoints possible.
        self.note_package = note(
            scope, "Note approved model", names.parameter(APPROVED_PACKAGE), "$.registered.arn"
        )  # fmt: skip

    def _copy(self, name: str, key: str, of: str) -> sfn.CustomState:
        """Copy the registered model of an execution."""
        bucket = self._platform.models_bucket
        return step.call(
            self._scope, name, action="aws-sdk:s3:copyObject", result=None,
            parameters={
                "Bucket": bucket, "Key.$": key,
                "CopySource.$": f"States.Format('{bucket}/{registered_key('{}')}', {of})",
            },
        )  # fmt: skip

    def connect(self, wiring: Wiring, then: sfn.IChainable) -> list[sfn.IChainable]:
        """The states in their order; what comes after them is `then`."""
        last = wiring.chain(self.note_data, self.note_package, then)
        owner = wiring.chain(self.read_owner, self.copy_fixed, last)
        # Whatever is wrong with the claim, reading it tells: it is there, or that state fails.
        taken = ["Ssm.ParameterAlreadyExistsException", "Ssm.SsmException"]
        self.claim.add_catch(owner, errors=taken, result_path=sfn.JsonPath.DISCARD)
        free = sfn.Choice(self._scope, "Is the fixed name free?").when(
            sfn.Condition.number_equals("$.fixed.count", 0), wiring.chain(self.claim, owner)
        )
        return [self.copy, self.use, self.note_target, self.look, free.otherwise(last)]


def note(
    scope: Construct, name: str, parameter: str, value: str, said: str | None = None, overwrite: bool = True
) -> sfn.CustomState:
    """PutParameter; the first one makes it. `parameter` may be an intrinsic."""
    key = "Name.$" if parameter.startswith("States.") else "Name"
    description = {"Description.$": said} if said else {}
    return step.call(
        scope, name, action="aws-sdk:ssm:putParameter", result=None,
        parameters={key: parameter, "Value.$": value, "Type": "String", "Overwrite": overwrite, **description},
    )  # fmt: skip
