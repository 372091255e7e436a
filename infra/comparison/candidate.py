"""What is done with each candidate: extract features, train, and later, alone on its machine, benchmark.

A candidate that fails becomes a record with its reason; it never stops the others. One that an earlier comparison of
the same photos and settings has measured, or trained before it was interrupted, is not done again: what came out is found
by its key.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.names import comparison_key
from infra.comparison import jobs
from infra.workflow import requests
from infra.workflow.platform import Platform
from infra.workflow.prepare_dataset import with_caches
from infra.workflow.step import call, count_objects, run

TRAINED = "trained.json"  # where an interrupted comparison has left a trained model that nobody has measured
RESULT_KEY = "States.Format('{{}}/{{}}/{file}', $.shared.results_key, $.candidate.name)"


class TrainCandidate:
    """States of one iteration of `Train candidates`; it ends with a record of what came out."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        failed = _failed(scope, "Candidate failed")
        look = _look(scope, platform, "Look for result", RESULT_KEY.format(file="benchmark.json"))
        extract = run(
            scope, with_caches(jobs.EXTRACT, platform), platform, result="$.extraction",
            selector={"started.$": "$.ProcessingStartTime", "ended.$": "$.ProcessingEndTime"},
        )  # fmt: skip
        train = run(
            scope, jobs.TRAIN, platform, result="$.training", request=train_request(platform),
            selector={
                "job.$": "$.TrainingJobName",
                "started.$": "$.TrainingStartTime",
                "ended.$": "$.TrainingEndTime",
            },
        )  # fmt: skip
        note = sfn.Pass(scope, "Note training", result_path="$.noted", parameters={"training": {
            "names.$": "$.names", "job.$": "$.training.job",
            "times.$": "States.Format('{},{},{},{}', $.extraction.started, $.extraction.ended, $.training.started, "
            "$.training.ended)",
        }})  # fmt: skip
        notes = [platform.artifacts.arn_for_objects(f"{comparison_key('*')}/{TRAINED}")]
        save = call(
            scope, "Save training", action="s3:putObject", allow=[("s3:PutObject", notes)],
            parameters={
                "Bucket": platform.artifacts.bucket_name,
                "Key.$": RESULT_KEY.format(file=TRAINED),
                "Body.$": "$.noted.training",
                "ContentType": "application/json",
            },
        )  # fmt: skip
        trained = sfn.Pass(scope, "Trained", parameters={
            "candidate.$": "$.candidate", "names.$": "$.noted.training.names", "job.$": "$.noted.training.job",
            "times.$": "$.noted.training.times", "state": "trained",
        })  # fmt: skip
        measured = sfn.Pass(
            scope, "Measured before",
            parameters={"candidate.$": "$.candidate", "names.$": "$.names", "state": "measured"},
        )  # fmt: skip
        again = _look(scope, platform, "Look for training", RESULT_KEY.format(file=TRAINED))
        read = call(
            scope, "Read training", action="s3:getObject", result="$.noted", allow=[("s3:GetObject", notes)],
            parameters={"Bucket": platform.artifacts.bucket_name, "Key.$": RESULT_KEY.format(file=TRAINED)},
            selector={"training.$": "States.StringToJson($.Body)"},
        )  # fmt: skip
        # Models of a comparison expire with its execution, the note does not.
        model = _look(
            scope, platform, "Look for model",
            "States.Format('{}/training/{}/output/model.tar.gz', $.noted.training.names.key, $.noted.training.job)",
        )  # fmt: skip
        extract.next(train).next(note).next(save).next(trained)
        for state in (look, again, read, model, extract, train, save):
            state.add_catch(failed, errors=["States.ALL"], result_path="$.failure")
        look.next(_found(scope, "Was it measured before?", yes=measured, no=again))
        again.next(_found(scope, "Was it trained before?", yes=read, no=extract))
        read.next(model)
        model.next(_found(scope, "Is its model still there?", yes=trained, no=extract))
        self.start = look


class BenchmarkCandidate:
    """States of one iteration of `Benchmark candidates`, which runs one at a time."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        failed = _failed(scope, "Benchmark failed")
        done = sfn.Pass(
            scope, "Benchmarked", parameters={"candidate.$": "$.item.candidate", "state": "measured"}
        )  # fmt: skip
        as_it_was = sfn.Pass(scope, "Nothing to benchmark", output_path="$.item")
        choice = sfn.Choice(scope, "What is there to benchmark?").when(
            sfn.Condition.not_(sfn.Condition.string_equals("$.item.state", "trained")), as_it_was
        )
        for second in (True, False):
            job = run(scope, jobs.benchmark(second), platform, result="$.benchmark")
            job.add_catch(failed, errors=["States.ALL"], result_path="$.failure")
            job.next(done)
            if second:
                choice.when(sfn.Condition.boolean_equals("$.shared.second", True), job)
            else:
                choice.otherwise(job)
        self.start = choice


def _look(scope: Construct, platform: Platform, name: str, key: str) -> sfn.CustomState:
    return count_objects(scope, name, bucket=platform.artifacts.bucket_name, prefix=key, result="$.earlier")


def _found(scope: Construct, name: str, *, yes: sfn.IChainable, no: sfn.IChainable) -> sfn.Choice:
    return sfn.Choice(scope, name).when(sfn.Condition.number_greater_than("$.earlier.count", 0), yes).otherwise(no)


def _failed(scope: Construct, name: str) -> sfn.Pass:
    return sfn.Pass(
        scope, name,
        parameters={"candidate.$": "$.candidate", "state": "failed", "error.$": "$.failure.Error",
                    "cause.$": "$.failure.Cause"},
    )  # fmt: skip


def train_request(platform: Platform) -> dict[str, Any]:
    """CreateTrainingJob of one candidate: its own features and weights, the photos of all."""
    request = requests.training_base(
        platform, output="training/", checkpoints="checkpoints/", instance_count=1, minutes=jobs.TRAIN.minutes(platform)
    )
    for channel in request["InputDataConfig"]:
        if channel["ChannelName"] == "photos":
            channel["DataSource"]["S3DataSource"]["S3Uri.$"] = jobs.shared("photos").source
    return {
        "TrainingJobName.$": requests.job_name(platform.settings, jobs.TRAIN.id),
        "AlgorithmSpecification": requests.algorithm(platform.images[jobs.TRAIN.image]),
        "HyperParameters.$": "$.candidate.hyperparameters",
        **request,
        "Tags": requests.tags(platform.settings),
    }
