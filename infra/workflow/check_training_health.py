"""Check training health: rules and profile over what the training observed of itself.

In managed mode SageMaker evaluates rules of its own, which may take longer than the training: they are waited for, and what
they said is handed to the same job. What follows reads one small result either way.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.workflow import requests, step
from infra.workflow.platform import Platform
from infra.workflow.wiring import Wiring

ASK_EVERY_SECONDS, ASK_AT_MOST = 5, 360
LISTS = ("DebugRuleEvaluationStatuses", "ProfilerRuleEvaluationStatuses")
# What an execution says of its training in its output, its outcome and the model package.
VERDICT = ("status", "issues_found", "no_data", "issues", "issue_names", "stopped_by")


class CheckTrainingHealth:
    """State `Check training health`, then `Read health` and `Use health`: `$.health` is the job and its verdict."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        self._scope, self._platform = scope, platform
        self.job = step.job(
            scope, "Check training health", action="createProcessingJob", result="$.checking",
            minutes=platform.settings.max_runtime_minutes.analysis, parameters=request(platform),
            selector={"job.$": "$.ProcessingJobName"},
        )  # fmt: skip
        self.read = step.read_json(
            scope, "Read health", bucket=platform.artifacts_bucket, key="health/verdict.json", result="$.checked",
            field="verdict",
        )  # fmt: skip
        self.use = sfn.Pass(
            scope, "Use health", result_path="$.health",
            parameters={"job.$": "$.checking.job", **{f"{name}.$": f"$.checked.verdict.{name}" for name in VERDICT}},
        )  # fmt: skip

    def connect(self, wiring: Wiring, then: sfn.IChainable) -> sfn.IChainable:
        checked = wiring.chain(self.job, self.read, self.use, then)
        return self._wait_for_rules(wiring, checked) if self._platform.debugger else checked

    def _wait_for_rules(self, wiring: Wiring, then: sfn.IChainable) -> sfn.IChainable:
        """Rules that have not ended in half an hour are left behind: they give no data, the execution goes on."""
        scope = self._scope
        begin = sfn.Pass(scope, "Wait for rules", result_path="$.rule_questions", parameters={"asked": 0})
        ask = step.call(
            scope, "Ask for rule outcomes", action="aws-sdk:sagemaker:describeTrainingJob", result="$.rule_outcomes",
            parameters={"TrainingJobName.$": "$.training.job"},
            selector={
                **{f"{name}.$": f"$.{name}" for name in LISTS},
                **{f"open_{index}.$": f"States.ArrayLength({open_in(name)})" for index, name in enumerate(LISTS)},
            },
        )  # fmt: skip
        save = step.call(
            scope, "Save rule outcomes", action="aws-sdk:s3:putObject", result=None,
            parameters={
                "Bucket": self._platform.artifacts_bucket,
                "Key.$": "States.Format('{}/rules/rules.json', $.names.key)",
                "Body.$": "$.rule_outcomes",
                "ContentType": "application/json",
            },
        )  # fmt: skip
        pause = sfn.Wait(
            scope, "Rules are being evaluated", time=sfn.WaitTime.duration(Duration.seconds(ASK_EVERY_SECONDS))
        )
        count = sfn.Pass(
            scope, "Count questions", result_path="$.rule_questions",
            parameters={"asked.$": "States.MathAdd($.rule_questions.asked, 1)"},
        )  # fmt: skip
        wiring.chain(save, then)
        ended = sfn.Condition.and_(
            *(sfn.Condition.number_equals(f"$.rule_outcomes.open_{index}", 0) for index, _ in enumerate(LISTS))
        )
        given_up = sfn.Condition.number_greater_than_equals("$.rule_questions.asked", ASK_AT_MOST)
        choice = sfn.Choice(scope, "Have the rules ended?").when(sfn.Condition.or_(ended, given_up), save)
        choice.otherwise(pause)
        wiring.chain(begin, ask, choice)
        wiring.chain(pause, count, ask)
        return begin


def open_in(name: str) -> str:
    """JSONPath of the rules in one of DescribeTrainingJob's lists that have not ended."""
    return f"$.{name}[?(@.RuleEvaluationStatus=='InProgress')]"


def request(platform: Platform) -> dict:
    """CreateProcessingJob of `health` on the output of this one training job."""
    trained = "States.Format('{}/training/{}/output/', $.names.uri, $.training.job)"
    inputs = [requests.processing_input("training", trained)]
    arguments = ["health"]
    if platform.debugger:
        inputs.append(requests.processing_input("rules", requests.in_execution("rules/")))
        arguments += ["--evaluated", f"{requests.INPUT}/rules/rules.json"]
    return requests.processing_job(
        platform, step="health", image=platform.images.training, role=platform.roles.evaluation, instance="analysis",
        entrypoint=["python", "-m", "training_code"], arguments=arguments,
        minutes=platform.settings.max_runtime_minutes.analysis, inputs=inputs,
        outputs=[requests.processing_output("health", requests.in_execution("health/"))],
    )  # fmt: skip
