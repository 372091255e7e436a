"""Check training health: rules and profile over what the training observed of itself.

In managed mode SageMaker evaluates rules of its own, which may take longer than the training: they are waited for, and what
they said is handed to the same job. What follows reads one small result either way.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_stepfunctions as sfn

from infra import grants
from infra.settings import Settings
from infra.workflow import requests
from infra.workflow.job import Folder, Job, ProcessingJob, folders
from infra.workflow.step import Step, call, read_json, run, write_json

ASK_EVERY_SECONDS, ASK_AT_MOST = 5, 360
LISTS = ("DebugRuleEvaluationStatuses", "ProfilerRuleEvaluationStatuses")
# What an execution says of its training in its output, its outcome and the model package.
VERDICT = ("status", "issues_found", "no_data", "issues", "issue_names", "stopped_by")


class CheckTrainingHealth(Step):
    """`$.health` is the job and its verdict."""

    @classmethod
    def jobs(cls, settings: Settings) -> tuple[Job, ...]:
        managed = settings.debugger == "managed"
        trained = "States.Format('{}/training/{}/output/', $.names.uri, $.training.job)"
        return (
            ProcessingJob(
                "Check training health", "health", role="evaluation", image="training", machine="analysis",
                limit="analysis",
                command=("training_code", "health", *(("--evaluated", f"{requests.INPUT}/rules/rules.json") if managed else ())),
                reads=(Folder("training", uri=trained), *(folders("rules") if managed else ())),
                writes=folders("health"), isolated=True,
            ),
        )  # fmt: skip

    def states(self) -> sfn.Chain:
        (job,) = self.jobs(self.platform.settings)
        check = run(self, job, self.platform, result="$.checking")
        use = sfn.Pass(
            self, "Use health", result_path="$.health",
            parameters={"job.$": "$.checking.job", **{f"{name}.$": f"$.checked.verdict.{name}" for name in VERDICT}},
        )  # fmt: skip
        checked = (
            sfn.Chain.start(check)
            .next(
                read_json(
                    self, "Read health", self.platform, key="health/verdict.json", result="$.checked", field="verdict"
                )
            )
            .next(use)
        )
        if not self.platform.debugger:
            return checked
        return sfn.Chain.custom(self._wait_for_rules(checked), [use], use)

    def _wait_for_rules(self, then: sfn.IChainable) -> sfn.State:
        """Rules that have not ended in half an hour are left behind: they give no data, the execution goes on."""
        begin = sfn.Pass(self, "Wait for rules", result_path="$.rule_questions", parameters={"asked": 0})
        ask = call(
            self, "Ask for rule outcomes", action="sagemaker:describeTrainingJob", result="$.rule_outcomes",
            parameters={"TrainingJobName.$": "$.training.job"},
            selector={
                **{f"{name}.$": f"$.{name}" for name in LISTS},
                **{f"open_{index}.$": f"States.ArrayLength({open_in(name)})" for index, name in enumerate(LISTS)},
            },
            allow=[
                ("sagemaker:DescribeTrainingJob",
                 [grants.arn("sagemaker", f"training-job/{self.platform.settings.prefix}-*")]),
            ],
        )  # fmt: skip
        save = write_json(self, "Save rule outcomes", self.platform, key="rules/rules.json", body="$.rule_outcomes")
        pause = sfn.Wait(
            self, "Rules are being evaluated", time=sfn.WaitTime.duration(Duration.seconds(ASK_EVERY_SECONDS))
        )
        count = sfn.Pass(
            self, "Count questions", result_path="$.rule_questions",
            parameters={"asked.$": "States.MathAdd($.rule_questions.asked, 1)"},
        )  # fmt: skip
        ended = sfn.Condition.and_(
            *(sfn.Condition.number_equals(f"$.rule_outcomes.open_{index}", 0) for index, _ in enumerate(LISTS))
        )
        given_up = sfn.Condition.number_greater_than_equals("$.rule_questions.asked", ASK_AT_MOST)
        save.next(then)
        choice = sfn.Choice(self, "Have the rules ended?").when(sfn.Condition.or_(ended, given_up), save)
        begin.next(ask).next(choice.otherwise(pause))
        pause.next(count).next(ask)
        return begin


def open_in(name: str) -> str:
    """JSONPath of the rules in one of DescribeTrainingJob's lists that have not ended."""
    return f"$.{name}[?(@.RuleEvaluationStatus=='InProgress')]"
