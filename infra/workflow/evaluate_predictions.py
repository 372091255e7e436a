"""Evaluate predictions: join the answers of batch transform with the truth, judge the gate, and prepare the bias measurement."""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn

from infra.settings import Settings
from infra.workflow.job import Job, ProcessingJob, folders
from infra.workflow.step import Step, read_json, run


class EvaluatePredictions(Step):
    """`$.evaluation` holds the metrics of the test photos and the gate as judged."""

    @classmethod
    def jobs(cls, settings: Settings) -> tuple[Job, ...]:
        return (
            ProcessingJob(
                "Evaluate predictions", "evaluate", role="evaluation", image="training", machine="analysis",
                limit="analysis", command=("training_code", "evaluate"),
                reads=folders("transform", "prepared"), writes=folders("evaluation", "bias-input"), isolated=True,
            ),
        )  # fmt: skip

    def states(self) -> sfn.Chain:
        (job,) = self.jobs(self.platform.settings)
        read = read_json(
            self, "Read evaluation", self.platform, key="evaluation/evaluation.json", result="$.evaluated",
            field="evaluation",
        )  # fmt: skip
        return (
            sfn.Chain.start(run(self, job, self.platform, result="$.evaluating"))
            .next(read)
            .next(sfn.Pass(self, "Use evaluation", input_path="$.evaluated.evaluation", result_path="$.evaluation"))
        )
