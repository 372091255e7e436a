"""The order of the steps. Which file does what is in the steps' own modules; this one only connects them."""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.workflow import name_jobs
from infra.workflow.batch_transform import BatchTransform
from infra.workflow.check_training_health import CheckTrainingHealth
from infra.workflow.create_model import CreateModel
from infra.workflow.evaluate_predictions import EvaluatePredictions
from infra.workflow.explain_with_clarify import ExplainWithClarify
from infra.workflow.measure_bias import MeasureBias
from infra.workflow.platform import Platform
from infra.workflow.prepare_dataset import PrepareDataset
from infra.workflow.publish import Publish
from infra.workflow.quality_gate import QualityGate
from infra.workflow.register_model import RegisterModel
from infra.workflow.train_best_model import TrainBestModel
from infra.workflow.tune_hyperparameters import SkipTuning, TuneHyperparameters, TuneInOneJob
from infra.workflow.wiring import Wiring
from infra.workflow.write_report import WriteReport


class Pipeline:
    """All states of the pipeline's state machine below `scope`; `start` is the first."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        self._scope = scope
        self._wiring = Wiring(scope)
        self._chain = self._wiring.chain
        self.prepare = PrepareDataset(scope, platform)
        self.tune = TuneHyperparameters(scope, platform)
        self.tune_in_one_job = TuneInOneJob(scope, platform)
        self.skip_tuning = SkipTuning(scope)
        self.train = TrainBestModel(scope, platform)
        self.health = CheckTrainingHealth(scope, platform)
        self.model = CreateModel(scope, platform)
        self.explain = ExplainWithClarify(scope, platform)
        self.transform = BatchTransform(scope, platform)
        self.evaluate = EvaluatePredictions(scope, platform)
        self.bias = MeasureBias(scope, platform)
        self.gate = QualityGate(scope)
        self.register = RegisterModel(scope, platform)
        self.publish = Publish(scope, platform)
        self.report = WriteReport(scope, platform)
        self.start = self._connect(platform)

    def _connect(self, platform: Platform) -> sfn.IChainable:
        """Last state first, because a state must exist before another leads to it."""
        scope = self._scope
        report = self._chain(self.report.save_outcome, self.report.job, self._end())
        publication = self._publication(platform, report)
        self.gate.met.next(publication)
        gate = self.gate.connect(otherwise=report)
        bias = self._either(
            "Is bias wanted?", sfn.Condition.boolean_equals("$.plan.bias.enabled", True),
            self._chain(self.bias.job, gate), self._chain(self.bias.skipped, gate),
        )  # fmt: skip
        judged = self._chain(self.transform.job, self.evaluate.job, self.evaluate.read, self.evaluate.use, bias)
        explain = self._either(
            "Are explanations wanted?", sfn.Condition.boolean_equals("$.plan.explain.enabled", True),
            self._chain(self.explain.job, judged), self._chain(self.explain.skipped, judged),
        )  # fmt: skip
        health = self.health.connect(self._wiring, self._chain(self.model.call, explain))
        tune = self._tuning(self._chain(self.train.job, health), health)
        prepare = self._chain(
            name_jobs.set_defaults(scope, platform), name_jobs.merge_input(scope), name_jobs.name_jobs(scope, platform),
            name_jobs.use_instances(scope), name_jobs.save_input(scope, platform), self.prepare.job,
            self.prepare.read_plan, self.prepare.use_plan, tune,
        )  # fmt: skip
        return name_jobs.check_input(scope, prepare, platform.settings.max_runtime_minutes.tuning)

    def _tuning(self, train: sfn.IChainable, trained: sfn.IChainable) -> sfn.Choice:
        one_job = self.tune_in_one_job
        return (
            sfn.Choice(self._scope, "Choose tuning")
            .when(
                sfn.Condition.boolean_equals("$.plan.tuning.enabled", False), self._chain(self.skip_tuning.state, train)
            )
            .when(
                sfn.Condition.string_equals("$.plan.tuning.mode", "single_job"),
                self._chain(one_job.job, one_job.read_best, one_job.use_best, trained),
            )
            .otherwise(self._chain(self.tune.job, train))
        )

    def _publication(self, platform: Platform, report: sfn.IChainable) -> sfn.IChainable:
        """A version that waits for a person's approval is not published."""
        if platform.settings.approval == "manual":
            return self._chain(*self.register.states, report)
        publish = self.publish.connect(self._wiring, then=report)
        return self._chain(*self.register.states, *publish)

    def _end(self) -> sfn.Choice:
        """A report is written in either case; an execution whose model missed the gate has failed all the same."""
        missed = sfn.Fail(self._scope, "Quality gate not met", error="QualityGateNotMet", cause_path="$.gate.message")
        done = sfn.Pass(
            self._scope,
            "Summarize",
            parameters={
                "model_package_arn.$": "$.registered.arn",
                "report.$": "States.Format('{}/report/index.html', $.names.uri)",
                "evaluation.$": "$.evaluation",
                "health.$": "$.health",
                "hyperparameters.$": "States.JsonMerge($.training.hyperparameters, $.tuning.hyperparameters, false)",
            },
        )
        return self._either(
            "Was the gate met?", sfn.Condition.boolean_equals("$.gate.met", True), done, missed
        )  # fmt: skip

    def _either(
        self, name: str, condition: sfn.Condition, then: sfn.IChainable, otherwise: sfn.IChainable
    ) -> sfn.Choice:
        return sfn.Choice(self._scope, name).when(condition, then).otherwise(otherwise)
