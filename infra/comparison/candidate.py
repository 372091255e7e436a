"""What is done with each candidate: extract features, train, and later, alone on its machine, benchmark.

A candidate that fails becomes a record with its reason; it never stops the others. One that an earlier comparison of
the same photos and settings has measured, or trained before it was interrupted, is not done again: what came out is found
by its key.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from contract.names import WEIGHTS
from infra.comparison.platform import ComparisonPlatform
from infra.workflow import requests, step

EXTRACTED = ("features", "weights", "extraction")
TRAINED = "trained.json"  # where an interrupted comparison has left a trained model that nobody has measured
# Inside a Map: `$.names` are the candidate's own, `$.shared` those of the comparison.
SHARED = "States.Format('{{}}/{folder}', $.shared.uri)"
RESULTS = "States.Format('{}/{}/', $.shared.results, $.candidate.name)"
RESULT_KEY = "States.Format('{{}}/{{}}/{file}', $.shared.results_key, $.candidate.name)"


def in_comparison(folder: str) -> str:
    return SHARED.format(folder=folder)


class TrainCandidate:
    """States of one iteration of `Train candidates`; it ends with a record of what came out."""

    def __init__(self, scope: Construct, platform: ComparisonPlatform) -> None:
        failed = _failed(scope, "Candidate failed")
        look = _look(scope, platform, "Look for result", RESULT_KEY.format(file="benchmark.json"))
        extract = step.job(
            scope, "Extract features", action="createProcessingJob", result="$.extraction",
            minutes=platform.base.settings.max_runtime_minutes.prepare, parameters=extract_request(platform),
            selector={"started.$": "$.ProcessingStartTime", "ended.$": "$.ProcessingEndTime"},
        )  # fmt: skip
        train = step.job(
            scope, "Train candidate", action="createTrainingJob", result="$.training",
            minutes=platform.base.settings.max_runtime_minutes.training, parameters=train_request(platform),
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
        save = step.call(
            scope, "Save training", action="aws-sdk:s3:putObject", result=None,
            parameters={
                "Bucket": platform.base.artifacts_bucket,
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
        read = step.call(
            scope, "Read training", action="aws-sdk:s3:getObject", result="$.noted",
            parameters={"Bucket": platform.base.artifacts_bucket, "Key.$": RESULT_KEY.format(file=TRAINED)},
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

    def __init__(self, scope: Construct, platform: ComparisonPlatform) -> None:
        failed = _failed(scope, "Benchmark failed")
        done = sfn.Pass(
            scope, "Benchmarked", parameters={"candidate.$": "$.item.candidate", "state": "measured"}
        )  # fmt: skip
        as_it_was = sfn.Pass(scope, "Nothing to benchmark", output_path="$.item")
        choice = sfn.Choice(scope, "What is there to benchmark?").when(
            sfn.Condition.not_(sfn.Condition.string_equals("$.item.state", "trained")), as_it_was
        )
        for second in (True, False):
            name = "Benchmark on both sets" if second else "Benchmark"
            job = step.job(
                scope, name, action="createProcessingJob", result="$.benchmark",
                minutes=platform.base.settings.max_runtime_minutes.analysis,
                parameters=benchmark_request(platform, second), selector={"job.$": "$.ProcessingJobName"},
            )  # fmt: skip
            job.add_catch(failed, errors=["States.ALL"], result_path="$.failure")
            job.next(done)
            if second:
                choice.when(sfn.Condition.boolean_equals("$.shared.second", True), job)
            else:
                choice.otherwise(job)
        self.start = choice


def _look(scope: Construct, platform: ComparisonPlatform, name: str, key: str) -> sfn.CustomState:
    """Is there an object of this key? Asked as a list, because to a role that may not list a missing object is forbidden."""
    return step.call(
        scope, name, action="aws-sdk:s3:listObjectsV2", result="$.earlier",
        parameters={"Bucket": platform.base.artifacts_bucket, "Prefix.$": key, "MaxKeys": 1},
        selector={"count.$": "$.KeyCount"},
    )  # fmt: skip


def _found(scope: Construct, name: str, *, yes: sfn.IChainable, no: sfn.IChainable) -> sfn.Choice:
    return sfn.Choice(scope, name).when(sfn.Condition.number_greater_than("$.earlier.count", 0), yes).otherwise(no)


def _failed(scope: Construct, name: str) -> sfn.Pass:
    return sfn.Pass(
        scope, name,
        parameters={"candidate.$": "$.candidate", "state": "failed", "error.$": "$.failure.Error",
                    "cause.$": "$.failure.Cause"},
    )  # fmt: skip


def extract_request(platform: ComparisonPlatform) -> dict[str, Any]:
    """CreateProcessingJob of `extract`: features of the shared photos for one architecture, and its weights."""
    asked = ", ".join(
        f"'--{name.replace('_', '-')}', $.candidate.hyperparameters.{name}"
        for name in ("model", "image_size", "pretrained", "seed", "flip_view")
    )
    base = platform.base
    job = requests.processing_job(
        base, step="extract", image=base.images.training, role=platform.extract_role, instance="prepare",
        entrypoint=["python", "-m", "training_code"], arguments=None,
        arguments_path=f"States.Array('extract', {asked})",
        minutes=base.settings.max_runtime_minutes.prepare,
        inputs=[requests.processing_input("photos", in_comparison("photos/"))],
        outputs=[
            requests.processing_output(name, requests.in_execution(f"{name}/")) for name in EXTRACTED
        ],
    )  # fmt: skip
    job["Environment"] = {
        "FEATURE_CACHE_URI": f"s3://{base.artifacts_bucket}/feature-cache/",
        "WEIGHTS_URI": f"s3://{base.artifacts_bucket}/{WEIGHTS}",
    }
    return job


def train_request(platform: ComparisonPlatform) -> dict[str, Any]:
    """CreateTrainingJob of one candidate: its own features and weights, the photos of all."""
    base = platform.base
    request = requests.training_base(
        base, output="training/", checkpoints="checkpoints/", instance_count=1,
        minutes=base.settings.max_runtime_minutes.training,
    )  # fmt: skip
    for channel in request["InputDataConfig"]:
        if channel["ChannelName"] == "photos":
            channel["DataSource"]["S3DataSource"]["S3Uri.$"] = in_comparison("photos/")
    return {
        "TrainingJobName.$": requests.job_name(base.settings, "train"),
        "AlgorithmSpecification": requests.algorithm(base),
        "HyperParameters.$": "$.candidate.hyperparameters",
        **request,
        "Tags": requests.tags(base.settings),
    }


def benchmark_request(platform: ComparisonPlatform, second: bool) -> dict[str, Any]:
    """CreateProcessingJob on the serving image: the candidate as it would be served."""
    base = platform.base
    inputs = [
        requests.processing_input("training", "States.Format('{}/training/{}/output/', $.item.names.uri, $.item.job)"),
        requests.processing_input("extraction", "States.Format('{}/extraction/', $.item.names.uri)"),
        requests.processing_input("test", in_comparison("test/")),
        requests.processing_input("prepared", in_comparison("prepared/")),
        requests.processing_input("photos", in_comparison("photos/")),
    ]
    if second:
        inputs.append(requests.processing_input("second-test", in_comparison("second-test/")))
        inputs.append(requests.processing_input("second", in_comparison("second/")))
    job = requests.processing_job(
        base, step="bench", image=base.images.inference, role=platform.benchmark_role,
        # As it would be served: what is measured here is priced as this machine.
        instance="transform",
        entrypoint=["python", "-m", "inference_code.benchmark"], arguments=None,
        arguments_path="States.Array('--times', $.item.times)",
        minutes=base.settings.max_runtime_minutes.analysis, inputs=inputs,
        outputs=[requests.processing_output("benchmark", RESULTS)],
    )  # fmt: skip
    return job
