"""`evaluate`: the numbers are right, the files fit their readers, and answers that do not fit are refused."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from contract import sheet
from contract.failure import JobFailure
from contract.photo_set.files import File
from contract.photo_set.questions import Placed
from tests.training_code.photo_sets import write
from training_code.evaluate import evaluate, probabilities_in
from training_code.measurement import measure
from training_code.prepare.inspection import Photo
from training_code.prepare.outputs import write_manifest

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ["ant", "bee", "wasp"]
PLAN = {
    "classes": CLASSES, "quality_gate": {"metric": "balanced_accuracy", "minimum": 0.6667},
    "bias": {"enabled": True, "reason": "", "positive_labels": ["wasp"],
             "facets": [{"name": "camera", "values": ["new", "old"]}, {"name": "age", "threshold": 20.0}]},
}  # fmt: skip


def answer(probabilities):
    best = int(np.argmax(probabilities))
    named = dict(zip(reversed(CLASSES), [float(p) for p in reversed(probabilities)], strict=True))
    return json.dumps(
        {"predictions": [{"label": CLASSES[best], "probability": probabilities[best], "probabilities": named}]}
    )


def write_job(folder, count=30, plan=PLAN):
    """Manifest, plan and answers of `count` test photos; every fifth is wrong. The true and the predicted classes."""
    rng = np.random.default_rng(1)
    rows, truth, predicted = [], [], []
    for number in range(count):
        label = number % 3
        guess = (label + 1) % 3 if number % 5 == 0 else label
        probabilities = rng.dirichlet([1, 1, 1]) * 0.4
        probabilities[guess] += 0.6
        key = f"{CLASSES[label]}/{number:016x}.png"
        write(folder / f"input/transform/{key}.out", answer(probabilities.tolist()))
        rows.append(
            [
                f"{number:016x}",
                f"test/ü {number}.png",
                CLASSES[label],
                "test",
                key,
                "old" if number % 2 else "new",
                number,
            ]
        )
        truth.append(label)
        predicted.append(guess)
    rows.append(["f" * 16, "train/1.png", "ant", "train", "", "old", 3])
    (folder / "input/prepared").mkdir(parents=True)
    with (folder / "input/prepared/manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(
            [["photo_id", "path", "label", "split", "object", "facet_camera", "facet_age"], *rows]
        )
    write(folder / "input/prepared/evaluation_plan.json", json.dumps(plan))
    return np.array(truth), np.array(predicted)


def test_the_measures_are_those_of_scikit_learn(tmp_path):
    truth, predicted = write_job(tmp_path)
    found = evaluate(tmp_path)
    assert found["n"] == 30
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(truth, predicted))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(truth, predicted))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(truth, predicted, average="macro"))
    assert found["confusion_matrix"] == reference.confusion_matrix(truth, predicted).tolist()
    precision, recall, _, support = reference.precision_recall_fscore_support(truth, predicted)
    for i, name in enumerate(CLASSES):
        assert found["per_class"][name]["precision"] == pytest.approx(precision[i], abs=1e-6)
        assert found["per_class"][name]["recall"] == pytest.approx(recall[i], abs=1e-6)
        assert found["per_class"][name]["n"] == support[i]
    assert found["worst_class_recall"] == pytest.approx(min(recall))
    assert found["quality_gate"]["passed"]
    assert found["facets"]["camera"]["new"]["n"] == 15
    assert set(found["facets"]["age"]) == {"≤ 20", "> 20"}
    low, high = found["intervals"]["accuracy"]
    assert low < found["accuracy"] < high


def test_predictions_have_a_row_a_test_photo_with_all_probabilities_and_facets(tmp_path):
    _, predicted = write_job(tmp_path)
    evaluate(tmp_path)
    with (tmp_path / "output/evaluation/predictions.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [
        "file", "label", "predicted_label", "probability:ant", "probability:bee", "probability:wasp", "camera", "age",
    ]  # fmt: skip
    assert [row["predicted_label"] for row in rows] == [CLASSES[i] for i in predicted]
    assert rows[7]["file"] == "test/ü 7.png"
    assert all(sum(float(row[f"probability:{name}"]) for name in CLASSES) == pytest.approx(1, abs=1e-4) for row in rows)


def test_the_measurement_of_bias_is_configured_for_clarify(tmp_path):
    write_job(tmp_path)
    evaluate(tmp_path)
    config = json.loads((tmp_path / "output/bias-input/config/analysis_config.json").read_text())
    assert config["headers"] == ["label", "predicted_label", "camera", "age"]
    assert config["label_values_or_threshold"] == ["wasp"]
    assert config["facet"] == [{"name_or_index": "camera"}, {"name_or_index": "age", "value_or_threshold": [20.0]}]
    with (tmp_path / "output/bias-input/data/predictions.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert len(rows) == 30
    assert {len(row) for row in rows} == {len(config["headers"])}


def test_without_facets_nothing_is_measured_and_no_output_stays_empty(tmp_path):
    write_job(
        tmp_path,
        plan={
            **PLAN,
            "bias": {"enabled": False, "reason": "no metadata.csv", "facets": [], "positive_labels": ["ant"]},
        },
    )
    evaluate(tmp_path)
    for name in ("config", "data"):
        assert json.loads((tmp_path / f"output/bias-input/{name}/skipped.json").read_text()) == {
            "reason": "no metadata.csv"
        }


def test_a_test_photo_without_an_answer_is_an_error(tmp_path):
    write_job(tmp_path)
    min((tmp_path / "input/transform/bee").iterdir()).unlink()
    with pytest.raises(
        JobFailure, match=r"1 of 30 test photos have no answer, first test/ü 1\.png \(bee/0+1\.png\.out\)"
    ):
        evaluate(tmp_path)


NO_ANSWERS = [
    b"[0.1, 0.9]", b"[[0.2, 0.3", b'{"error": "x"}', b"[0.9, 0.9, 0.9]", b"[NaN, 0.5, 0.5]", b"", b"[]",
    b'{"predictions": [{"probabilities": {"ant": 1, "bee": 0, "hornet": 0}}]}',
]  # fmt: skip


@pytest.mark.parametrize("data", NO_ANSWERS)
def test_what_is_no_answer_is_refused(data):
    with pytest.raises(JobFailure, match=r"x\.out holds no answer for 3 classes"):
        probabilities_in(data, CLASSES, "x.out")


@pytest.mark.parametrize("data", [b"[0.2, 0.3, 0.5]", b"[[0.2, 0.3, 0.5]]",
                                  b'{"predictions": [{"probabilities": {"wasp": 0.5, "ant": 0.2, "bee": 0.3}}]}'])  # fmt: skip
def test_all_forms_of_an_answer_mean_the_same(data):
    assert probabilities_in(data, CLASSES, "x.out").tolist() == [0.2, 0.3, 0.5]


@pytest.mark.parametrize("name", ["class{}", "c{} " + 240 * "x"])
def test_what_travels_through_the_state_machine_does_not_grow_with_classes_or_columns(tmp_path, name):
    names = [name.format(i) for i in range(200)]
    truth = np.arange(400) % 200
    details = measure(truth, np.eye(200)[truth], names, {}, {})
    assert details["accuracy"] == details["balanced_accuracy"] == 1
    assert len(details["confusion_matrix"]) == 200
    plan = {**PLAN, "classes": names}
    rows = [
        ["photo_id", "path", "label", "split", "object", *(f"facet_{column}" for column in range(90))],
        *([f"{i}", f"{i}.png", names[i], "test", f"{i}.png", *90 * [f"{i % 40} {name}"]] for i in range(200)),
    ]
    (tmp_path / "input/prepared").mkdir(parents=True)
    with (tmp_path / "input/prepared/manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    write(
        tmp_path / "input/prepared/evaluation_plan.json",
        json.dumps({**plan, "bias": {**PLAN["bias"], "enabled": False}}),
    )
    for i in range(200):
        write(tmp_path / f"input/transform/{i}.png.out", json.dumps(np.eye(200)[i].tolist()))
    evaluate(tmp_path)
    assert (tmp_path / "output/evaluation/evaluation.json").stat().st_size < 2_000
    assert len(json.loads((tmp_path / "output/evaluation/details.json").read_text())["confusion_matrix"]) == 200


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(1, 80), st.integers(0, 1000))
def test_measures_stay_within_their_bounds(classes, n, seed):
    rng = np.random.default_rng(seed)
    truth, probabilities = rng.integers(0, classes, n), rng.dirichlet(np.ones(classes), n)
    found = measure(truth, probabilities, [str(i) for i in range(classes)], {"f": ["x"] * n}, {})
    for name in (
        "accuracy",
        "balanced_accuracy",
        "worst_class_recall",
        "macro_f1",
        "expected_calibration_error",
        "baseline_accuracy",
    ):
        assert 0 <= found[name] <= 1
    assert sum(map(sum, found["confusion_matrix"])) == n
    assert found["facets"]["f"]["x"]["accuracy"] == pytest.approx(found["accuracy"], abs=1e-6)
    json.dumps(found, allow_nan=False)


def test_the_command_starts_without_pytorch_and_leaves_a_message_when_it_fails(tmp_path):
    write_job(tmp_path / "processing")
    code = (
        "import sys; from training_code.__main__ import main; code = main(['evaluate']); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    assert "accuracy=0.8000 (" in ended.stdout
    (tmp_path / "processing/input/prepared/evaluation_plan.json").unlink()
    failed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert failed.returncode == 1
    assert "run Prepare dataset again" in (tmp_path / "output/message").read_text()


def test_hostile_names_run_in_no_spreadsheet_and_reach_clarify_and_the_report_as_they_are(tmp_path):
    """The manifest is the one that `prepare` writes; the table of Clarify, which no person opens, has the texts themselves."""
    classes, file, facet = ["=1+1", "ant"], "-x.jpg", "@camera"
    photos = []
    for number in range(4):
        name = file if number == 0 else f"{number}.jpg"
        placed = Placed(File((name,), 9, None), classes[number % 2], "test", {facet: "+old" if number % 2 else "new"})
        photos.append(Photo(placed, photo_id=f"{number:016x}", split="test", width=9, height=9))
        answered = {"predictions": [{"probabilities": {"=1+1": 0.7, "ant": 0.3}}]}
        write(tmp_path / f"input/transform/c/{number}.jpg.out", json.dumps(answered))
    objects = {photo.photo_id: f"c/{number}.jpg" for number, photo in enumerate(photos)}
    write_manifest(tmp_path / "input/prepared/manifest.csv", photos, objects)
    bias = {"enabled": True, "reason": "", "positive_labels": ["=1+1"], "facets": [{"name": facet, "values": ["+old"]}]}
    write(tmp_path / "input/prepared/evaluation_plan.json", json.dumps({**PLAN, "classes": classes, "bias": bias}))
    found = evaluate(tmp_path)
    assert set(found["per_class"]) == set(classes)
    for table in ("input/prepared/manifest.csv", "output/evaluation/predictions.csv"):
        with (tmp_path / table).open(newline="", encoding="utf-8") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@")]
        assert "'=1+1" in cells
    with (tmp_path / "output/evaluation/predictions.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(sheet.read_rows(stream))
    assert (rows[0]["file"], rows[0]["label"], rows[1][facet]) == (file, "=1+1", "+old")
    assert [row["predicted_label"] for row in rows] == ["=1+1"] * 4
    with (tmp_path / "output/bias-input/data/predictions.csv").open(newline="", encoding="utf-8") as stream:
        assert list(csv.reader(stream))[1] == ["ant", "=1+1", "+old"]
    config = json.loads((tmp_path / "output/bias-input/config/analysis_config.json").read_text())
    assert config["headers"][-1] == facet
