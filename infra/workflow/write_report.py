"""Write report: one page from what all steps left, also for a model that did not pass the gate; then the execution's own end."""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn

from infra.settings import Settings
from infra.workflow.job import Job, ProcessingJob, folders
from infra.workflow.step import Step, run, write_json


class WriteReport(Step):
    """`Save outcome` leaves what the state machine itself knows as a file."""

    @classmethod
    def jobs(cls, settings: Settings) -> tuple[Job, ...]:
        return (
            ProcessingJob(
                "Write report", "report", role="report", image="analysis", machine="analysis", limit="analysis",
                command=("analysis_code", "report"), writes=folders("report"),
                reads=folders("plan", "prepared", "health", "explanations", "evaluation", "bias", "outcome"),
            ),
        )  # fmt: skip

    def states(self) -> sfn.Chain:
        (job,) = self.jobs(self.platform.settings)
        save = write_json(self, "Save outcome", self.platform, key="outcome/outcome.json", body="$")
        return sfn.Chain.start(save).next(run(self, job, self.platform, result="$.report"))


class End(Step):
    """A report is written in either case; an execution whose model missed the gate has failed all the same."""

    def states(self) -> sfn.Chain:
        missed = sfn.Fail(self, "Quality gate not met", error="QualityGateNotMet", cause_path="$.gate.message")
        done = sfn.Pass(
            self,
            "Summarize",
            parameters={
                "model_package_arn.$": "$.registered.arn",
                "report.$": "States.Format('{}/report/index.html', $.names.uri)",
                "evaluation.$": "$.evaluation",
                "health.$": "$.health",
                "hyperparameters.$": "States.JsonMerge($.training.hyperparameters, $.tuning.hyperparameters, false)",
            },
        )
        met = sfn.Condition.boolean_equals("$.gate.met", True)
        return sfn.Choice(self, "Was the gate met?").when(met, done).otherwise(missed).afterwards()
