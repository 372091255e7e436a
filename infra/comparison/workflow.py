"""The order of the comparison: prepare once, train each, benchmark one at a time, compare, and perhaps go on."""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.names import JobName, comparison_key
from infra.comparison.candidate import BenchmarkCandidate, TrainCandidate
from infra.comparison.platform import ComparisonPlatform
from infra.workflow import name_jobs, requests, step
from infra.workflow.wiring import Wiring

CANDIDATE = JobName.candidate("{}", "{}")

PREPARED = ("plan", "prepared", "photos", "test", "asked")
SECOND = ("second", "second-test")
# What the state machine itself looks at; `prepare-comparison` fills in and checks all else.
DEFAULTS = {"evaluate_on": "", "concurrency": 1}


class Comparison:
    """All states below `scope`; `start` is the first."""

    def __init__(self, scope: Construct, platform: ComparisonPlatform) -> None:
        self._scope, self._platform, self._base = scope, platform, platform.base
        self._chain = Wiring(scope).chain
        self.start = self._connect()

    def _connect(self) -> sfn.IChainable:
        scope, base = self._scope, self._base
        compare = self._chain(self._save_outcomes(), self._compare(), self._read_winner(), self._end())
        trained = self._chain(
            step.read_json(
                scope, "Read plan", bucket=base.artifacts_bucket, key="plan/plan.json", result="$.prepared",
                field="plan",
            ),
            self._share(), self._save_question(), self._train(), self._benchmark(), compare,
        )  # fmt: skip
        both = self._chain(self._preparation("Prepare both sets", second=True), trained)
        prepare = (
            sfn.Choice(scope, "Is there a second set?")
            .when(sfn.Condition.string_matches("$.input.evaluate_on", "s3://*"), both)
            # The job refuses what is not an S3 URI, and names it.
            .otherwise(self._chain(self._preparation("Prepare photos", second=False), trained))
        )
        first = self._chain(
            name_jobs.set_defaults(scope, base, DEFAULTS), name_jobs.merge_input(scope), name_jobs.name_jobs(scope, base),
            name_jobs.use_instances(scope), name_jobs.save_input(scope, base), prepare,
        )  # fmt: skip
        return name_jobs.check_input(scope, then=first)

    def _preparation(self, name: str, *, second: bool) -> sfn.CustomState:
        base = self._base
        minutes = base.settings.max_runtime_minutes.prepare
        datasets = {"dataset": "$.input.dataset", "second-dataset": "$.input.evaluate_on"}
        request = requests.processing_job(
            base, step="prepare", image=base.images.training, role=self._platform.prepare_role, instance="prepare",
            entrypoint=["python", "-m", "training_code"], arguments=["prepare-comparison"], minutes=minutes,
            inputs=[
                requests.processing_input("request", requests.in_execution("input/")),
                *(requests.processing_input(*one) for one in list(datasets.items())[: 1 + second]),
            ],
            outputs=[
                requests.processing_output(folder, requests.in_execution(f"{folder}/"))
                for folder in (*PREPARED, *(SECOND if second else ()))
            ],
        )  # fmt: skip
        return step.job(
            self._scope, name, action="createProcessingJob", result="$.job", minutes=minutes, parameters=request,
            selector={"job.$": "$.ProcessingJobName"},
        )  # fmt: skip

    def _share(self) -> sfn.Pass:
        """Keep what every candidate needs, and nothing else: an execution's state is limited to 256 KiB."""
        bucket = self._base.artifacts_bucket
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

    def _save_question(self) -> sfn.CustomState:
        """So that the folder of results exists even when every candidate fails."""
        return step.call(
            self._scope, "Save question", action="aws-sdk:s3:putObject", result=None,
            parameters={
                "Bucket": self._base.artifacts_bucket,
                "Key.$": "States.Format('{}/question.json', $.shared.results_key)",
                "Body.$": "$.input",
                "ContentType": "application/json",
            },
        )  # fmt: skip

    def _train(self) -> sfn.Map:
        scope = Construct(self._scope, "Training")
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
        each.item_processor(TrainCandidate(scope, self._platform).start)
        return each

    def _benchmark(self) -> sfn.Map:
        scope = Construct(self._scope, "Benchmarking")
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
        each.item_processor(BenchmarkCandidate(scope, self._platform).start)
        return each

    def _save_outcomes(self) -> sfn.CustomState:
        return step.call(
            self._scope, "Save outcomes", action="aws-sdk:s3:putObject", result=None,
            parameters={
                "Bucket": self._base.artifacts_bucket,
                "Key.$": "States.Format('{}/asked/outcomes.json', $.names.key)",
                "Body.$": "$.outcomes",
                "ContentType": "application/json",
            },
        )  # fmt: skip

    def _compare(self) -> sfn.CustomState:
        base = self._base
        minutes = base.settings.max_runtime_minutes.analysis
        request = requests.processing_job(
            base, step="compare", image=base.images.analysis, role=self._platform.compare_role, instance="analysis",
            entrypoint=["python", "-m", "analysis_code"], arguments=None,
            arguments_path="States.Array('compare', '--test-uri', States.Format('{}/test/', $.names.uri))", minutes=minutes,
            inputs=[
                requests.processing_input("asked", requests.in_execution("asked/")),
                requests.processing_input("prepared", requests.in_execution("prepared/")),
                requests.processing_input("candidates", "States.Format('{}/', $.shared.results)"),
            ],
            outputs=[requests.processing_output("comparison", requests.in_execution("comparison/"))],
        )  # fmt: skip
        return step.job(
            self._scope, "Compare", action="createProcessingJob", result="$.job", minutes=minutes, parameters=request,
            selector={"job.$": "$.ProcessingJobName"},
        )  # fmt: skip

    def _read_winner(self) -> sfn.CustomState:
        return step.read_json(
            self._scope, "Read winner", bucket=self._base.artifacts_bucket, key="comparison/winner.json",
            result="$.compared", field="winner",
        )  # fmt: skip

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
        start = step.call(
            scope, "Start the pipeline with the winner", action="aws-sdk:sfn:startExecution", result="$.started",
            parameters={
                "StateMachineArn": self._platform.pipeline_arn,
                "Input.$": "States.JsonToString($.compared.winner.input)",
            },
        )  # fmt: skip
        self._chain(start, going_on)
        asked = sfn.Condition.and_(
            sfn.Condition.boolean_equals("$.pipeline_input", True),
            sfn.Condition.is_present("$.compared.winner.input"),
        )
        return sfn.Choice(scope, "Is the pipeline wanted?").when(asked, start).otherwise(done)
