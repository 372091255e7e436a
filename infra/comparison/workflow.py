"""The order of the comparison: prepare once, train each, benchmark one at a time, compare, and perhaps go on."""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from contract.names import JobName, comparison_key
from infra.comparison import jobs
from infra.comparison.candidate import BenchmarkCandidate, TrainCandidate
from infra.workflow.name_jobs import NameJobs
from infra.workflow.platform import Platform
from infra.workflow.step import call, read_json, run, write_json

CANDIDATE = JobName.candidate("{}", "{}")


class NameComparison(NameJobs):
    """The state machine itself looks at little; `prepare-comparison` fills in and checks all else."""

    defaults = {"evaluate_on": "", "concurrency": 1}  # noqa: RUF012
    most_minutes = None


class Comparison:
    """All states below `scope`; `start` is the first. `pipeline_arn`: the state machine that may go on with the winner."""

    def __init__(self, scope: Construct, platform: Platform, pipeline_arn: str) -> None:
        self._scope, self._platform, self._pipeline_arn = scope, platform, pipeline_arn
        inside = [Construct(scope, name) for name in ("Training", "Benchmarking")]
        train, benchmark = self._train(inside[0]), self._benchmark(inside[1])
        self.start = (
            sfn.Chain.start(NameComparison(scope, platform))
            .next(self._prepare())
            .next(read_json(scope, "Read plan", platform, key="plan/plan.json", result="$.prepared", field="plan"))
            .next(self._share())
            .next(self._save_question())
            .next(train)
            .next(benchmark)
            .next(write_json(scope, "Save outcomes", platform, key="asked/outcomes.json", body="$.outcomes"))
            .next(run(scope, jobs.COMPARE, platform, result="$.job"))
            .next(
                read_json(
                    scope, "Read winner", platform, key="comparison/winner.json", result="$.compared", field="winner"
                )
            )
            .next(self._end())
        )

    def _prepare(self) -> sfn.Chain:
        both, one = (run(self._scope, jobs.prepare(second), self._platform, result="$.job") for second in (True, False))
        return (
            sfn.Choice(self._scope, "Is there a second set?")
            .when(sfn.Condition.string_matches("$.input.evaluate_on", "s3://*"), both)
            # The job refuses what is not an S3 URI, and names it.
            .otherwise(one)
            .afterwards()
        )

    def _share(self) -> sfn.Pass:
        """Keep what every candidate needs, and nothing else: an execution's state is limited to 256 KiB."""
        bucket = self._platform.artifacts.bucket_name
        return sfn.Pass(
            self._scope,
            "Use plan",
            parameters={
                "input.$": "$.input",
                "instances.$": "$.instances",
                "names.$": "$.names",
                "candidates.$": "$.prepared.plan.candidates",
                "pipeline_input.$": "$.prepared.plan.start_pipeline",
                "shared": {
                    "uri.$": "$.names.uri",
                    "second.$": "$.prepared.plan.second",
                    "results_key.$": f"States.Format('{comparison_key('{}')}', $.prepared.plan.key)",
                    "results.$": f"States.Format('s3://{bucket}/{comparison_key('{}')}', $.prepared.plan.key)",
                },
            },
        )

    def _save_question(self) -> tasks.CallAwsService:
        """So that the folder of results exists even when every candidate fails."""
        artifacts = self._platform.artifacts
        return call(
            self._scope, "Save question", action="s3:putObject",
            parameters={
                "Bucket": artifacts.bucket_name,
                "Key.$": "States.Format('{}/question.json', $.shared.results_key)",
                "Body.$": "$.input",
                "ContentType": "application/json",
            },
            allow=[("s3:PutObject", [artifacts.arn_for_objects(f"{comparison_key('*')}/question.json")])],
        )  # fmt: skip

    def _train(self, inside: Construct) -> sfn.Map:
        each = sfn.Map(
            self._scope, "Train candidates", items_path="$.candidates", max_concurrency_path="$.input.concurrency",
            result_path="$.trained",
            item_selector={
                "candidate.$": "$$.Map.Item.Value",
                "shared.$": "$.shared",
                "instances.$": "$.instances",
                "names": {
                    "id.$": f"States.Format('{CANDIDATE}', $.names.id, $$.Map.Item.Index)",
                    "uri.$": "States.Format('{}/candidates/{}', $.names.uri, $$.Map.Item.Value.name)",
                    "key.$": "States.Format('{}/candidates/{}', $.names.key, $$.Map.Item.Value.name)",
                },
            },
        )  # fmt: skip
        each.item_processor(TrainCandidate(inside, self._platform).start)
        return each

    def _benchmark(self, inside: Construct) -> sfn.Map:
        each = sfn.Map(
            self._scope, "Benchmark candidates", items_path="$.trained", max_concurrency=1, result_path="$.outcomes",
            item_selector={
                "item.$": "$$.Map.Item.Value",
                "candidate.$": "$$.Map.Item.Value.candidate",
                "shared.$": "$.shared",
                "instances.$": "$.instances",
                "names": {"id.$": f"States.Format('{CANDIDATE}', $.names.id, $$.Map.Item.Index)", "uri.$": "$.names.uri"},
            },
        )  # fmt: skip
        each.item_processor(BenchmarkCandidate(inside, self._platform).start)
        return each

    def _end(self) -> sfn.Choice:
        scope = self._scope
        compared = {
            "winner.$": "$.compared.winner.name",
            "report.$": "States.Format('{}/comparison/comparison.html', $.names.uri)",
        }
        done = sfn.Pass(scope, "Summarize", parameters=compared)
        going_on = sfn.Pass(
            scope, "Summarize with the pipeline", parameters={**compared, "pipeline.$": "$.started.ExecutionArn"}
        )
        start = call(
            scope, "Start the pipeline with the winner", action="sfn:startExecution", result="$.started",
            allow=[("states:StartExecution", [self._pipeline_arn])],
            parameters={
                "StateMachineArn": self._pipeline_arn,
                "Input.$": "States.JsonToString($.compared.winner.input)",
            },
        )  # fmt: skip
        start.next(going_on)
        is_wanted = sfn.Condition.and_(
            sfn.Condition.boolean_equals("$.pipeline_input", True),
            sfn.Condition.is_present("$.compared.winner.input"),
        )
        return sfn.Choice(scope, "Is the pipeline wanted?").when(is_wanted, start).otherwise(done)
