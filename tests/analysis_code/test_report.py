"""The page of a run: numbers counted by hand, trials and times as AWS tells them, and what is missing said as missing."""

import csv
import io
import json
import re
import tarfile
from html.parser import HTMLParser
from types import MappingProxyType

import numpy as np
import pytest

from analysis_code.report.evaluation import evaluate
from analysis_code.report.inputs import Missing
from tests.browser import fits
from tests.inference_code.photos import encode, scene
from training_code.measurement import measure

CLASSES = ["ant", "bee", "wasp"]
NAUGHTY = "<script>alert(1)</script>"
OUTCOME = {
    "names": {"execution": "bees-1", "uri": "s3://artifacts/executions/bees-1", "arn": "arn:aws:states:us-east-1:0:execution:m:b"},
    "input": {"dataset": "s3://data/bees.zip", "name": "Bees & others", "seed": 7},
    "plan": {
        "dataset": {"classes": CLASSES, "fingerprint": "abc123"},
        "quality_gate": {"metric": "accuracy", "minimum": 0.5},
        "tuning": {"objective": {"Type": "Maximize", "MetricName": "validation:accuracy"}},
    },
    "tuning": {"job": "tune-1", "best_job": "trial-3", "hyperparameters": {"learning_rate": "0.01"}},
    "training": {
        "job": "train-1",
        "model_data": "s3://artifacts/executions/bees-1/training/train-1/output/model.tar.gz",
        "hyperparameters": {"model": "resnet18", "seed": "7", "fine_tune": "head"},
    },
    "gate": {"met": True},
    "registered": {"arn": "arn:aws:sagemaker:us-east-1:0:model-package/x/1"},
}  # fmt: skip
# (label, predicted, probability of the prediction)
ANSWERS = (
    [("ant", "ant", 0.9)] * 6
    + [("ant", "bee", 0.8)] * 2
    + [("bee", "bee", 0.7)] * 3
    + [("bee", "wasp", 0.95)]
    + [("wasp", "wasp", 0.6)] * 4
)


def predictions() -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", "label", "predicted_label", *(f"probability:{name}" for name in CLASSES), "garden"])
    for index, (label, said, probability) in enumerate(ANSWERS):
        row = [probability if name == said else (1 - probability) / 2 for name in CLASSES]
        writer.writerow([f"{label}/{index} {NAUGHTY}.jpg", label, said, *row, "north"])
    return text.getvalue()


def details() -> dict:
    """What Evaluate predictions says of these answers, by its own code."""
    truth = np.array([CLASSES.index(label) for label, _, _ in ANSWERS])
    answers = [[p if name == said else (1 - p) / 2 for name in CLASSES] for _, said, p in ANSWERS]
    return measure(truth, np.array(answers), CLASSES, {}, {})


def manifest() -> str:
    rows = ["photo_id,path,label,split,object"]
    rows += [
        f"t{index},{label}/t{index}.jpg,{label},train,"
        for index, label in enumerate(["ant"] * 8 + ["bee"] * 4 + ["wasp"] * 2)
    ]
    rows += [
        f"id{index},{label}/{index} {NAUGHTY}.jpg,{label},test,{label}/id{index}.jpg"
        for index, (label, _, _) in enumerate(ANSWERS)
    ]
    return "\n".join([*rows, "x,ant/broken.jpg,ant,left_out,"])


def archive(**files: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/").replace("_json", ".json"))
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def give_everything(job, aws, stopped_by=None, decisions=MappingProxyType({})):
    """`decisions`: what the training's training.json says; None: there is none."""
    job.give("outcome/outcome.json", OUTCOME)
    job.give("evaluation/predictions.csv", predictions())
    job.give("evaluation/details.json", details())
    job.give("prepared/manifest.csv", manifest())
    job.give(
        "prepared/data_report.json",
        {"findings": [{"title": "Dark photos", "count": 3, "treatment": "Kept; look at them."}]},
    )
    rules = [
        {
            "name": "Overfit",
            "status": "IssuesFound",
            "seen": "gap 0.4",
            "why": "It learns by heart.",
            "change": "Fewer epochs.",
        },
        {"name": "DeadRelu", "status": "NoIssuesFound", "seen": "2 %"},
        {"name": "LowGPUUtilization", "status": "NoData", "seen": "no GPU"},
    ]
    parts = [
        {"what": "initialisation", "seconds": 1.0},
        {"what": "evaluation", "seconds": 3.0},
        {"what": "none", "seconds": 0},
    ]
    health = {
        "rules": rules, "suggestion": {"change": "Use fewer epochs", "gain_seconds": 2.0}, "profile": {"parts": parts},
        "stopped_by": stopped_by,
    }  # fmt: skip
    job.give("health/health.json", health)
    job.give("health/profiler-report.html", "<html>profile</html>")
    job.give("bias/skipped.json", {"skipped": True, "reason": "the data set has no facet"})
    job.give("explanations/p.png", encode(scene(), "PNG"))
    image = {
        "file": "id0.png", "true_label": None, "predicted_label": "ant", "probability": 0.9, "blurred_probability": 0.3, "fit": 0.8,
        "segments": [], "photo": "p.png", "heat_map": "p.png",
    }  # fmt: skip
    job.give(
        "explanations/analysis.json",
        {"explanations": {"kernel_shap": {"num_segments": 9, "num_samples": 64, "images": [image]}}},
    )
    folder = "artifacts/executions/bees-1"
    epochs = "".join(json.dumps({"epoch": e, "train:loss": 1 / e, "validation:loss": 0.5, "validation:accuracy": v}) + "\n"
                     for e, v in ((1, 0.5), (2, 0.9), (3, 0.8)))  # fmt: skip
    aws.objects[f"{folder}/training/train-1/output/output.tar.gz"] = archive(
        epochs_jsonl=epochs,
        observations__epochs_jsonl="{}\n",
        **({} if decisions is None else {"training_json": json.dumps(dict(decisions))}),
    )
    for index in (6, 7, 11):
        label = ANSWERS[index][0]
        aws.objects[f"{folder}/test/{label}/id{index}.jpg"] = encode(scene(seed=index))
    aws.operations |= {
        "DescribeHyperParameterTuningJob": lambda request: tuning_job(request["HyperParameterTuningJobName"]),
        "ListTrainingJobsForHyperParameterTuningJob": trials,
        "DescribeTrainingJob": lambda request: training_job(request["TrainingJobName"]),
        "GetExecutionHistory": lambda request: {"events": history()},
    }


def tuning_job(name):
    objective = {"Type": "Maximize", "MetricName": "validation:accuracy"}
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {"Strategy": "Bayesian", "HyperParameterTuningJobObjective": objective},
    }


def trials(request):
    """Two pages, the best trial on the second; one trial failed."""

    def one(index, rate, value):
        summary = {
            "TrainingJobName": f"trial-{index}", "TrainingJobArn": "arn:aws:sagemaker:us-east-1:000000000000:training-job/x",
            "CreationTime": index, "TrainingStartTime": 100, "TrainingEndTime": 104.5,
            "TrainingJobStatus": "Completed" if value else "Failed",
            "TunedHyperParameters": {"learning_rate": rate, "batch_size": "32"},
        }  # fmt: skip
        if value:
            summary["FinalHyperParameterTuningJobObjectiveMetric"] = {
                "MetricName": "validation:accuracy",
                "Value": value,
            }
        return summary

    if request.get("NextToken") == "more":
        return {"TrainingJobSummaries": [one(3, "0.012345678", 0.93), one(4, "0.5", None)]}
    return {"TrainingJobSummaries": [one(1, "0.0001", 0.7), one(2, "0.1", 0.8)], "NextToken": "more"}


def training_job(name):
    return {
        "TrainingJobName": name, "TrainingJobArn": "arn:aws:sagemaker:us-east-1:000000000000:training-job/x",
        "TrainingJobStatus": "Completed",
        "HyperParameters": OUTCOME["training"]["hyperparameters"], "TrainingTimeInSeconds": 75,
        "AlgorithmSpecification": {"TrainingImage": "registry/training:1", "TrainingInputMode": "File"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "FinalMetricDataList": [{"MetricName": "validation:accuracy", "Value": 0.91, "Timestamp": 1}],
    }  # fmt: skip


def history():
    def event(number, at, kind, name):
        detail = "stateEnteredEventDetails" if kind.endswith("Entered") else "stateExitedEventDetails"
        return {"id": number, "timestamp": at, "type": kind, detail: {"name": name}}

    return [
        {"id": 1, "timestamp": 1000, "type": "ExecutionStarted"},
        event(2, 1000.5, "TaskStateEntered", "Prepare dataset"), event(3, 1020.5, "TaskStateExited", "Prepare dataset"),
        event(4, 1020.5, "ChoiceStateEntered", "Tuning wanted?"), event(5, 1020.51, "ChoiceStateExited", "Tuning wanted?"),
        event(6, 1021, "TaskStateEntered", "Train best model"), event(7, 1061, "TaskStateExited", "Train best model"),
        event(8, 1061, "TaskStateEntered", "Write report"),
    ]  # fmt: skip


class Page(HTMLParser):
    """Text by section, and everything that would reach outside or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sections: dict[str, str] = {}
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self._section = "top"
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        values = dict(attributes)
        if "id" in values:
            self._section = values["id"]
        self.links |= {value for name, value in attributes if name in ("src", "href", "srcset", "data") and value}

    def handle_data(self, data):
        self.sections[self._section] = " ".join(f"{self.sections.get(self._section, '')} {data}".split())


def report(job) -> Page:
    assert job.run("report") == 0
    return Page((job.output / "report" / "index.html").read_text())


def test_everything_there_is_shown(job, aws):
    give_everything(job, aws)
    page = report(job)
    assert "Bees & others" in page.sections["top"]
    assert (
        "resnet18" in page.sections["summary"]
        and "81.2" in page.sections["summary"]
        and "met" in page.sections["summary"]
    )
    assert "trial-3" in page.sections["tuning"] and "0.01235" in page.sections["tuning"]
    assert "ml.m5.xlarge" in page.sections["training"] and "validation:loss" in page.sections["training"]
    assert "It learns by heart." in page.sections["health"] and "1 had nothing to judge by" in page.sections["health"]
    assert "Use fewer epochs (about 2" in page.sections["health"]
    assert "evaluation" in page.sections["health"] and "75 %" in page.sections["health"]
    assert "Stopped by" not in page.sections["health"]
    assert "Dark photos" in page.sections["data"] and "30 photos in 3 classes" in page.sections["data"]
    assert f"ant/0 {NAUGHTY}.jpg" in page.sections["explanations"] and "right" in page.sections["explanations"]
    assert "the data set has no facet" in page.sections["bias"]
    assert "Train best model" in page.sections["timeline"] and "Tuning wanted?" not in page.sections["timeline"]
    assert "abc123" in page.sections["reproduce"] and "registry/training:1" in page.sections["reproduce"]
    assert [text for name, text in page.sections.items() if "is missing" in text] == [page.sections["bias"]]


def test_a_training_that_a_rule_stopped_is_named_so(job, aws):
    give_everything(job, aws, stopped_by={"name": "Overfit", "seen": "validation loss rises since epoch 3"})
    page = report(job)
    assert "Stopped by Overfit" in page.sections["health"] and "since epoch 3" in page.sections["health"]
    assert job.result("report/results.json")["health"]["stopped_by"] == "Overfit"


REFIT = {"refit": {"photos": 14, "epochs": 3}}
STOPPED = {"stopped": {"by": "signal", "epoch": 2, "step": 9, "kept_epoch": 2}}


@pytest.mark.parametrize(
    ("asked", "decisions", "said", "unsaid"),
    [
        (False, {}, "Dashed: the best epoch, whose weights were kept.", "trained once more"),
        (True, REFIT, "on all 14 training and validation photos for 3 epochs; the weights of its last epoch were kept", "whose weights"),
        (True, STOPPED, "whose weights were kept. The refit that was asked for was not done", "last epoch"),
        (True, None, "whether it was done is not known (the training's output.tar.gz holds no training.json)", "were kept"),
    ],
)  # fmt: skip
def test_which_weights_are_served_is_said_by_what_the_training_did(
    job, aws, monkeypatch, asked, decisions, said, unsaid
):
    monkeypatch.setitem(OUTCOME["training"]["hyperparameters"], "refit", str(asked).lower())
    give_everything(job, aws, decisions=decisions)
    page = report(job)
    assert said in page.sections["training"] and unsaid not in page.sections["training"]
    assert ("refitted" in page.sections["summary"]) is (asked and decisions is not STOPPED)


SOLVED = {
    "solver": "exact", "depths": 4, "strength": 0.01, "judged_by": "folds of all photos", "learnt_from": 14, "decision": "plain",
    "decisions": {
        "plain": {"validation:accuracy": 0.8725, "validation:balanced_accuracy": 0.827},
        "balanced": {"validation:accuracy": 0.8475, "validation:balanced_accuracy": 0.851},
    },
}  # fmt: skip


PLAIN_NUMBERS, BALANCED_NUMBERS = "accuracy 0.873, balanced accuracy 0.827", "accuracy 0.848, balanced accuracy 0.851"


@pytest.mark.parametrize(
    ("decided", "first", "second", "switch"),
    [
        ("plain", f"every photo counts the same: {PLAIN_NUMBERS}", "class to count the same, 0.848 and 0.851", "loss"),
        (
            "balanced",
            f"every class counts the same: {BALANCED_NUMBERS}",
            "photo to count the same, 0.873 and 0.827",
            "none",
        ),
    ],
)
def test_a_solved_head_says_what_was_kept_and_what_the_other_decision_would_give(
    job, aws, decided, first, second, switch
):
    give_everything(job, aws, decisions=SOLVED | {"decision": decided})
    said = report(job).sections["training"]
    assert "learnt from 14 photos, with features of 4 depths" in said and "best epoch" not in said
    assert first in said and second in said and f"class_balance = {switch}" in said


def test_a_model_that_learnt_from_the_validation_photos_too_is_said_to_have(job, aws, monkeypatch):
    give_everything(job, aws)
    assert "refitted" not in report(job).sections["summary"]
    monkeypatch.setitem(OUTCOME["training"]["hyperparameters"], "refit", "true")
    give_everything(job, aws, decisions=REFIT)
    assert "refitted on training and validation photos" in report(job).sections["summary"]


def test_the_trials_of_a_search_inside_one_job_are_read_from_its_output(job, aws):
    give_everything(job, aws)
    plan = {**OUTCOME["plan"], "tuning": {**OUTCOME["plan"]["tuning"], "mode": "single_job"}}
    job.give("outcome/outcome.json", {**OUTCOME, "plan": plan})
    found = [
        {
            "number": number,
            "hyperparameters": {"learning_rate": rate},
            "objective": value,
            "state": state,
            "seconds": 0.4,
        }
        for number, rate, value, state in (
            (0, "0.0013", 0.7, "Completed"),
            (1, "0.077", 0.95, "Stopped"),
            (3, "0.05", 0.95, "Completed"),
            (2, "9", None, "Failed"),
        )
    ]
    trials = {"objective": "validation:accuracy", "maximize": True, "seconds": 1.2, "best": 3, "trials": found}
    place = "artifacts/executions/bees-1/training/train-1/output/output.tar.gz"
    aws.objects[place] = archive(trials_json=json.dumps(trials))
    page = report(job)
    assert (
        "4 trials" in page.sections["tuning"]
        and "trial 1" in page.sections["tuning"]
        and "0.077" in page.sections["tuning"]
    )
    results = json.loads((job.output / "report" / "results.json").read_text())
    assert results["tuning"]["best_hyperparameters"] == {"learning_rate": "0.05"}, (
        "of two equal ones, the one that was trained"
    )
    aws.objects[place] = archive(trials_json="no JSON")
    assert "cannot be read" in report(job).sections["tuning"]


def test_the_page_needs_nothing_and_runs_nothing(job, aws):
    give_everything(job, aws)
    page = report(job)
    assert "script" not in page.tags and not {"iframe", "object", "embed"} & page.tags
    assert all(link.startswith(("data:", "#")) for link in page.links - {"profiler-report.html", "data_report.html"})
    assert "profile" in (job.output / "report" / "profiler-report.html").read_text()  # it lies beside the page
    text = (job.output / "report" / "index.html").read_text()
    assert NAUGHTY not in text and "url(" not in text and "@import" not in text


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_fits_into_a_window(job, aws, width):
    give_everything(job, aws)
    report(job)
    assert fits(job.output / "report" / "index.html", width)


def test_the_numbers_are_there_for_programs(job, aws):
    give_everything(job, aws)
    report(job)
    found = job.result("report/results.json")
    assert found["tuning"]["trials"] == 4
    assert found["tuning"]["best_hyperparameters"] == {"learning_rate": "0.012345678", "batch_size": "32"}
    assert found["tuning"]["best_objective"] == 0.93
    assert found["test"]["accuracy"] == pytest.approx(13 / 16)
    assert found["test"]["balanced_accuracy"] == pytest.approx((6 / 8 + 3 / 4 + 1) / 3)
    assert found["test"]["n"] == 16
    assert found["health"] == {"rules": 3, "issues": ["Overfit"], "stopped_by": None}
    assert found["model"]["model_package_arn"].endswith("model-package/x/1")
    assert set(found["missing"]) == {"bias"}


def test_the_worst_mistakes_are_shown_surest_first_with_their_photos(job, aws):
    give_everything(job, aws)
    text = (job.output / "report" / "index.html") if report(job) else None
    found = re.findall(r'<img alt="([^"]+)" src="data:image/jpeg', text.read_text())
    assert [name.split(" ")[0] for name in found] == ["bee/11", "ant/6", "ant/7"]


def test_a_run_of_which_nothing_is_left_still_has_a_page_that_says_so(job, aws):
    page = report(job)
    for section in ("evaluation", "data", "tuning", "training", "health", "explanations", "bias", "timeline"):
        assert "is missing" in page.sections[section], section
    found = job.result("report/results.json")
    assert (found["tuning"], found["test"], found["bias"]) == (None, None, None)
    assert {"outcome", "plan", "evaluation", "tuning", "bias", "timeline"} <= set(found["missing"])
    assert "%" not in page.sections["summary"]  # no number is invented


@pytest.mark.parametrize(
    ("name", "section"),
    [("evaluation/predictions.csv", "evaluation"), ("evaluation/details.json", "evaluation"),
     ("prepared/manifest.csv", "data"), ("health/health.json", "health"),
     ("explanations/analysis.json", "explanations")],
)  # fmt: skip
@pytest.mark.parametrize("content", [None, "\x00\x01 damaged"])
def test_one_missing_or_damaged_piece_costs_only_its_own_section(job, aws, name, section, content):
    give_everything(job, aws)
    (job.input / name).unlink()
    if content is not None:
        job.give(name, content)
    page = report(job)
    assert "is missing" in page.sections[section]
    others = {"evaluation", "data", "health", "explanations", "tuning", "timeline"} - {section}
    assert not [
        other for other in others if "is missing" in page.sections[other].replace("Pictures of these is missing", "")
    ]


def test_what_aws_does_not_tell_is_missing_with_its_answer(job, aws):
    give_everything(job, aws)
    del aws.operations["GetExecutionHistory"], aws.operations["ListTrainingJobsForHyperParameterTuningJob"]
    page = report(job)
    assert "not allowed to perform GetExecutionHistory" in page.sections["timeline"]
    assert "not allowed to perform ListTrainingJobs" in page.sections["tuning"]
    assert "learning_rate = 0.01" in page.sections["tuning"]  # the state machine noted the best
    found = job.result("report/results.json")
    assert found["tuning"]["best_hyperparameters"] == {"learning_rate": "0.01"}
    assert set(found["unreadable"]) == {"tuning", "timeline"}
    assert "bias" in found["missing"]  # skipped on purpose: nothing that anybody failed to read


def test_trials_that_cannot_be_read_are_said_at_the_top_of_the_page_and_in_the_log(job, aws, caplog):
    give_everything(job, aws)
    assert "Could not be read" not in report(job).sections["summary"]
    del aws.operations["ListTrainingJobsForHyperParameterTuningJob"]
    assert "Could not be read: tuning" in report(job).sections["summary"]
    assert [one for one in caplog.records if one.levelname == "ERROR" and "missing: tuning" in one.getMessage()]


def test_an_outcome_that_was_encoded_twice_is_refused_with_the_cause(job, aws):
    give_everything(job, aws)
    job.give("outcome/outcome.json", json.dumps(json.dumps(OUTCOME)))
    page = report(job)
    assert "encoded twice" in page.sections["summary"]
    assert "encoded twice" in job.result("report/results.json")["unreadable"]["outcome"]


def test_names_on_the_command_line_go_before_noted_ones(job, aws):
    give_everything(job, aws)
    assert (
        job.run("report", "--tuning-job", "other-tune", "--training-job", "other-train", "--execution-arn", "arn:other")
        == 0
    )
    asked = {name: request for name, request in aws.calls}
    assert asked["DescribeHyperParameterTuningJob"] == {"HyperParameterTuningJobName": "other-tune"}
    assert asked["DescribeTrainingJob"] == {"TrainingJobName": "other-train"}
    assert asked["GetExecutionHistory"]["executionArn"] == "arn:other"


def test_the_measures_are_those_of_the_textbook():
    rows = list(csv.DictReader(io.StringIO(predictions())))
    found = evaluate(details(), rows)
    assert found.confusion == [[6, 2, 0], [0, 3, 1], [0, 0, 4]]
    assert found.majority == 8 / 16
    bee = found.per_class[1]
    assert (bee.photos, bee.recall, bee.precision, bee.confused_with) == (4, 3 / 4, 3 / 5, "wasp")
    assert bee.f1 == pytest.approx(2 * 3 / (4 + 5))
    low, high = found.accuracy_interval
    assert (low, high) == pytest.approx((0.5699, 0.9341), abs=1e-3)  # Wilson, 13 of 16
    # Fifteen bins, so one for each stated probability: 4 right of 4, 3 of 3, 0 of 2, 6 of 6, 0 of 1.
    assert found.calibration_error == pytest.approx((4 * 0.4 + 3 * 0.3 + 2 * 0.8 + 6 * 0.1 + 0.95) / 16)


def test_the_page_says_what_the_evaluation_decided_and_counts_nothing_again():
    told = details() | {"accuracy": 0.123, "balanced_accuracy": 0.456, "expected_calibration_error": 0.789}
    told["intervals"] = {"accuracy": [0.1, 0.2], "balanced_accuracy": [0.4, 0.5]}
    found = evaluate(told, list(csv.DictReader(io.StringIO(predictions())))).results()
    assert found == {
        "accuracy": 0.123, "accuracy_interval": [0.1, 0.2], "balanced_accuracy": 0.456,
        "balanced_accuracy_interval": [0.4, 0.5], "n": 16, "expected_calibration_error": 0.789,
    }  # fmt: skip


def test_a_score_that_divides_by_no_photo_is_none():
    told = measure(np.array([0, 0]), np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]), CLASSES, {}, {})
    _, bee, wasp = evaluate(told, list(csv.DictReader(io.StringIO(predictions())))).per_class
    assert (bee.photos, bee.recall, bee.precision) == (0, None, 0)
    assert (wasp.recall, wasp.precision, wasp.f1) == (None, None, None)


@pytest.mark.parametrize("rows", [[], [{"photo": "a"}]])
def test_predictions_of_another_shape_are_missing(rows):
    assert isinstance(evaluate(details(), rows), Missing)


@pytest.mark.parametrize("piece", ["calibration", "intervals", "per_class", "confusion_matrix"])
def test_an_evaluation_of_another_shape_is_missing_with_what_it_lacks(piece):
    told = details()
    del told[piece]
    found = evaluate(told, list(csv.DictReader(io.StringIO(predictions()))))
    assert isinstance(found, Missing) and piece in found.reason


def test_the_best_trial_is_the_one_that_the_tuning_job_named_where_objectives_are_equal():
    from analysis_code.report.training import Trial, Tuning

    equal = [Trial(name, "Completed", {}, 0.977679, 1.0) for name in ("tune-001", "tune-002")]
    assert Tuning("tune", "validation:accuracy", True, equal, "tune-002").best.name == "tune-002"
    assert Tuning("tune", "validation:accuracy", True, equal).best is None, "nobody said which was trained"
