"""`prepare` as SageMaker runs it: one process, an input folder, output folders, one message when it fails."""

import csv
import json
import os
import random
import re
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contract.execution_input import ExecutionInput
from contract.json_form import from_json
from contract.photo_set.files import File
from contract.photo_set.questions import Placed
from contract.plan import STATE_FILE, BiasPlan, Facet, Plan
from tests.browser import fits
from tests.plans import planned
from tests.training_code.photo_sets import photo, write, write_request, write_set
from training_code.__main__ import main
from training_code.features.feature_set import FeatureSet
from training_code.prepare.command import prepare, read_request
from training_code.prepare.inspection import Photo
from training_code.prepare.outputs import write_explain
from training_code.prepare.photo_pack import PhotoPack, write_pack
from training_code.prepare.selection import SPLITS

ROOT = Path(__file__).resolve().parents[2]


def run(command, base, **environment):
    return subprocess.run(
        [sys.executable, "-m", "training_code", *command], cwd=ROOT, text=True, capture_output=True, timeout=200,
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(base), **environment},
    )  # fmt: skip


@pytest.fixture(scope="module", name="prepared")
def prepared_job(tmp_path_factory):
    """One whole job on a small set with facets and with what real folders hold; a second one on the cache."""
    base = tmp_path_factory.mktemp("opt-ml")
    data = base / "processing/input/dataset"
    write_set(data, {"ants": 24, "bees 'n' wasps 🐝": 12}, "train")
    write_set(data, {"ants": 6, "bees 'n' wasps 🐝": 5}, "test", first=60)
    write(data / "train/ants/empty.png", b"")
    write(data / "train/ants/leak.png", photo("ants", 61))
    write(data / 'train/ants/1 "x".jpg', photo("ants", 300, "JPEG"))
    write(data / "test/ants/web.webp", photo("ants", 301, "WEBP", lossless=True))
    os.symlink(data / "train/ants/000.png", data / "train/ants/link.png")
    rows = [f"test/{label}/{n:03d}.png,{'old' if n % 2 else 'new'}" for label, last in (("ants", 66), ("bees 'n' wasps 🐝", 65))
            for n in range(60, last)]  # fmt: skip
    write(data / "metadata.csv", "file_name,camera\n" + "\n".join(rows) + "\n")
    write_request(base, model="squeezenet1_1", name="insects", seed=3, hyperparameters={"flip_view": True})
    cache = {"FEATURE_CACHE_URI": f"file://{base}/cache"}
    first = run(["prepare", "--model-name", "darkroom-dev-1-model"], base, **cache)
    assert first.returncode == 0, first.stderr
    uncached = FeatureSet.read(base / "processing/output/features")
    features = {name: np.array(getattr(uncached.train, name)) for name in ("features", "flipped")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATURE_CACHE_URI", cache["FEATURE_CACHE_URI"])
        prepare(
            ExecutionInput.from_json(read_request(base / "processing")), "darkroom-dev-1-model", base / "processing"
        )
    return base / "processing/output", first, features


def manifest_of(out):
    with (out / "prepared/manifest.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_the_plan_says_what_the_state_machine_needs(prepared):
    out, first, _ = prepared
    plan = json.loads((out / "plan/plan.json").read_text())
    assert plan["dataset"]["classes"] == ["ants", "bees 'n' wasps 🐝"]
    assert plan["dataset"]["counts"] == {"train": 30, "validation": 7, "test": 12}
    assert plan["dataset"]["left_out"] == 2
    assert json.loads((out / STATE_FILE).read_text()) == from_json(Plan, plan).for_state()
    assert plan["bias"]["enabled"]
    assert plan["bias"]["facets"] == [{"name": "camera", "values": ["new", "old"]}]
    assert plan["explain"]["enabled"]
    assert plan["training"]["hyperparameters"]["model"] == "squeezenet1_1"
    assert "features: 0 in the cache, 67 to compute" in first.stdout


def test_what_the_state_machine_carries_of_the_plan_does_not_grow_with_classes_photos_or_columns():
    """The state of an execution is limited to 256 KiB."""

    def carried(many: int) -> str:
        names = [f"{i:05d} {200 * 'x'}" for i in range(many)]
        asked = {"dataset": "s3://some-bucket/x.zip", "quality_gate": {"minimum": 0.1}}
        bias = BiasPlan(True, f"not {names}", tuple(Facet(name) for name in names), tuple(names))
        plan = planned(ExecutionInput.from_json(asked), classes=names, bias=bias)
        return json.dumps(replace(plan, explain=replace(plan.explain, photos=tuple(names))).for_state())

    assert carried(5000) == carried(2)


@pytest.mark.slow
def test_every_photo_is_in_the_manifest_with_its_place_or_the_reason_why_not(prepared):
    out = prepared[0]
    rows = manifest_of(out)
    assert Counter(row["split"] for row in rows) == {"train": 30, "validation": 7, "test": 12, "left_out": 2}
    assert {row["path"]: row["left_out"] for row in rows if row["left_out"]} == {
        "train/ants/empty.png": "empty", "train/ants/leak.png": "leakage",
    }  # fmt: skip
    assert {row["facet_camera"] for row in rows if row["split"] == "test"} == {"old", "new", ""}
    report = json.loads((out / "prepared/data_report.json").read_text())
    assert {finding["kind"] for finding in report["findings"]} >= {"empty", "leakage", "passed_over"}


@pytest.mark.slow
def test_test_photos_are_objects_with_plain_names_and_the_right_content(prepared):
    out = prepared[0]
    rows = {row["object"]: row for row in manifest_of(out) if row["split"] == "test"}
    found = {path.relative_to(out / "test").as_posix(): path for path in (out / "test").rglob("*") if path.is_file()}
    assert found.keys() == rows.keys()
    for name, path in found.items():
        assert re.fullmatch(r"(ants|bees-n-wasps)/[0-9a-f]{16}(-\d+)?\.(png|jpg)", name)
        assert path.read_bytes().startswith(b"\x89PNG")
    web = next(row for row in rows.values() if row["path"].endswith(".webp"))
    assert web["object"].endswith(".png")


@pytest.mark.slow
def test_no_test_photo_reaches_anything_that_training_reads(prepared):
    out = prepared[0]
    in_test = {row["photo_id"] for row in manifest_of(out) if row["split"] == "test"}
    features, pack = FeatureSet.read(out / "features"), PhotoPack(out / "photos")
    trained = set(features.train.ids) | set(features.validation.ids)
    assert trained == {packed.photo_id for packed in pack.photos}
    assert len(trained) == 37
    assert not trained & in_test
    bytes_in_test = {path.read_bytes() for path in (out / "test").rglob("*") if path.is_file()}
    assert not bytes_in_test & {pack.read(packed) for packed in pack.photos}
    for shard in (out / "photos").glob("*.zip"):
        assert not {name.rpartition(".")[0] for name in zipfile.ZipFile(shard).namelist()} & in_test


@pytest.mark.slow
def test_features_come_from_the_cache_the_second_time_and_are_the_same(prepared):
    out, _, before = prepared
    found = FeatureSet.read(out / "features")
    assert (found.facts["from_cache"], found.facts["computed"]) == (67, 0)
    assert np.array_equal(found.train.features, before["features"])
    assert np.array_equal(found.train.flipped, before["flipped"])
    assert not np.array_equal(before["features"], before["flipped"])
    assert found.validation.flipped is None


@pytest.mark.slow
def test_photos_to_explain_come_with_clarifys_configuration(prepared):
    out = prepared[0]
    config = json.loads((out / "explain/config/analysis_config.json").read_text())
    assert config["predictor"]["model_name"] == "darkroom-dev-1-model"
    assert config["predictor"]["endpoint_name_prefix"] == "darkroom-dev-1"
    assert config["label_headers"] == ["ants", "bees 'n' wasps 🐝"]
    photos = sorted(path.name for path in (out / "explain/photos").iterdir())
    plan = json.loads((out / "plan/plan.json").read_text())
    assert photos == sorted(f"{name}.png" for name in plan["explain"]["photos"])
    labels = {row["photo_id"]: row["label"] for row in manifest_of(out)}
    assert len({labels[name.removesuffix(".png")] for name in photos}) == 2


@pytest.mark.parametrize(("count", "ants", "bees"), [(2, 1, 1), (3, 2, 1), (6, 3, 3), (9, 6, 3), (99, 7, 3)])
def test_the_photos_to_explain_are_the_first_of_each_class_by_content(tmp_path, count, ants, bees):
    """In turns, so that a rare class is not left out; a data set that is renamed or packed anew has the same photos explained."""

    def explained(folder: str, seed: int) -> list[str]:
        photos = [of_test(label, n) for label, many in (("ants", 7), ("bees", 3)) for n in range(many)]
        random.Random(seed).shuffle(photos)
        return write_explain(
            tmp_path / folder, photos, lambda _: photo("ants", 1), count, ["ants", "bees"], "m-model", "i", 0
        )

    chosen = explained("one", 1)
    assert chosen[:2] == ["ants-0", "bees-0"]
    assert set(chosen) == {f"ants-{n}" for n in range(ants)} | {f"bees-{n}" for n in range(bees)}
    assert explained("other", 2) == chosen


def of_test(label: str, number: int) -> Photo:
    placed = Placed(File((label, f"{-number}.png"), 1, None), label, "test")
    return Photo(placed, f"{number:064x}", f"{label}-{number}", "png", 48, 40, split="test")


@pytest.mark.slow
def test_the_report_is_one_page_that_needs_no_network_and_escapes_names(prepared):
    path = prepared[0] / "prepared/data_report.html"
    page = path.read_text(encoding="utf-8")
    assert fits(path, 1280) and fits(path, 400)
    assert 'class="bar"' in page
    assert "data:image/jpeg;base64," in page
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "<script" not in page
    assert "1 &#34;x&#34;.jpg" in page or "bees &#39;n&#39; wasps" in page


def test_a_long_name_of_a_class_does_not_widen_the_report(tmp_path):
    from training_code.prepare import data_report

    label = "x" * 200
    dataset = {"classes": [label, "ant"], "counts": dict.fromkeys(SPLITS, 2), "left_out": 0, "fingerprint": "f" * 64,
               "class_counts": {split: {label: 1, "ant": 1} for split in SPLITS}}  # fmt: skip
    page = data_report._environment().get_template("data_report.html.jinja").render(
        name="photos", dataset=dataset, uri="s3://b/x/", total=6, notices=[f"a note about {label}"], alike=[], findings=[],
        bars=data_report._bars(dataset), samples=[(label, [])], hidden_classes=0, splits=SPLITS,
        bias={"enabled": False, "reason": f"no facet {label}"}, sizes="all 8 × 8 pixels",
    )  # fmt: skip
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    assert fits(tmp_path / "page.html", 1280) and fits(tmp_path / "page.html", 400)


FAILURES = [
    ({"model": "resnet81"}, "model: received 'resnet81'", "resnet18"),
    ({"model": "resnet18", "pretrained": True}, "weights", "darkroom weights add resnet18"),
    ({"hyperparameters": {"epoch": 3}}, "hyperparameters.epoch", "Did you mean 'epochs'?"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "what", "todo"), FAILURES, ids=["unknown model", "no weights", "unknown hyperparameter"]
)
def test_what_a_user_got_wrong_is_said_before_the_photos_are_looked_at(tmp_path, monkeypatch, fields, what, todo):
    write_request(tmp_path, **fields)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    assert main(["prepare"]) == 1
    message = (tmp_path / "output/message").read_text()
    assert what in message
    assert todo in message
    assert not (tmp_path / "processing/output").exists()


def test_a_job_without_a_request_says_so(tmp_path):
    assert run(["prepare"], tmp_path).returncode == 1
    assert (tmp_path / "output/message").read_text().startswith("execution input: received ''")


def test_a_request_that_was_encoded_twice_is_refused_with_the_cause(tmp_path):
    place = tmp_path / "processing/input/request/input.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(json.dumps({"dataset": "s3://bucket/photos.zip"})))
    assert run(["prepare"], tmp_path).returncode == 1
    message = (tmp_path / "output/message").read_text()
    assert message.startswith("execution input: received")
    assert "encoded twice" in message
    assert "Traceback" not in message


def test_an_unknown_command_is_refused_with_the_known_ones(tmp_path):
    ended = run(["prepar"], tmp_path)
    assert ended.returncode == 2
    assert "prepare, train, evaluate, health" in ended.stderr


def test_packed_photos_are_read_back_from_several_shards(tmp_path):
    data = {f"id{i}": bytes([i]) * (100 + i) for i in range(7)}
    photos = [(name, "ants", "train" if i % 2 else "validation", "png") for i, name in enumerate(data)]
    write_pack(tmp_path, photos, data.__getitem__, ["ants"], shard_bytes=250)
    pack = PhotoPack(tmp_path)
    assert {photo.photo_id: pack.read(photo) for photo in pack.photos} == data
    assert len(list(tmp_path.glob("*.zip"))) == 3
    assert zipfile.ZipFile(tmp_path / "photos-00000.zip").read("id0.png") == data["id0"]
    with pytest.raises(ValueError, match="holds train and validation only"):
        write_pack(tmp_path, [("x", "ants", "test", "png")], data.__getitem__, ["ants"])


def test_the_examples_of_this_test_are_valid_requests(tmp_path):
    request = json.loads(write_request(tmp_path, model="squeezenet1_1").read_text())
    assert ExecutionInput.from_json(request).image_size == 64
