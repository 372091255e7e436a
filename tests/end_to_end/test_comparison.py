"""`darkroom compare` through the deployed state machine: two that finish, one that cannot, and a second start."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MEASURED = (
    "accuracy", "balanced_accuracy", "loss", "validation_accuracy", "training_seconds", "latency_p50_ms", "latency_p99_ms",
    "seconds_per_photo", "peak_memory_bytes", "memory_bytes", "parameters", "disk_bytes", "dollars_per_million",
)  # fmt: skip
MODELS = "efficientnet_lite0,random:squeezenet1_1,alexnet"


def ask(deployed, photos: Path, request: Path) -> tuple[dict, str]:
    answer = deployed("compare", "--data", str(photos), "--models", MODELS, "--input", str(request), "--json")
    return json.loads(answer.stdout), answer.stderr


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("comparison") / "input.json"
    path.write_text(json.dumps({"image_size": 96, "epochs": 3, "weights": {"disk_bytes": 1}}))
    return path


@pytest.fixture(scope="module")
def first(deployed, photos, asked) -> tuple[dict, str]:
    return ask(deployed, photos, asked)


def by_name(comparison: dict) -> dict[str, dict]:
    return {row["name"]: row for row in comparison["candidates"]}


def test_every_candidate_is_measured_in_the_same_way(first):
    rows = by_name(first[0])
    for name in ("efficientnet_lite0", "squeezenet1_1-random"):
        row = rows[name]
        assert row["status"] == "finished", row["reason"]
        for key in MEASURED:
            assert row[key] is not None, f"{name}: {key}"
        low, high = row["accuracy_interval"]
        assert low <= row["accuracy"] <= high and high - low > 0
    assert rows["efficientnet_lite0"]["n"] == rows["squeezenet1_1-random"]["n"] > 0
    assert rows["efficientnet_lite0"]["parameters"] > rows["squeezenet1_1-random"]["parameters"]


def test_a_candidate_without_weights_is_reported_with_its_reason_and_stops_no_other(first):
    comparison, told = first
    row = by_name(comparison)["alexnet"]
    assert row["status"] == "failed"
    assert "alexnet" in row["reason"] and "darkroom weights add" in row["reason"]
    assert re.search(r"^failed  alexnet: .*weights", told, re.MULTILINE)


def test_random_weights_are_labelled_and_never_recommended(first):
    comparison, told = first
    assert by_name(comparison)["squeezenet1_1-random"]["pretrained"] is False
    assert "random weights, an architecture smoke test: squeezenet1_1-random" in told
    assert {advice["candidate"] for advice in comparison["recommendations"]} == {"efficientnet_lite0"}
    assert any("weights" in advice["purpose"] for advice in comparison["recommendations"])


def test_the_estimate_is_said_before_anything_is_trained(first):
    told = first[1]
    assert 0 <= told.index("estimate: ") < told.index("trained   efficientnet_lite0")
    assert by_name(first[0])["alexnet"]["estimate_seconds"] > 0


def test_the_page_stands_alone_and_shows_photos(first):
    page = Path(first[0]["report"]).read_text()
    assert "<svg" in page
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert "@import" not in page and "url(" not in page
    assert "smoke test" in page
    photos = page.partition("disagree</h2>")[2]
    assert "data:image/jpeg;base64," in photos
    assert "picture not available" not in photos


def test_the_table_is_there_for_a_spreadsheet_too(first):
    lines = Path(first[0]["report"]).with_suffix(".csv").read_text().splitlines()
    assert len(lines) == 4
    assert {"name", "accuracy", "dollars_per_million"} <= set(lines[0].split(","))


def test_a_second_start_trains_and_measures_nothing_again(first, deployed, photos, asked):
    again, told = ask(deployed, photos, asked)
    assert not re.search(r"(trained|measured)  ", told)
    before = by_name(first[0])
    for name, row in by_name(again).items():
        assert row["latency_p50_ms"] == before[name]["latency_p50_ms"]
        assert row["status"] == before[name]["status"]


def test_a_budget_that_fits_nothing_is_refused_with_the_quickest_candidate(deployed, photos, asked):
    answer = deployed(
        "compare", "--data", str(photos), "--models", MODELS, "--input", str(asked), "--budget", "0.01", check=False
    )
    assert answer.returncode == 1
    assert "budget_minutes: received 0.01" in answer.stderr
    assert "trained  " not in answer.stdout + answer.stderr
