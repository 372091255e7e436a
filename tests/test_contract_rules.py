"""The rules of execution input, hyperparameters and ranges at their edges: what is just allowed passes, what is just not is named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from contract import metrics
from contract.execution_input import LONGEST_MODEL_NAME, ExecutionInput, Split, Tuning, defaults
from contract.hyperparameters import RULES, Hyperparameters, as_string, check_hyperparameters, own_strings
from contract.instances import Instances
from contract.json_form import from_json
from contract.plan import BiasPlan, EvaluationPlan, Facet, Gate, Plan
from contract.region import region
from contract.search_space import (
    FIXED_IN_A_SEARCH,
    MOST_VALUES,
    SEARCHABLE,
    check_range,
    check_ranges,
    parameter_ranges,
)
from contract.validation import InvalidField, a_number, a_text, an_integer, did_you_mean, some_names
from tests.plans import planned

ROOT = Path(__file__).resolve().parents[1]

DATASET = "s3://some-bucket/photos.zip"
# As docs and AWS's limits have them: (lowest, just too low, highest, just too high).
NUMBERS = {
    "split.validation": (0.02, 0.019, 0.5, 0.51),
    "split.test": (0.02, 0.019, 0.5, 0.51),
    "near_duplicates.threshold": (0.9, 0.899, 1, 1.001),
    "tuning.max_jobs": (1, 0, 750, 751),
    "tuning.max_parallel_jobs": (1, 0, 100, 101),
    "explain.photos": (1, 0, 50, 51),
    "quality_gate.minimum": (0, -0.001, 1, 1.001),
    "seed": (0, -1, 2**31 - 1, 2**31),
    "image_size": (32, 31, 1024, 1025),
    "instances.training_count": (1, 0, 64, 65),
}
CHOICES = {
    "near_duplicates.treatment": ("group", "keep", "drop"),
    "tuning.mode": ("sagemaker", "single_job"),
    "tuning.strategy": ("auto", "Bayesian", "Random", "Hyperband", "Grid"),
    "tuning.early_stopping": ("Off", "Auto"),
    "tuning.objective": ("auto", *metrics.OBJECTIVES),
    "quality_gate.metric": ("accuracy", "balanced_accuracy", "worst_class_recall", "macro_f1"),
    "alike_names": ("keep", "merge"),
    "fine_tune": ("head", "last_block", "all"),
}
SWITCHES = ("tuning.enabled", "explain.enabled", "bias.enabled", "pretrained")


def read(path: str, value: object, **more: object) -> object:
    """The field as it is kept."""
    section, _, name = path.rpartition(".")
    execution = ExecutionInput.from_json(
        {"dataset": DATASET, **more, **({section: {name: value}} if section else {name: value})}
    )
    return getattr(getattr(execution, section) if section else execution, name)


@pytest.mark.parametrize("path", NUMBERS)
def test_a_number_is_good_at_its_edges_and_refused_beyond_by_its_name(path):
    lowest, too_low, highest, too_high = NUMBERS[path]
    for good in (lowest, highest):
        assert read(path, good) == good
        kept = read(path, str(good))
        assert kept == good and not isinstance(kept, str), "what is given as text is kept as a number"
    for bad in (too_low, too_high, "many", True, [1]):
        with pytest.raises(
            InvalidField, match=rf"^{path}: received .*; allowed: .*{lowest:.12g} to {highest:.12g}"
        ) as refused:
            read(path, bad)
        assert refused.value.path == path


@pytest.mark.parametrize("path", CHOICES)
def test_a_choice_is_one_of_the_documented_words(path):
    for word in CHOICES[path]:
        assert read(path, word) == word
    with pytest.raises(InvalidField, match=rf"^{path}: received 'nothing'; allowed: {', '.join(CHOICES[path])}\."):
        read(path, "nothing")


@pytest.mark.parametrize("path", SWITCHES)
def test_a_switch_is_true_or_false_also_as_text(path):
    for given, kept in (
        (True, True),
        ("true", True),
        ("1", True),
        ("TRUE", True),
        (False, False),
        ("false", False),
        ("0", False),
    ):
        assert read(path, given) is kept
    with pytest.raises(InvalidField, match=rf"^{path}: received 'yes'; allowed: true or false"):
        read(path, "yes")


def test_hyperband_stops_trials_itself():
    with pytest.raises(InvalidField, match=r"^tuning\.early_stopping: received 'Auto'; allowed: Off"):
        ExecutionInput.from_json({"dataset": DATASET, "tuning": {"strategy": "Hyperband", "early_stopping": "Auto"}})


@pytest.mark.parametrize("name", ["facets", "positive_labels"])
@pytest.mark.parametrize("bad", ["camera", [1], [""], {"a": 1}])
def test_lists_of_bias_hold_texts(name, bad):
    assert read(f"bias.{name}", ["camera"]) == ["camera"]
    with pytest.raises(InvalidField, match=rf"^bias\.{name}: received .* a list of texts"):
        read(f"bias.{name}", bad)


@pytest.mark.parametrize(("minutes", "mode", "good"), [
    (1.9, "sagemaker", False), (2, "sagemaker", True), (0.1, "single_job", True), (0.09, "single_job", False),
    (7200, "sagemaker", True), (7201, "sagemaker", False),
])  # fmt: skip
def test_a_search_may_take_from_two_minutes_or_in_one_job_from_six_seconds(minutes, mode, good):
    document = {"dataset": DATASET, "minutes": minutes, "tuning": {"mode": mode}}
    if good:
        assert ExecutionInput.from_json(document).minutes == minutes
    else:
        with pytest.raises(InvalidField, match=r"^minutes: received"):
            ExecutionInput.from_json(document)


def test_minutes_limit_a_search_and_nothing_else():
    with pytest.raises(InvalidField, match=r"^minutes: received 5.0; allowed: nothing with tuning.enabled: false"):
        ExecutionInput.from_json({"dataset": DATASET, "minutes": 5, "tuning": {"enabled": False}})
    several = {
        "dataset": DATASET,
        "minutes": 5,
        "fine_tune": "all",
        "tuning": {"mode": "single_job"},
        "instances": {"training_count": 2},
    }
    with pytest.raises(InvalidField, match=r"^minutes: received .*one machine"):
        ExecutionInput.from_json(several)
    assert ExecutionInput.from_json({**several, "fine_tune": "head"}).minutes == 5


@pytest.mark.parametrize("layout", ["auto", "class", "split/class", "class/split", "-/class", "name", "split/name"])
def test_documented_layouts_are_read(layout):
    assert read("layout", layout) == layout


@pytest.mark.parametrize("layout", ["", "split", "class/class", "class/name", "split/split/class", "photo/class", 7])
def test_a_layout_names_the_class_once_and_the_split_at_most_once(layout):
    with pytest.raises(InvalidField, match=r"^layout: received"):
        read("layout", layout)


def test_what_words_of_splits_mean_is_a_split_or_ignore():
    assert read("splits", {"holdout": "test", "extra": "ignore"}) == {"holdout": "test", "extra": "ignore"}
    assert read("splits", "draw") == "draw"
    with pytest.raises(InvalidField, match=r"^splits\.holdout: received 'exam'"):
        read("splits", {"holdout": "exam"})
    with pytest.raises(InvalidField, match=r"^splits: received 'drawn'"):
        read("splits", "drawn")


def test_a_field_is_given_in_one_place():
    for name, place in (("objective", "tuning.objective"), ("model", "model"), ("search", "tuning.ranges")):
        with pytest.raises(InvalidField, match=rf"^hyperparameters\.{name}: .* given by {place}"):
            ExecutionInput.from_json({"dataset": DATASET, "hyperparameters": {name: "x"}})
    both = {
        "dataset": DATASET,
        "hyperparameters": {"learning_rate": 0.1},
        "tuning": {"ranges": {"learning_rate": [0.1, 0.2]}},
    }
    with pytest.raises(InvalidField, match="a fixed value or a range"):
        ExecutionInput.from_json(both)
    assert ExecutionInput.from_json({**both, "tuning": {**both["tuning"], "enabled": False}}).hyperparameters == {
        "learning_rate": 0.1
    }


def test_a_fixed_value_takes_its_default_range_out_of_the_search():
    fixed = ExecutionInput.from_json({"dataset": DATASET, "hyperparameters": {"learning_rate": 0.1}})
    assert set(fixed.ranges) == {"weight_decay", "batch_size"}
    none_left = {"learning_rate": 0.1, "weight_decay": 0.1, "batch_size": 32}
    with pytest.raises(InvalidField, match=r"^tuning\.ranges: .*at least one range"):
        _ = ExecutionInput.from_json({"dataset": DATASET, "hyperparameters": none_left}).ranges


def test_fine_tuning_searches_smaller_steps_and_batches_than_a_head_that_learns_in_steps():
    steps = {"dataset": DATASET, "hyperparameters": {"solver": "steps"}}
    head, whole = (ExecutionInput.from_json({**steps, "fine_tune": mode}).ranges for mode in ("head", "all"))
    assert head["learning_rate"]["min"] > whole["learning_rate"]["min"]
    assert max(head["batch_size"]) > max(whole["batch_size"])
    grid = ExecutionInput.from_json({**steps, "tuning": {"strategy": "Grid"}}).ranges
    assert all(isinstance(values, list) and len(values) > 1 for values in grid.values())


def test_defaults_are_those_of_an_input_that_gives_nothing_but_the_dataset():
    given = ExecutionInput.from_json({"dataset": DATASET, **defaults()})
    assert given == ExecutionInput.from_json({"dataset": DATASET})
    assert given.instances == Instances()


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.kind in ("number", "integer")])
def test_a_hyperparameter_is_good_at_its_edges_and_refused_beyond(name):
    rule = RULES[name]
    for edge, step in ((rule.minimum, -1), (rule.maximum, 1)):
        inside = edge if not (rule.above and step < 0) else 1e-9
        assert check_hyperparameters({name: str(inside)}) == {name: inside}
        outside = edge if rule.above and step < 0 else edge + step
        with pytest.raises(InvalidField, match=rf"^hyperparameters\.{name}: received"):
            check_hyperparameters({name: outside})
    assert f"{rule.maximum:.12g}" in rule.allowed and rule.meaning


def test_strings_of_hyperparameters_come_back_as_they_were():
    chosen = Hyperparameters(solver="steps")
    assert Hyperparameters.from_strings(chosen.to_strings()) == chosen
    assert [as_string(value) for value in (True, False, 0.001, 64, "x", 1e-05)] == [
        "true",
        "false",
        "0.001",
        "64",
        "x",
        "1e-05",
    ]
    given = {
        "sagemaker_program": "x",
        "_tuning_objective_metric": "y",
        "model": '"resnet18"',
        "epochs": '"',
        "search": '"{',
    }
    assert own_strings(given) == {"model": "resnet18", "epochs": '"', "search": '"{'}


def test_what_is_not_learnt_from_does_not_end_a_checkpoint():
    plain = Hyperparameters()
    assert Hyperparameters(workers=3, profiler_steps=5, stop_on="", export=False).course() == plain.course()
    assert Hyperparameters(learning_rate=0.5).course() != plain.course()


@pytest.mark.parametrize("name", FIXED_IN_A_SEARCH)
def test_what_has_one_value_for_a_whole_search_has_no_range(name):
    assert name in RULES and name not in SEARCHABLE
    with pytest.raises(InvalidField, match=rf"^tuning\.ranges\.{name}: .*one value for a whole search"):
        check_ranges("tuning.ranges", {name: ["a", "b"]}, "Random")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"min": 0.1}, "both min and max"),
        ({"max": 0.1}, "both min and max"),
        ({"min": 0.1, "max": 0.1}, "min below max"),
        ({"min": 0.2, "max": 0.1}, "Exchange 0.2 and 0.1"),
        ({"min": 0.1, "max": 0.2, "step": 1}, "no such field"),
        ({"min": 0.1, "max": 0.2, "scale": "cubic"}, "auto, linear, log, reverse_log"),
        ({"min": 0.1, "max": 1, "scale": "reverse_log"}, "0 ≤ min < max < 1"),
        ({"min": -1, "max": 0.5}, "received -1"),
        ({"min": 0.1, "max": 11}, "received 11"),
        ([], "1 to 30 values"),
        ([0.01] * 2, "different values"),
        ([i / 100 + 0.01 for i in range(31)], "1 to 30 values"),
        (0.1, "a list of values"),
    ],
)  # fmt: skip
def test_a_range_that_cannot_be_searched_is_refused_by_what_is_wrong(value, said):
    with pytest.raises(InvalidField, match=r"^tuning\.ranges\.learning_rate") as refused:
        check_range("tuning.ranges.learning_rate", "learning_rate", value)
    assert said in str(refused.value)


def test_ranges_become_those_of_the_api_with_all_values_as_texts():
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ParameterRanges.html"""
    given = {
        "learning_rate": {"min": 1e-4, "max": 0.1, "scale": "log"},
        "momentum": {"min": 0.5, "max": 0.99, "scale": "reverse_log"},
        "epochs": {"min": 3, "max": 9},
        "batch_size": [32, 64],
    }
    assert parameter_ranges(check_ranges("r", given, "Random")) == {
        "ContinuousParameterRanges": [
            {"Name": "learning_rate", "MinValue": "0.0001", "MaxValue": "0.1", "ScalingType": "Logarithmic"},
            {"Name": "momentum", "MinValue": "0.5", "MaxValue": "0.99", "ScalingType": "ReverseLogarithmic"},
        ],
        "IntegerParameterRanges": [{"Name": "epochs", "MinValue": "3", "MaxValue": "9", "ScalingType": "Auto"}],
        "CategoricalParameterRanges": [{"Name": "batch_size", "Values": ["32", "64"]}],
    }


def test_a_grid_has_lists_only_and_a_search_thirty_ranges_at_most():
    with pytest.raises(InvalidField, match="as strategy Grid needs"):
        check_ranges("r", {"learning_rate": {"min": 0.1, "max": 0.2}}, "Grid")
    for bad in ({}, {str(i): [1, 2] for i in range(MOST_VALUES + 1)}, []):
        with pytest.raises(InvalidField, match=f"1 to {MOST_VALUES} hyperparameters"):
            check_ranges("r", bad, "Random")


def plan(**fields: object) -> Plan:
    return planned(ExecutionInput.from_json({"dataset": DATASET, **fields}), classes=["a", "b", "c", "d"])


def test_the_gate_is_by_default_halfway_between_guessing_and_perfect():
    assert plan().quality_gate == Gate("balanced_accuracy", 0.625)
    assert plan(quality_gate={"minimum": 0}).quality_gate.minimum == 0
    of_three = planned(ExecutionInput.from_json({"dataset": DATASET}), classes=["a", "b", "c"])
    assert of_three.quality_gate.minimum == 0.6667, "to four digits"
    gate = Gate("accuracy", 0.9)
    assert [gate.judged({"accuracy": value})["passed"] for value in (0.89, 0.9, 0.91)] == [False, True, True]
    assert gate.judged({"accuracy": 0.91, "other": 1}) == {
        "metric": "accuracy", "minimum": 0.9, "value": 0.91, "passed": True,
    }  # fmt: skip


def test_a_tuning_job_is_planned_in_the_shape_of_the_api():
    tuning = plan(minutes=5, tuning={"max_jobs": 3, "max_parallel_jobs": 9, "early_stopping": "Auto"}).tuning
    assert tuning.config["ResourceLimits"] == {
        "MaxParallelTrainingJobs": 3, "MaxNumberOfTrainingJobs": 3, "MaxRuntimeInSeconds": 300,
    }  # fmt: skip
    assert tuning.config["TrainingJobEarlyStoppingType"] == "Auto"
    assert tuning.max_parallel_jobs == 3
    assert tuning.static_hyperparameters["export"] == "false"
    assert not set(tuning.static_hyperparameters) & {"learning_rate", "weight_decay", "batch_size", "search"}
    grid = plan(tuning={"strategy": "Grid"}).tuning.config
    assert "MaxNumberOfTrainingJobs" not in grid["ResourceLimits"] and "TrainingJobEarlyStoppingType" not in grid
    band = plan(tuning={"strategy": "Hyperband"}, hyperparameters={"epochs": 1}).tuning.config
    assert band["StrategyConfig"] == {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 2}}


def test_a_search_in_one_job_travels_as_a_hyperparameter_of_at_most_2500_characters():
    single = plan(minutes=3, tuning={"mode": "single_job", "max_jobs": 5, "strategy": "Bayesian"})
    search = json.loads(single.training.hyperparameters["search"])
    assert (search["max_jobs"], search["minutes"], search["strategy"]) == (5, 3, "Bayesian")
    assert "MaxRuntimeInSeconds" not in single.tuning.config["ResourceLimits"]
    assert "search" not in plan().training.hyperparameters
    many = {
        name: [f"0.12345678{i:02}" for i in range(1, 29)]
        for name in ("learning_rate", "weight_decay", "momentum", "dropout", "warmup", "label_smoothing", "ema_decay")
    }
    with pytest.raises(
        InvalidField, match=r"^tuning\.ranges: received '\d+ characters of JSON'; allowed: at most 2500"
    ):
        plan(tuning={"mode": "single_job", "ranges": many})


def test_quotes_of_sagemakers_sdk_are_taken_off_and_others_stay():
    raw = {"a": '""', "b": '"', "c": '"x', "d": '"x"', "e": "x", "f": '"8"', "g": '"x" "y"', "h": 8}
    assert own_strings(raw) == {**raw, "a": "", "d": "x", "f": "8"}
    assert own_strings({"_tuning": "1", "sagemaker_region": "2", "seed": "3"}) == {"seed": "3"}


def test_a_section_is_read_from_texts_and_a_null_is_not_given():
    read = Tuning.from_values({"enabled": "false", "max_jobs": "9", "strategy": None})
    assert read == Tuning(enabled=False, max_jobs=9)
    with pytest.raises(
        InvalidField, match=r"^tuning\.max_job: no such field; allowed: enabled, .* Did you mean 'max_jobs'\?"
    ):
        Tuning.from_values({"max_job": 9})
    for value, said in ((None, "execution input: received None"), ({"dataset": None}, "dataset: received None"),
                        ({"dataset": DATASET, "split": 3}, "split: received 3; allowed: an object with validation, test")):  # fmt: skip
        with pytest.raises(InvalidField, match=f"^{said}"):
            ExecutionInput.from_json(value)
    assert ExecutionInput.from_json({"dataset": DATASET, "split": None}).split == Split()


@pytest.mark.parametrize(
    ("make", "said"),
    [(lambda: Split(validation="0.3"), r"^split\.validation: received '0\.3'; allowed: 0\.3 in its own type"),
     (lambda: Split(test=0.9), r"^split\.test: received 0\.9"),
     (lambda: Instances(training_count=8.0), r"^instances\.training_count: received 8\.0; allowed: 8 in its own type"),
     (lambda: Instances(training="p3.big"), r"^instances\.training: received 'p3\.big'"),
     (lambda: ExecutionInput(DATASET, "a", pretrained="false"), r"^pretrained: received 'false'; allowed: False in its own type"),
     (lambda: ExecutionInput("photos/", "a"), r"^dataset: received 'photos/'")],
)  # fmt: skip
def test_a_constructor_takes_values_in_their_own_types_only(make, said):
    """Texts are read by `from_values` and `from_json`; nothing is put right in an object that is there already."""
    with pytest.raises(InvalidField, match=said):
        make()
    assert Split.from_values({"validation": "0.3"}) == Split(validation=0.3)
    assert Split(validation=0.5, test=0.02) and Instances(training_count=64)


def test_nothing_writes_to_a_frozen_object():
    rooms = (
        "contract",
        "infra",
        "darkroom",
        "training_code",
        "inference_code",
        "analysis_code",
        "packages/local-cloud/local_cloud",
    )
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    assert len(files) > 300
    assert [path for path in files if "object.__setattr__" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("text", ["6_4", "٣", "３", "1_0.5", "", "0x10", "1e", "9" * 5000, "inf", "nan", "--1"])
def test_a_number_is_written_as_everybody_writes_numbers(text):
    for check in (an_integer, a_number):
        with pytest.raises(InvalidField):
            check("n", text)


def test_single_values_are_checked_to_the_edge():
    assert an_integer("n", 8.0) == 8 and isinstance(an_integer("n", 8.0), int)
    for bad in (8.5, "8.5", None):
        with pytest.raises(InvalidField, match="a whole number"):
            an_integer("n", bad)
    for bad in ("nan", "inf", float("inf"), None):
        with pytest.raises(InvalidField, match="a number"):
            a_number("n", bad)
    with pytest.raises(InvalidField, match="a number above 0 up to 2"):
        a_number("n", 0, 0, 2, above=True)
    assert a_number("n", 0, 0, 2) == 0
    assert a_text("t", "x" * 5, longest=5) == "xxxxx" and a_text("t", "") == ""
    for bad, allowed in (("x" * 6, "0 to 5"), (7, "0 to 5")):
        with pytest.raises(InvalidField, match=f"text of {allowed} characters"):
            a_text("t", bad, longest=5)
    with pytest.raises(InvalidField, match="text of 1 to 5 characters"):
        a_text("t", "", longest=5, empty=False)
    assert some_names("s", " b, a,b,, ", ("a", "b")) == "b,a"
    with pytest.raises(InvalidField, match=r"^s: received 'c'; allowed: none, or some of a, b"):
        some_names("s", "a,c", ("a", "b"))
    assert did_you_mean("Epoch", ["epochs", "seed"]) == "Did you mean 'epochs'?"
    assert did_you_mean("xyz", ["epochs"]) == ""


def test_a_long_value_is_shortened_in_the_message():
    message = str(InvalidField("f", "x" * 500, "less"))
    assert len(message) < 160 and "..." in message and message.endswith("; allowed: less.")


def test_messages_repeat_what_was_received():
    for field, value in (("bias.facets", "camera"), ("bias.positive_labels", [7])):
        with pytest.raises(InvalidField, match=re.escape(f"{field}: received {value!r}")):
            read(field, value)
    with pytest.raises(InvalidField, match=r"^r\.step: no such field; allowed: min, max, scale"):
        check_range("r", "learning_rate", {"min": 0.1, "max": 0.2, "step": 1})
    assert str(InvalidField("f", "x" * 500, "less")) == f"f: received '{'x' * 116}...; allowed: less."


def test_the_name_of_a_model_fits_into_the_names_that_are_made_of_it():
    assert read("name", "a" * LONGEST_MODEL_NAME) == "a" * LONGEST_MODEL_NAME
    with pytest.raises(InvalidField, match=rf"^name: received .* 1 to {LONGEST_MODEL_NAME} characters"):
        read("name", "a" * (LONGEST_MODEL_NAME + 1))


def test_the_plan_says_its_version_and_the_state_machine_gets_no_names():
    whole = plan()
    carried = whole.for_state()
    assert whole.schema_version == carried["schema_version"] == 1
    assert carried["dataset"] == {"fingerprint": "f" * 16, "counts": {"train": 10}, "left_out": 0}
    assert carried["explain"] == {"enabled": True} and carried["bias"] == {"enabled": False}


def test_what_was_written_of_a_plan_is_read_as_the_same_plan():
    facets = (Facet("camera", ("new", "old")), Facet("age", threshold=24.5))
    for asked in ({}, {"minutes": 5, "tuning": {"mode": "single_job"}}):
        execution = ExecutionInput.from_json({"dataset": DATASET, **asked})
        whole = planned(execution, bias=BiasPlan(True, "", facets, ("a",)))
        assert from_json(Plan, json.loads(json.dumps(whole.to_json()))) == whole
    evaluation = from_json(EvaluationPlan, json.loads(json.dumps(whole.for_evaluation())))
    assert evaluation == EvaluationPlan(("ant", "bee"), whole.bias, whole.quality_gate)
    assert whole.to_json()["bias"]["facets"][0] == {"name": "camera", "values": ["new", "old"]}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("name", 7, "name: received 7; allowed: a text"), ("name", None, "name: received None; allowed: a value"),
     ("dataset", [], "dataset: received \\[\\]; allowed: an object with fingerprint"),
     ("schema_version", True, "schema_version: received True; allowed: a whole number"),
     ("explain", {"enabled": 1, "photos": []}, "explain.enabled: received 1; allowed: true or false"),
     ("explain", {"enabled": True, "photos": "a"}, "explain.photos: received 'a'; allowed: a list"),
     ("explain", {"enabled": True, "photos": ["a", 1]}, "explain.photos\\[1\\]: received 1; allowed: a text"),
     ("training", {"hyperparameters": [], "instance_count": 1}, "training.hyperparameters: received \\[\\]; allowed: an object"),
     ("quality_gate", {"metric": "accuracy", "minimum": "0.5"}, "quality_gate.minimum: received '0.5'; allowed: a number")],
)  # fmt: skip
def test_a_plan_that_is_not_one_is_refused_by_the_place(field, value, said):
    with pytest.raises(InvalidField, match=f"^{said}"):
        from_json(Plan, plan().to_json() | {field: value})


def test_a_plan_of_a_newer_version_is_read_as_far_as_it_is_known():
    whole = plan(quality_gate={"minimum": 1})
    later = whole.to_json() | {"later": 1}
    assert from_json(Plan, later) == whole
    assert from_json(Plan, later | {"quality_gate": {"metric": "balanced_accuracy", "minimum": 1}}) == whole


def test_every_path_into_the_plan_that_a_state_reads_is_there():
    """A field that is renamed in contract/plan.py is found here, not by an execution."""
    carried = plan().for_state()
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "infra").rglob("*.py"))
    paths = set(re.findall(r"\$\.plan((?:\.[a-z_]+)+)", sources))
    assert len(paths) > 8
    for path in paths:
        part = carried
        for name in path[1:].split("."):
            assert name in part, path
            part = part[name]


@pytest.mark.parametrize(
    ("variable", "found"), [("AWS_REGION", "eu-a"), ("AWS_DEFAULT_REGION", "eu-b"), ("OTHER", None)]
)
def test_the_region_is_that_of_the_job_then_that_of_the_user(monkeypatch, variable, found):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, found or "x")
    assert region() == found
