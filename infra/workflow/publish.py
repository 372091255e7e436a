"""Publish: put an approved model where endpoints take it from. The Endpoints stack follows at its next update.

The multi-model endpoint finds a model under a key of its own for each execution, at once. No key is ever written twice: AWS warns that
an endpoint may go on answering with the model that was overwritten. A name without a version is for whoever wants one fixed name
for one model; it is given to the first model that is published under it, and stays with it. Of two first publications at once, the
one that made the parameter of the name is the first; whoever finds the key missing copies the first one's model.
https://docs.aws.amazon.com/sagemaker/latest/dg/add-models-to-endpoint.html
"""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks

from contract.names import (
    APPROVED_DATA,
    APPROVED_PACKAGE,
    FIXED_MODELS,
    MULTI_MODEL,
    REGISTERED,
    TARGET_MODELS,
    fixed_target_model,
    multi_model_key,
    registered_key,
    target_model,
)
from infra import grants
from infra.workflow.permissions import lists
from infra.workflow.platform import Platform
from infra.workflow.register_model import model_data
from infra.workflow.step import Step, call, count_objects

TARGET = f"States.Format('{target_model('{}', '{}')}', $.plan.name, $.names.execution)"
KEY = f"States.Format('{multi_model_key(target_model('{}', '{}'))}', $.plan.name, $.names.execution)"
FIXED_KEY = f"States.Format('{multi_model_key(fixed_target_model('{}'))}', $.plan.name)"


class Publish(Step):
    """`$.published.target_model` is what a caller of the multi-model endpoint asks for."""

    @classmethod
    def rights(cls, platform: Platform) -> list[iam.PolicyStatement]:
        return [lists(platform.models, f"{MULTI_MODEL}*")]

    def states(self) -> sfn.Chain:
        names = self.platform.settings.names
        use = sfn.Pass(self, "Use target model", result_path="$.published", parameters={"target_model.$": TARGET})
        note_target = self._note(
            "Note target model", f"States.Format('{names.target_model_parameter('{}')}', $.plan.name)", TARGET,
            f"{TARGET_MODELS}*",
            said="States.Format('Data set {}, published by execution {}', $.plan.dataset.fingerprint, $.names.execution)",
        )  # fmt: skip
        note_data = self._note(
            "Note model data", names.parameter(APPROVED_DATA), model_data(self.platform), APPROVED_DATA
        )
        look = count_objects(
            self, "Look for fixed name", bucket=self.platform.models.bucket_name, prefix=FIXED_KEY, result="$.fixed"
        )
        # Last, because it is what makes endpoints possible.
        note_package = self._note(
            "Note approved model", names.parameter(APPROVED_PACKAGE), "$.registered.arn", APPROVED_PACKAGE
        )
        last = sfn.Chain.start(note_data).next(note_package)
        claim, owner = self._claim_fixed_name()
        owner.next(self._copy("Publish fixed name", FIXED_KEY, of="$.fixed.owner")).next(last)
        free = sfn.Choice(self, "Is the fixed name free?").when(sfn.Condition.number_equals("$.fixed.count", 0), claim)
        publish = self._copy("Publish", KEY, of="$.names.execution")
        publish.next(use).next(note_target).next(look).next(free.otherwise(last))
        return sfn.Chain.custom(publish, [note_package], note_package)

    def _claim_fixed_name(self) -> tuple[tasks.CallAwsService, tasks.CallAwsService]:
        """The first that makes the parameter of the name owns it; whose it is, is read in either case."""
        fixed = f"States.Format('{self.platform.settings.names.fixed_model_parameter('{}')}', $.plan.name)"
        written = f"{FIXED_MODELS}*"
        claim = self._note("Claim fixed name", fixed, "$.names.execution", written, overwrite=False)
        owner = call(
            self, "Read owner of fixed name", action="ssm:getParameter", result="$.fixed",
            parameters={"Name.$": fixed}, selector={"owner.$": "$.Parameter.Value"},
            allow=[("ssm:GetParameter", [self._parameter(written)])],
        )  # fmt: skip
        # Whatever is wrong with the claim, reading it tells: it is there, or that state fails.
        taken = ["Ssm.ParameterAlreadyExistsException", "Ssm.SsmException"]
        claim.add_catch(owner, errors=taken, result_path=sfn.JsonPath.DISCARD)
        claim.next(owner)
        return claim, owner

    def _parameter(self, name: str) -> str:
        return grants.arn("ssm", f"parameter{self.platform.settings.parameter(name)}")

    def _copy(self, name: str, key: str, of: str) -> tasks.CallAwsService:
        models = self.platform.models
        return call(
            self, name, action="s3:copyObject",
            parameters={
                "Bucket": models.bucket_name, "Key.$": key,
                "CopySource.$": f"States.Format('{models.bucket_name}/{registered_key('{}')}', {of})",
            },
            allow=[
                ("s3:PutObject", [models.arn_for_objects(f"{MULTI_MODEL}*")]),
                ("s3:GetObject", [models.arn_for_objects(f"{REGISTERED}*")]),
            ],
        )  # fmt: skip

    def _note(
        self, name: str, parameter: str, value: str, written: str, said: str | None = None, overwrite: bool = True
    ) -> tasks.CallAwsService:
        """PutParameter; the first one makes it. `parameter` may be an intrinsic, `written` is what it may name."""
        key = "Name.$" if parameter.startswith("States.") else "Name"
        description = {"Description.$": said} if said else {}
        return call(
            self, name, action="ssm:putParameter", allow=[("ssm:PutParameter", [self._parameter(written)])],
            parameters={key: parameter, "Value.$": value, "Type": "String", "Overwrite": overwrite, **description},
        )  # fmt: skip
