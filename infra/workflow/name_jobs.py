"""Check input, Set defaults, Name jobs: the execution input over the defaults, and the names that everything else is made of.

The state machine merges one level deep; `prepare` resolves what lies deeper and refuses what is not allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_stepfunctions as sfn

from contract.execution_input import defaults
from contract.instances import KINDS, OWN_DISKS, decided, has_own_disks
from contract.names import execution_key
from infra.workflow.step import Step, write_json


class NameJobs(Step):
    """`$.input` complete to the first level and with the instances as decided, `$.instances` complete, and `$.names`."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What the input is merged over."""
        return defaults()

    @property
    def most_minutes(self) -> int | None:
        """How long a search may take here; None where the input knows no `minutes`."""
        return self.platform.settings.max_runtime_minutes.tuning

    def states(self) -> sfn.Chain:
        # A job's arguments are limited to 256 characters each, so the input travels as a file.
        save = write_json(self, "Save input", self.platform, key="input/input.json", body="$.input")
        use = self._use_instances()
        use.next(save)
        named = self._set_defaults().next(self._merge_input()).next(self._name_jobs()).next(self._encryptable(use))
        return sfn.Chain.custom(self._check_input(self._whole_folder(named)), [save], save)

    def _check_input(self, then: sfn.IChainable) -> sfn.Choice:
        """A missing data set, what the merge below could not take, and more minutes than a search has here, fail with a sentence."""
        dataset = sfn.Fail(
            self, "No dataset", error="InvalidExecutionInput",
            cause="dataset: nothing was given, or no S3 URI. Give the photos as s3://bucket/photos.zip or "
            's3://bucket/folder/ in the execution input: {"dataset": "s3://…"}. '
            "`darkroom run --data FOLDER` uploads a folder and does this.",
        )  # fmt: skip
        instances = sfn.Fail(
            self, "Instances not an object", error="InvalidExecutionInput",
            cause='instances: expected an object of instance types by kind of job, such as {"training": "ml.m5.2xlarge"}; '
            f"allowed are {', '.join(KINDS)} and training_count.",
        )  # fmt: skip
        has_dataset = sfn.Condition.and_(
            sfn.Condition.is_present("$.dataset"),
            sfn.Condition.is_string("$.dataset"),
            sfn.Condition.string_matches("$.dataset", "s3://*"),
        )
        scalar = sfn.Condition.or_(
            sfn.Condition.is_string("$.instances"), sfn.Condition.is_numeric("$.instances"),
            sfn.Condition.is_boolean("$.instances"), sfn.Condition.is_null("$.instances"),
        )  # fmt: skip
        check = (
            sfn.Choice(self, "Check input")
            .when(sfn.Condition.not_(has_dataset), dataset)
            .when(sfn.Condition.and_(sfn.Condition.is_present("$.instances"), scalar), instances)
        )
        if self.most_minutes is not None:
            check.when(*self._too_many_minutes(self.most_minutes))
        return check.otherwise(then)

    def _encryptable(self, then: sfn.IChainable) -> sfn.IChainable:
        """With a key of our own each volume is encrypted with it, so a machine must be of the sort that the requests were made for."""
        if not self.platform.kms_key:
            return then
        choice = sfn.Choice(self, "Can the volumes be encrypted?")
        for kind in KINDS:
            brings = has_own_disks(getattr(self.platform.settings.instances, kind))
            own = sfn.Condition.or_(*(sfn.Condition.string_matches(f"$.instances.{kind}", one) for one in OWN_DISKS))
            sort = "with disks of their own (which their hardware encrypts)" if brings else "without disks of their own"
            refused = sfn.Fail(
                self, f"Volume of {kind}", error="InvalidExecutionInput",
                cause=f"instances.{kind}: this deployment encrypts volumes with its own key, which SageMaker refuses for machines "
                f"that bring disks, such as ml.g4dn, ml.g5 and ml.m5d. Choose one {sort}, or deploy with another instances.{kind}.",
            )  # fmt: skip
            choice.when(sfn.Condition.not_(own) if brings else own, refused)
        return choice.otherwise(then)

    def _too_many_minutes(self, most: int) -> tuple[sfn.Condition, sfn.Fail]:
        """The state of the search would time out, and the search with it: only this deployment knows when."""
        more = sfn.Condition.and_(
            sfn.Condition.is_present("$.minutes"),
            sfn.Condition.is_numeric("$.minutes"),
            sfn.Condition.number_greater_than("$.minutes", most),
        )
        cause = (
            f"minutes: more than the {most} that a search may take in this deployment. Ask for fewer, or deploy with a higher "
            "max_runtime_minutes.tuning."
        )
        return more, sfn.Fail(self, "Too many minutes", error="InvalidExecutionInput", cause=cause)

    def _whole_folder(self, then: sfn.IChainable) -> sfn.Choice:
        """`s3://bucket/sets/pets` as `sets/pets/`: an S3 prefix without its slash matches `sets/pets-old/`, too.

        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html
        """
        add = sfn.Pass(
            self, "Name folder",
            parameters={"given.$": "$", "folder": {"dataset.$": "States.Format('{}/', $.dataset)"}},
        )  # fmt: skip
        use = sfn.Pass(
            self, "Use folder", parameters={"merged.$": "States.JsonMerge($.given, $.folder, false)"},
            output_path="$.merged",
        )  # fmt: skip
        whole = (sfn.Condition.string_matches("$.dataset", end) for end in ("*/", "*.zip", "*.ZIP", "*.Zip"))
        return (
            sfn.Choice(self, "Zip or folder").when(sfn.Condition.or_(*whole), then).otherwise(add.next(use).next(then))
        )

    def _set_defaults(self) -> sfn.Pass:
        """Beside what was given: the defaults, and the deployment's instances."""
        values = {**self.defaults, "instances": {}}
        instances = decided(self.platform.settings.instances)
        return sfn.Pass(
            self, "Set defaults", parameters={"defaults": values, "instances": instances, "given.$": "$"}
        )  # fmt: skip

    def _merge_input(self) -> sfn.Pass:
        return sfn.Pass(
            self,
            "Merge input",
            parameters={"instances.$": "$.instances", "input.$": "States.JsonMerge($.defaults, $.given, false)"},
        )

    def _name_jobs(self) -> sfn.Pass:
        bucket = self.platform.artifacts.bucket_name
        return sfn.Pass(
            self,
            "Name jobs",
            parameters={
                "input.$": "$.input",
                "instances.$": "States.JsonMerge($.instances, $.input.instances, false)",
                "names": {
                    "id.$": "States.ArrayGetItem(States.StringSplit(States.UUID(), '-'), 0)",
                    "execution.$": "$$.Execution.Name",
                    "arn.$": "$$.Execution.Id",
                    "key.$": f"States.Format('{execution_key('{}')}', $$.Execution.Name)",
                    "uri.$": f"States.Format('s3://{bucket}/{execution_key('{}')}', $$.Execution.Name)",
                },
            },
        )

    def _use_instances(self) -> sfn.Pass:
        """The input says on what the jobs run, not only what was asked for: who reads it later prices and starts the same machines."""
        return sfn.Pass(self, "Use instances", input_path="$.instances", result_path="$.input.instances")
