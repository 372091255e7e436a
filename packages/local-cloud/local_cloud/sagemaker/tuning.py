"""Tuning jobs: what CreateHyperParameterTuningJob accepts, and the describe, list and stop operations."""

from local_cloud.errors import AwsError
from local_cloud.sagemaker.listing import Listing
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.search_space import Parameter, combinations, search_space
from local_cloud.sagemaker.stopping import stop_job
from local_cloud.sagemaker.store import Document, public
from local_cloud.sagemaker.support import invalid, refuse_unsupported
from local_cloud.sagemaker.tags import keep_tags
from local_cloud.sagemaker.training import check_training, with_built_in_metrics
from local_cloud.sagemaker.tuning_run import COPIED, RESOURCES, TuningRun, training_request

NOUN = "HyperParameterTuningJob"
NAME_LIMIT = 32
DEFAULT_HYPERBAND_JOBS = 500
REASONS = {
    "TrainingJobDefinitions": "Use TrainingJobDefinition, with one algorithm.",
    "Autotune": "Give ParameterRanges and ResourceLimits instead.",
}
DEFINITION_FIELDS = ("StaticHyperParameters", *COPIED, RESOURCES, "DefinitionName")
SUMMARY = (
    "HyperParameterTuningJobName",
    "HyperParameterTuningJobArn",
    "HyperParameterTuningJobStatus",
    "Strategy",
    "CreationTime",
    "HyperParameterTuningEndTime",
    "LastModifiedTime",
    "TrainingJobStatusCounters",
    "ObjectiveStatusCounters",
    "ResourceLimits",
)
LISTING = Listing(NOUN, "HyperParameterTuningJobSummaries", SUMMARY, sort_by="Name")
TRIALS = Listing(
    "TrainingJob",
    "TrainingJobSummaries",
    (
        "TrainingJobName",
        "TrainingJobArn",
        "TuningJobName",
        "CreationTime",
        "TrainingStartTime",
        "TrainingEndTime",
        "TrainingJobStatus",
        "TunedHyperParameters",
        "FailureReason",
        "FinalHyperParameterTuningJobObjectiveMetric",
        "ObjectiveStatus",
        "TrainingJobDefinitionName",
    ),
    sort_by="Name",
)


def create_tuning_job(runtime: Runtime, request: Document) -> Document:
    """Checks, records and starts a search."""
    parameters = _check(runtime, request)
    name = request["HyperParameterTuningJobName"]
    arn = runtime.arn(NOUN, name)
    config = dict(request["HyperParameterTuningJobConfig"])
    config.setdefault("TrainingJobEarlyStoppingType", "Off")
    moment = runtime.store.now()
    document = {
        **{key: value for key, value in request.items() if key != "Tags"},
        "HyperParameterTuningJobConfig": config,
        "HyperParameterTuningJobArn": arn,
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "HyperParameterTuningJobStatus": "InProgress",
        "TrainingJobStatusCounters": dict.fromkeys(
            ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped"), 0
        ),
        "ObjectiveStatusCounters": dict.fromkeys(("Succeeded", "Pending", "Failed"), 0),
    }
    runtime.store.add(NOUN, name, document)
    keep_tags(runtime.store, arn, request.get("Tags"))
    TuningRun(runtime, document, parameters, maximum_jobs(config, parameters)).start()
    return {"HyperParameterTuningJobArn": arn}


def restart_tuning_jobs(runtime: Runtime) -> None:
    """Searches that an earlier process left go on: with the trials that have ended, and those that had not begin again."""
    for job in runtime.store.all(NOUN, lambda d: d["HyperParameterTuningJobStatus"] == "InProgress"):
        config = job["HyperParameterTuningJobConfig"]
        parameters = search_space(config.get("ParameterRanges", {}))
        TuningRun(runtime, job, parameters, maximum_jobs(config, parameters)).start()


def describe_tuning_job(runtime: Runtime, request: Document) -> Document:
    return public(runtime.store.get(NOUN, request["HyperParameterTuningJobName"]))


def list_tuning_jobs(runtime: Runtime, request: Document) -> Document:
    jobs = runtime.store.all(NOUN)
    for job in jobs:
        job["Strategy"] = job["HyperParameterTuningJobConfig"]["Strategy"]
        job["ResourceLimits"] = job["HyperParameterTuningJobConfig"]["ResourceLimits"]
    return LISTING.answer(jobs, request)


def list_training_jobs_for_tuning_job(runtime: Runtime, request: Document) -> Document:
    """The trials of a tuning job."""
    tuning = runtime.store.get(NOUN, request["HyperParameterTuningJobName"])
    trials = runtime.store.all(
        "TrainingJob", lambda job: job.get("TuningJobArn") == tuning["HyperParameterTuningJobArn"]
    )
    for trial in trials:
        trial["TuningJobName"], trial["TunedHyperParameters"] = trial["_TuningJobName"], trial["_TunedHyperParameters"]
        trial["FinalHyperParameterTuningJobObjectiveMetric"] = trial.get("_Objective")
        trial["ObjectiveStatus"] = trial.get("_ObjectiveStatus", "Pending")
    if request.get("SortBy") == "FinalObjectiveMetricValue":
        trials = [trial for trial in trials if trial["FinalHyperParameterTuningJobObjectiveMetric"]]
    return TRIALS.answer(trials, request)


def stop_tuning_job(runtime: Runtime, request: Document) -> Document:
    stop_job(runtime, NOUN, request["HyperParameterTuningJobName"])
    return {}


def maximum_jobs(config: Document, parameters: list[Parameter]) -> int:
    """How many training jobs the search may start."""
    if config["Strategy"] == "Grid":
        return combinations(parameters)
    return config["ResourceLimits"].get("MaxNumberOfTrainingJobs", DEFAULT_HYPERBAND_JOBS)


def _check(runtime: Runtime, request: Document) -> list[Parameter]:
    refuse_unsupported(
        "CreateHyperParameterTuningJob",
        request,
        (
            "HyperParameterTuningJobName",
            "HyperParameterTuningJobConfig",
            "TrainingJobDefinition",
            "WarmStartConfig",
            "Tags",
        ),
        REASONS,
    )
    name = request["HyperParameterTuningJobName"]
    if len(name) > NAME_LIMIT:
        raise invalid(
            f"1 validation error detected: Value '{name}' at 'hyperParameterTuningJobName' failed to satisfy "
            f"constraint: Member must have length less than or equal to {NAME_LIMIT}"
        )
    if "TrainingJobDefinition" not in request:
        raise invalid("TrainingJobDefinition is required.")
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    refuse_unsupported(
        "TrainingJobDefinition",
        definition,
        DEFINITION_FIELDS,
        {
            "HyperParameterRanges": "It belongs to TrainingJobDefinitions; use ParameterRanges.",
            "TuningObjective": "It belongs to TrainingJobDefinitions; use HyperParameterTuningJobObjective.",
        },
    )
    if ("ResourceConfig" in definition) == (RESOURCES in definition):
        raise invalid(f"TrainingJobDefinition needs either ResourceConfig or {RESOURCES}.")
    request["TrainingJobDefinition"] = definition = with_built_in_metrics(definition)
    parameters = search_space(config.get("ParameterRanges", {}))
    _check_config(config, parameters)
    _check_objective(config, definition)
    overlap = {parameter.name for parameter in parameters} & set(definition.get("StaticHyperParameters", {}))
    if overlap:
        raise invalid(
            f"The hyperparameters {sorted(overlap)} are both static and tuned. Leave them out of "
            "StaticHyperParameters or of ParameterRanges."
        )
    for parent in request.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", []):
        job = runtime.store.get(NOUN, parent["HyperParameterTuningJobName"])
        if job["HyperParameterTuningJobStatus"] not in ("Completed", "Stopped", "Failed"):
            raise invalid(
                f"The parent tuning job {parent['HyperParameterTuningJobName']} is still "
                f"{job['HyperParameterTuningJobStatus']}; a parent must have ended."
            )
    check_training(runtime, training_request({**request, "HyperParameterTuningJobArn": ""}, f"{name}-001-00000000", {}))
    return parameters


def _check_config(config: Document, parameters: list[Parameter]) -> None:
    refuse_unsupported(
        "HyperParameterTuningJobConfig",
        config,
        (
            "Strategy",
            "StrategyConfig",
            "HyperParameterTuningJobObjective",
            "ResourceLimits",
            "ParameterRanges",
            "TrainingJobEarlyStoppingType",
            "TuningJobCompletionCriteria",
            "RandomSeed",
        ),
    )
    strategy, limits = config["Strategy"], config["ResourceLimits"]
    if not parameters:
        raise invalid("ParameterRanges is empty: at least one hyperparameter must have a range.")
    refuse_unsupported(
        "TuningJobCompletionCriteria",
        config.get("TuningJobCompletionCriteria", {}),
        ("TargetObjectiveMetricValue", "BestObjectiveNotImproving"),
    )
    maximum, parallel = limits.get("MaxNumberOfTrainingJobs"), limits["MaxParallelTrainingJobs"]
    if strategy == "Grid":
        if any(parameter.kind != "Categorical" for parameter in parameters):
            raise invalid("The Grid strategy takes CategoricalParameterRanges only.")
        if maximum not in (None, combinations(parameters)):
            raise invalid(
                f"MaxNumberOfTrainingJobs is {maximum}, but the grid has {combinations(parameters)} points. Leave it "
                "out, or make them equal."
            )
    elif maximum is None and strategy != "Hyperband":
        raise invalid(f"ResourceLimits.MaxNumberOfTrainingJobs is required for the strategy {strategy}.")
    if maximum is not None and parallel > maximum:
        raise invalid(f"MaxParallelTrainingJobs ({parallel}) must not exceed MaxNumberOfTrainingJobs ({maximum}).")
    if maximum is not None and maximum > 1000:
        raise AwsError(
            "ResourceLimitExceeded", f"A tuning job may start at most 1000 training jobs; {maximum} were asked for."
        )
    _check_hyperband(config)


def _check_hyperband(config: Document) -> None:
    limits = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig")
    if config["Strategy"] != "Hyperband":
        if limits:
            raise invalid(
                f"HyperbandStrategyConfig is only allowed with the strategy Hyperband, not {config['Strategy']}."
            )
        return
    if config.get("TrainingJobEarlyStoppingType") == "Auto":
        raise invalid(
            "TrainingJobEarlyStoppingType must be Off with the strategy Hyperband, which stops jobs by itself."
        )
    if not limits or "MinResource" not in limits or "MaxResource" not in limits:
        raise invalid(
            "The strategy Hyperband needs StrategyConfig.HyperbandStrategyConfig with MinResource and MaxResource."
        )
    if limits["MinResource"] >= limits["MaxResource"]:
        raise invalid(f"MinResource ({limits['MinResource']}) must be less than MaxResource ({limits['MaxResource']}).")


def _check_objective(config: Document, definition: Document) -> None:
    if "HyperParameterTuningJobObjective" not in config:
        raise invalid("HyperParameterTuningJobObjective is required.")
    wanted = config["HyperParameterTuningJobObjective"]["MetricName"]
    names = [entry["Name"] for entry in definition["AlgorithmSpecification"].get("MetricDefinitions", [])]
    if wanted not in names:
        raise invalid(
            f"The objective metric {wanted!r} is not among the MetricDefinitions of AlgorithmSpecification "
            f"({', '.join(names) or 'none'}). Define it, with a regular expression that finds it in the log."
        )
