"""The execution input: what is refused, with which words, and what becomes of the rest."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.execution_input import ExecutionInput, defaults
from contract.failure import JobFailure, leave_message
from contract.hyperparameters import OF_STEPS, RULES, Hyperparameters, as_string
from contract.metrics import METRICS, metric_definitions, metric_line
from contract.plan import Gate
from contract.validation import InvalidField
from tests.plans import planned

DATASET = {"dataset": "s3://bucket/photos.zip"}
WRONG = [
    ({}, "dataset", "must be given"),
    ({"dataset": "photos/"}, "dataset", "s3://bucket"),
    ({**DATASET, "modle": "x"}, "modle", "Did you mean 'model'?"),
    ({**DATASET, "fine_tune": "heads"}, "fine_tune", "head, last_block, all"),
    ({**DATASET, "image_size": 5000}, "image_size", "from 32 to 1024"),
    ({**DATASET, "name": "Bees & Ants"}, "name", "small letters"),
    ({**DATASET, "split": {"test": 0.9}}, "split.test", "from 0.02 to 0.5"),
    ({**DATASET, "split": 0.2}, "split", "an object with validation, test"),
    ({**DATASET, "hyperparameters": {"learning_rat": 1}}, "hyperparameters.learning_rat", "Did you mean 'learning_rate'?"),
    ({**DATASET, "hyperparameters": {"epochs": 0}}, "hyperparameters.epochs", "from 1 to 1000"),
    ({**DATASET, "hyperparameters": {"epochs": True}}, "hyperparameters.epochs", "a whole number"),
    ({**DATASET, "hyperparameters": {"model": "resnet18"}}, "hyperparameters.model", "given by model"),
    ({**DATASET, "tuning": {"strategy": "Bayes"}}, "tuning.strategy", "Did you mean 'Bayesian'?"),
    ({**DATASET, "tuning": {"max_jobs": 0}}, "tuning.max_jobs", "from 1 to 750"),
    ({**DATASET, "tuning": {"ranges": {}}}, "tuning.ranges", "1 to 30"),
    ({**DATASET, "tuning": {"ranges": {"model": ["a", "b"]}}}, "tuning.ranges.model", "one value for a whole search"),
    ({**DATASET, "tuning": {"ranges": {"epochs": {"min": 9, "max": 5}}}}, "tuning.ranges.epochs", "Exchange 9 and 5?"),
    ({**DATASET, "tuning": {"ranges": {"dropout": {"min": 0, "max": 0.5, "scale": "log"}}}}, "tuning.ranges.dropout.min", "above"),
    ({**DATASET, "tuning": {"ranges": {"optimizer": {"min": 1, "max": 2}}}}, "tuning.ranges.optimizer", "a list of values"),
    ({**DATASET, "tuning": {"ranges": {"batch_size": [32, 32]}}}, "tuning.ranges.batch_size", "different values"),
    ({**DATASET, "tuning": {"ranges": {"learning_rate": {"min": 0.1}}}}, "tuning.ranges.learning_rate", "both min and max"),
    ({**DATASET, "tuning": {"strategy": "Hyperband", "early_stopping": "Auto"}}, "tuning.early_stopping", "Off"),
    ({**DATASET, "bias": {"facets": "cell"}}, "bias.facets", "a list of texts"),
    ({**DATASET, "quality_gate": {"minimum": 95}}, "quality_gate.minimum", "from 0 to 1"),
    ({**DATASET, "instances": {"training": "p3.big"}}, "instances.training", "ml.m5.xlarge"),
    ({**DATASET, "minutes": 1}, "minutes", "at least 2. SageMaker"),
    ({**DATASET, "minutes": "soon"}, "minutes", "a number from 0.1 to 7200"),
    ({**DATASET, "minutes": 5, "tuning": {"enabled": False}}, "minutes", "tuning.enabled: false"),
    ({**DATASET, "minutes": 5, "fine_tune": "all", "tuning": {"mode": "single_job"}, "instances": {"training_count": 2}}, "minutes",
     "one machine"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "path", "words"), WRONG, ids=[path for _, path, _ in WRONG])
def test_what_is_wrong_is_named_with_its_path_and_what_is_allowed(value, path, words):
    with pytest.raises(JobFailure) as failure:
        ExecutionInput.from_json(value).ranges  # noqa: B018
    assert str(failure.value).startswith(f"{path}:")
    assert words in str(failure.value)


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({"seed": "3", "pretrained": "false", "image_size": "224"}, {"seed": 3, "pretrained": False, "image_size": 224}),
        ({"tuning": {"enabled": "false", "max_jobs": "9"}}, {"tuning": {"enabled": False, "max_jobs": 9}}),
        ({"tuning": {"max_jobs": "1", "max_parallel_jobs": "3"}}, {"tuning": {"max_jobs": 1, "max_parallel_jobs": 3}}),
        ({"explain": {"enabled": "False", "photos": "2"}}, {"explain": {"enabled": False, "photos": 2}}),
        ({"bias": {"enabled": "0"}}, {"bias": {"enabled": False}}),
        ({"split": {"test": "0.3", "validation": "0.1"}}, {"split": {"test": 0.3, "validation": 0.1}}),
        ({"near_duplicates": {"threshold": "0.99"}}, {"near_duplicates": {"threshold": 0.99}}),
        ({"quality_gate": {"minimum": "0.5"}}, {"quality_gate": {"minimum": 0.5}}),
        ({"instances": {"training_count": "2"}, "minutes": "5"}, {"instances": {"training_count": 2}, "minutes": 5}),
    ],
    ids=lambda value: ",".join(value),
)  # fmt: skip
def test_a_number_or_a_switch_that_is_given_as_text_is_what_it_says(given, same):
    """`"false"` was accepted, and then true: a text that is not empty."""
    read, meant = ExecutionInput.from_json(DATASET | given), ExecutionInput.from_json(DATASET | same)
    assert read == meant
    assert planned(read) == planned(meant)


def test_minutes_limit_the_tuning_job_or_the_search_inside_one_job():
    asked = {**DATASET, "minutes": 2.5}
    job = planned(ExecutionInput.from_json(asked))
    assert job.tuning.config["ResourceLimits"]["MaxRuntimeInSeconds"] == 150
    alone = planned(ExecutionInput.from_json({**asked, "tuning": {"mode": "single_job"}}))
    assert json.loads(alone.training.hyperparameters["search"])["minutes"] == 2.5
    without = planned(ExecutionInput.from_json(DATASET))
    assert "MaxRuntimeInSeconds" not in without.tuning.config["ResourceLimits"]


def test_a_fixed_value_and_a_range_of_the_same_hyperparameter_contradict_each_other():
    both = {**DATASET, "hyperparameters": {"epochs": 5}, "tuning": {"ranges": {"epochs": [3, 5]}}}
    with pytest.raises(InvalidField, match=r"hyperparameters\.epochs.*not both"):
        ExecutionInput.from_json(both)


def test_the_dataset_alone_is_enough_and_null_means_not_given():
    assert ExecutionInput.from_json({**DATASET, "model": None, "tuning": {"ranges": None}}) == ExecutionInput.from_json(
        DATASET
    )


def test_the_defaults_merged_by_the_state_machine_change_nothing():
    merged = json.loads(json.dumps({**defaults(), **DATASET}))
    assert ExecutionInput.from_json(merged) == ExecutionInput.from_json(DATASET)


def test_a_fixed_value_takes_its_hyperparameter_out_of_the_default_search():
    execution = ExecutionInput.from_json({**DATASET, "hyperparameters": {"learning_rate": 0.01}})
    assert "learning_rate" not in execution.ranges
    assert "weight_decay" in execution.ranges


def test_the_plan_has_the_ranges_in_the_shape_of_the_sagemaker_api():
    ranges = {
        "learning_rate": {"min": 1e-4, "max": 0.1, "scale": "log"}, "epochs": {"min": 5, "max": 9}, "optimizer": ["adam", "sgd"],
    }  # fmt: skip
    plan = planned(ExecutionInput.from_json({**DATASET, "tuning": {"ranges": ranges}}))
    assert plan.tuning.parameter_ranges == {
        "IntegerParameterRanges": [{"Name": "epochs", "MinValue": "5", "MaxValue": "9", "ScalingType": "Auto"}],
        "ContinuousParameterRanges": [
            {"Name": "learning_rate", "MinValue": "0.0001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
        ],
        "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["adam", "sgd"]}],
    }
    static = plan.tuning.static_hyperparameters
    assert not set(ranges) & set(static)
    assert static["export"] == "false"
    assert all(isinstance(value, str) for value in static.values())
    assert plan.quality_gate == Gate("balanced_accuracy", 0.75)


def test_hyperband_gets_its_resources_and_a_grid_no_number_of_jobs():
    hyperband = ExecutionInput.from_json(
        {**DATASET, "hyperparameters": {"epochs": 12}, "tuning": {"strategy": "Hyperband"}}
    )
    config = planned(hyperband).tuning.config
    assert config["StrategyConfig"] == {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 12}}
    grid = ExecutionInput.from_json({**DATASET, "tuning": {"strategy": "Grid", "ranges": {"batch_size": [16, 32]}}})
    assert planned(grid).tuning.config["ResourceLimits"] == {"MaxParallelTrainingJobs": 2}


def test_a_search_inside_one_job_travels_as_one_hyperparameter_that_train_understands():
    plan = planned(ExecutionInput.from_json({**DATASET, "tuning": {"mode": "single_job"}}))
    settings = Hyperparameters.from_strings(plan.training.hyperparameters)
    search = json.loads(settings.search)
    assert search["max_jobs"] == 8
    assert search["parameter_ranges"] == plan.tuning.parameter_ranges


def test_every_hyperparameter_survives_the_way_through_strings():
    for asked in ({}, {"epochs": "3"}, {"depths": "2", "refit": "false"}, {"fine_tune": "all"}):
        settings = Hyperparameters.from_strings(asked)
        assert Hyperparameters.from_strings(settings.to_strings()) == settings
    assert all(rule.meaning for rule in RULES.values())


def test_a_head_is_solved_unless_something_is_asked_for_that_only_steps_have():
    assert Hyperparameters.from_strings({}).is_exact
    for name in OF_STEPS:
        given = {name: RULES[name].choices[-1] if RULES[name].choices else as_string(getattr(Hyperparameters(), name))}
        assert not Hyperparameters.from_strings(given).is_exact, f"{name} was asked for and would be passed over"
        with pytest.raises(InvalidField, match="which only steps have"):
            Hyperparameters.from_strings({**given, "solver": "exact"})
    for asked in ({"tuning": {"ranges": {"learning_rate": [0.1, 0.2]}}}, {"tuning": {"strategy": "Hyperband"}},
                  {"tuning": {"early_stopping": "Auto"}}, {"fine_tune": "last_block"}):  # fmt: skip
        execution = ExecutionInput.from_json({**DATASET, **asked})
        assert execution.resolved_hyperparameters.solver == "steps"
        assert execution.objective == "validation:balanced_accuracy"
    with pytest.raises(InvalidField, match="nothing beside epochs"):
        Hyperparameters.from_strings({"depths": "2", "epochs": "3"})


def test_a_search_of_solved_heads_tries_the_depths_that_the_backbone_has_and_goes_by_the_loss():
    execution = ExecutionInput.from_json(DATASET)
    tuning = planned(execution, depths=5).tuning
    assert tuning.parameter_ranges["CategoricalParameterRanges"] == [{"Name": "depths", "Values": ["1", "2", "4", "5"]}]
    assert tuning.config["Strategy"] == "Grid" and "MaxNumberOfTrainingJobs" not in tuning.config["ResourceLimits"]
    assert tuning.objective == {"Type": "Minimize", "MetricName": "validation:loss"}
    assert not set(OF_STEPS) & set(tuning.static_hyperparameters)
    few = ExecutionInput.from_json({**DATASET, "tuning": {"max_jobs": 3}})
    assert planned(few, depths=5).tuning.config["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 3
    asked = ExecutionInput.from_json({**DATASET, "tuning": {"ranges": {"depths": [1, 7]}}})
    with pytest.raises(InvalidField, match="1 to 5, the depths of efficientnet_lite0"):
        planned(asked, depths=5)


def test_names_and_quotes_of_sagemakers_own_are_understood():
    raw = {"sagemaker_program": "x", "_tuning_objective_metric": "y", "model": '"resnet18"', "batch_size": '"32"'}
    settings = Hyperparameters.from_strings(raw)
    assert (settings.model, settings.batch_size) == ("resnet18", 32)


@given(st.sampled_from([metric.name for metric in METRICS]), st.floats(-1e9, 1e9))
def test_what_is_printed_is_found_by_the_regex_of_its_metric_and_by_no_other(name, value):
    import re

    line = f"epoch 3: {metric_line(name, value)} 1.2 s"
    found = {item["Name"]: re.search(item["Regex"], line) for item in metric_definitions()}
    assert float(found[name].group(1)) == pytest.approx(value, rel=1e-5, abs=1e-9)
    assert [other for other, match in found.items() if match] == [name]


def test_a_failure_leaves_one_short_message(tmp_path):
    leave_message("message", InvalidField("dataset", "x" * 5000, "an S3 URI"), tmp_path)
    text = (tmp_path / "output" / "message").read_text()
    assert text.startswith("dataset: received 'xxx")
    assert len(text) <= 1024
    leave_message("failure", RuntimeError("y" * 5000), tmp_path)
    assert len((tmp_path / "output" / "failure").read_text()) == 1024
