"""Explain with Clarify, Measure bias: two jobs by Clarify's own contract, each left out where it is not wanted.

Open and managed mode differ in the image, and in who gives the shadow endpoint's log an end: our image does it itself, for AWS's the state
machine does afterwards. https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-processing-job-run.html
"""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn

from contract.names import SHADOW_LOG_DAYS, log_group_of_endpoint
from infra import grants
from infra.settings import Settings
from infra.workflow import requests
from infra.workflow.job import Folder, Job, ProcessingJob
from infra.workflow.platform import Platform
from infra.workflow.step import Step, call, run, write_json


class ExplainWithClarify(Step):
    """Which regions of a few photos decided."""

    @classmethod
    def jobs(cls, settings: Settings) -> tuple[Job, ...]:
        return (clarify(settings, "Explain with Clarify", "explain", "explain", "photos/", "explanations"),)

    def states(self) -> sfn.Chain:
        managed = self.platform.settings.clarify == "managed"
        return either(
            self, "Are explanations wanted?", "$.plan.explain.enabled", result="$.explanations",
            skipped="Skip explanations", reason="explain.enabled is false in the execution input",
            afterwards=end_of_shadow_logs(self, self.platform) if managed else None,
        )  # fmt: skip


class MeasureBias(Step):
    """Clarify's bias metrics of the test predictions, for the facets that `metadata.csv` names."""

    @classmethod
    def jobs(cls, settings: Settings) -> tuple[Job, ...]:
        # What AWS's own image needs, only AWS knows.
        isolated = settings.clarify == "open"
        return (clarify(settings, "Measure bias", "bias", "bias-input", "data/", "bias", isolated),)

    def states(self) -> sfn.Chain:
        return either(
            self, "Is bias wanted?", "$.plan.bias.enabled", result="$.bias", skipped="Skip bias",
            reason="bias.enabled is false, or the data set has no facet to measure by (plan.json says which)",
        )  # fmt: skip


def clarify(
    settings: Settings, state: str, id: str, folder: str, data: str, output: str, isolated: bool = False
) -> ProcessingJob:  # fmt: skip
    """A job of a Clarify image: no command, `analysis_config.json` says what to do."""
    return ProcessingJob(
        state, id, role="analysis", image="clarify", machine="analysis", limit="analysis",
        reads=(
            Folder(folder, "config/", channel="analysis_config", at="config"),
            Folder(folder, data, channel="dataset", at="data"),
        ),
        writes=(Folder(output, channel="analysis_result", at=requests.OUTPUT),), isolated=isolated,
        environment={SHADOW_LOG_DAYS: str(settings.logs.retention_days)} if settings.clarify == "open" else {},
    )  # fmt: skip


def end_of_shadow_logs(step: Step, platform: Platform) -> sfn.Chain:
    """Retention for the log group that SageMaker makes for the endpoint of AWS's image, with the time in its name."""
    names = platform.settings.names
    group = log_group_of_endpoint(names.shadow_prefix("{}"))
    find = call(
        step, "Find logs of shadow endpoint", action="cloudwatchlogs:describeLogGroups", result="$.shadow_logs",
        parameters={"LogGroupNamePrefix.$": f"States.Format('{group}', $.names.id)"},
        selector={"groups.$": "$.LogGroups[*].LogGroupName"},
        # Granted for the delivery of the state machine's own logs as well; it has no narrower resource there.
        allow=[("logs:DescribeLogGroups", ["*"])],
    )  # fmt: skip
    each = sfn.Map(
        step, "Each log of shadow endpoint", items_path="$.shadow_logs.groups", result_path=sfn.JsonPath.DISCARD
    )
    each.item_processor(
        call(
            step, "Give log an end", action="cloudwatchlogs:putRetentionPolicy",
            parameters={"LogGroupName.$": "$", "RetentionInDays": platform.settings.logs.retention_days},
            allow=[("logs:PutRetentionPolicy", [grants.arn("logs", f"log-group:{log_group_of_endpoint(names.shadows)}")])],
        )
    )  # fmt: skip
    return sfn.Chain.start(find).next(each)


def either(
    step: Step, question: str, switch: str, *, result: str, skipped: str, reason: str, afterwards: sfn.Chain | None = None
) -> sfn.Chain:  # fmt: skip
    """The job (and what comes `afterwards`), or a file that says why not, where its results would lie.

    The report reads that place in either case: on AWS an S3 input without any object fails the job that names it.
    """
    (job,) = step.jobs(step.platform.settings)
    (output,) = job.writes
    leave = write_json(
        step, skipped, step.platform, key=f"{output.name}/skipped.json", body={"skipped": True, "reason": reason},
        result=result, selector={"job": "none"},
    )  # fmt: skip
    done = sfn.Chain.start(run(step, job, step.platform, result=result))
    choice = sfn.Choice(step, question).when(
        sfn.Condition.boolean_equals(switch, True), done.next(afterwards) if afterwards else done
    )
    return choice.otherwise(leave).afterwards()
