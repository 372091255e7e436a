"""Comparing candidates: the statistics against textbook values, the ranking rules, and the files for whole runs."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import asdict, replace
from itertools import combinations

import numpy as np
import pytest

from analysis_code.comparison.candidates import read_candidates
from analysis_code.comparison.charts import Look, linear_ticks, log_ticks, scatter
from analysis_code.comparison.command import compare as compare_as_asked
from analysis_code.comparison.command import winner, write
from analysis_code.comparison.page import render
from analysis_code.comparison.photos import disagreements, user_names
from analysis_code.comparison.prices import Prices
from analysis_code.comparison.recommend import pareto_front, recommend
from analysis_code.comparison.statistics import (
    Pair,
    compare_pairs,
    mcnemar_p,
)
from contract import sheet
from contract.failure import JobFailure
from contract.instances import Instances
from contract.measures import balanced_accuracy
from tests.browser import fits, in_browser

CLASSES = ["ants", "bees", "wasps"]


def compare(candidates, request, prices):
    """The request as `prepare-comparison` leaves it: with the instances that the state machine decided."""
    return compare_as_asked(candidates, {"instances": asdict(Instances())} | request, prices)


def write_candidate(folder, name, hits, labels, latency, size):
    """A candidate's folder as its benchmark job leaves it; `hits` says which test photos it gets right."""
    target = folder / name
    target.mkdir(parents=True)
    answers = np.where(hits, labels, (labels + 1) % len(CLASSES))
    probabilities = np.full((len(labels), len(CLASSES)), 0.1)
    probabilities[np.arange(len(labels)), answers] = 0.8
    judged = {"accuracy": float(hits.mean()), "balanced_accuracy": balanced_accuracy(labels, answers), "loss": 0.4}
    benchmark = {
        "evaluations": {"test": judged},
        "latency": {
            "batch_1": {"p50_ms": latency, "p99_ms": latency * 2},
            "best_batch": {"batch": 8, "seconds_per_photo": latency / 2e3},
        },
        "size": {"parameters": size // 4, "memory_bytes": size, "disk_bytes": size},
        "peak_memory_bytes": size * 3,
        "training_seconds": 36.0,
        "extraction_seconds": 12.0,
    }
    (target / "benchmark.json").write_text(json.dumps(benchmark))
    (target / "manifest.json").write_text(json.dumps({"classes": CLASSES}))
    (target / "epochs.jsonl").write_text('{"epoch": 1, "train:loss": 1.0, "validation:loss": 1.1}\n' * 2)
    ids = np.array([f"bees/{i}.jpg" for i in range(len(labels))])
    np.savez(
        target / "predictions.npz",
        **{"test/labels": labels, "test/probabilities": probabilities, "test/photo_ids": ids},
    )


@pytest.fixture
def three(tmp_path):
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 300)
    draw = random.random(300)
    write_candidate(tmp_path, "large", draw < 0.95, labels, 40.0, 200_000_000)
    write_candidate(tmp_path, "middle", draw < 0.945, labels, 12.0, 20_000_000)
    write_candidate(tmp_path, "small", draw < 0.7, labels, 4.0, 5_000_000)
    describe = {"framework": "PyTorch", "weights": "ImageNet"}
    outcomes = [
        {"candidate": {"name": name, "description": describe | {"model": name}}, "state": "measured"}
        for name in ("large", "middle", "small")
    ]
    cause = json.dumps({"FailureReason": "AlgorithmError: <no weights> for broken"})
    outcomes.append({"candidate": {"name": "broken", "description": describe}, "state": "failed", "cause": cause})
    return read_candidates(tmp_path, outcomes)


def test_mcnemar_is_the_exact_binomial_test_on_the_disagreements():
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(1, 9) == pytest.approx(2 * (1 + 10) / 2**10)


def test_holm_never_makes_a_pair_more_significant():
    random = np.random.default_rng(0)
    correct = {name: random.random(80) < p for name, p in (("a", 0.9), ("b", 0.85), ("c", 0.4))}
    pairs = compare_pairs(correct)
    assert len(pairs) == 3
    assert all(p.p_holm >= p.p for p in pairs)
    assert {(p.a, p.b) for p in pairs if p.distinguishable} == {("a", "c"), ("b", "c")}


def test_the_pareto_front_leaves_out_what_another_beats_in_both():
    rows = [
        {"name": "good", "balanced_accuracy": 0.9, "ms": 10},
        {"name": "worse", "balanced_accuracy": 0.8, "ms": 20},
        {"name": "fast", "balanced_accuracy": 0.7, "ms": 1},
        {"name": "unmeasured", "balanced_accuracy": 0.99, "ms": None},
    ]
    assert pareto_front(rows, "ms") == {"good", "fast"}


def test_nobody_is_called_cheapest_when_none_reaches_the_wish(three):
    result = compare(three, {"minimum": 0.999}, Prices.read())
    cheapest = next(r for r in result["recommendations"] if r["purpose"].startswith("Cheapest"))
    assert cheapest["candidate"] is None
    assert "99.9%" in cheapest["reason"]


def test_the_cheapest_is_one_that_cannot_be_told_from_the_best(three):
    by_purpose = {r["purpose"]: r["candidate"] for r in compare(three, {}, Prices.read())["recommendations"]}
    assert by_purpose["Most accurate"] == "large"
    assert by_purpose["Cheapest that is accurate enough"] == "middle"
    assert by_purpose["Smallest"] == by_purpose["Fastest"] == "small"


def test_the_users_weights_decide(three):
    rows = compare(three, {"weights": {"disk_bytes": 1.0}}, Prices.read())["recommendations"]
    assert next(r for r in rows if r["purpose"] == "By your weights")["candidate"] == "small"


def test_a_failed_candidate_is_reported_with_its_reason_and_stops_nobody(three, tmp_path):
    result = compare(three, {"base": "large"}, Prices.read())
    page = render(result, three, disagreements(three, None, {}))
    write(result, page, tmp_path / "out")
    assert "AlgorithmError: &lt;no weights&gt; for broken" in page
    assert {r["name"]: r["status"] for r in result["candidates"]}["broken"] == "failed"
    with (tmp_path / "out" / "comparison.csv").open() as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["large", "middle", "small", "broken"]
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["relative"]["small"]["latency_p50_ms"] == 0.1
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_base_that_failed_is_said_and_nothing_is_shown_relative_to_it(three):
    result = compare(three, {"base": "broken"}, Prices.read())
    assert result["base_failed"]
    assert result["relative"] == {}


def test_photos_of_disagreement_are_those_where_right_and_wrong_divide(three):
    photos = disagreements(three, None, {})
    assert photos
    for photo in photos:
        assert len({label for label, _ in photo.answers.values()}) > 1


def test_photos_of_disagreement_are_called_as_in_the_users_folder(three, tmp_path):
    """Also names that the manifest had to mark, and that are no HTML."""
    objects = {f"bees/{i}.jpg": f"-my <bees>/{i}.jpg" for i in range(300)}
    with (tmp_path / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        sheet.write_rows(stream, [["object", "path"], *objects.items(), ["", "train/1.jpg"]])
    photos = disagreements(three, None, user_names(tmp_path / "manifest.csv"))
    assert photos
    assert {photo.name for photo in photos} <= set(objects.values())
    page = render(compare(three, {}, Prices.read()), three, photos)
    assert "-my &lt;bees&gt;/" in page
    assert "bees/1.jpg" not in page.replace("-my &lt;bees&gt;/", "")


def test_a_price_table_that_lacks_its_date_is_refused(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text('{"region": "x", "source": "y", "per_hour": {}}')
    with pytest.raises(JobFailure, match="as_of"):
        Prices.read(path)
    assert Prices.read().training_dollars(3600, "ml.unknown.type") is None


def test_each_second_is_priced_as_the_machine_on_which_it_passed(three):
    prices = Prices("2026-01-01", "us-east-1", "test", {"ml.a.x": 36.0, "ml.b.x": 360.0, "ml.c.x": 3600.0})
    instances = asdict(Instances(prepare="ml.a.x", training="ml.b.x", transform="ml.c.x"))
    row = compare(three, {"instances": instances}, prices)["candidates"][0]
    assert row["training_dollars"] == pytest.approx(12 * 0.01 + 24 * 0.1)  # of 36 seconds 12 went into features
    assert row["dollars_per_million"] == pytest.approx(row["seconds_per_photo"] * 1e6)


def test_a_machine_without_a_price_makes_the_training_one_without_a_price(three):
    prices = Prices("2026-01-01", "us-east-1", "test", {"ml.b.x": 360.0})
    instances = asdict(Instances(prepare="ml.a.x", training="ml.b.x"))
    assert compare(three, {"instances": instances}, prices)["candidates"][0]["training_dollars"] is None


def test_an_hour_of_training_costs_what_the_table_says_and_a_million_predictions_their_time():
    """0.23 $ is the hour of ml.m5.xlarge in us-east-1: https://aws.amazon.com/sagemaker/ai/pricing/"""
    prices = Prices.read()
    assert prices.training_dollars(3600, "ml.m5.xlarge") == pytest.approx(0.23)
    assert prices.training_dollars(36, "ml.m5.xlarge") == pytest.approx(0.0023)
    assert prices.dollars_per_million(0.0036, "ml.m5.xlarge") == pytest.approx(0.23)  # a million times 3.6 ms: an hour
    for unknown in (prices.training_dollars(None, "ml.m5.xlarge"), prices.dollars_per_million(None, "ml.m5.xlarge"),
                    prices.dollars_per_million(1, "ml.unknown.type")):  # fmt: skip
        assert unknown is None


@pytest.mark.parametrize("price", [0, -1, "0.23", None])
def test_a_price_that_is_not_a_positive_number_is_refused_by_the_name_of_its_machine(price):
    table = {"as_of": "2026-01-01", "region": "x", "source": "y", "per_hour": {"ml.a.b": 1, "ml.c.d": price}}
    with pytest.raises(JobFailure, match=r"ml\.c\.d") as failure:
        Prices.from_table(table, "prices")
    assert "ml.a.b" not in str(failure.value)


def test_the_winner_carries_the_input_of_the_pipeline(three):
    request = {"pipeline_input": {"dataset": "s3://some-bucket/x.zip", "fine_tune": "head"}}
    result = compare(three, request, Prices.read())
    assert winner(result, three, request) == {
        "name": "middle",
        "input": {"dataset": "s3://some-bucket/x.zip", "fine_tune": "head", "model": "middle"},
    }
    nobody = compare(three[3:], request, Prices.read())
    assert winner(nobody, three[3:], request) == {"name": None}


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ({}, "middle"),  # large is ahead by a photo or two, which is chance, and costs three times as much
        ({"weights": {"disk_bytes": 1.0}}, "small"),
        ({"minimum": 0.5}, "small"),
        ({"minimum": 0.999}, "large"),  # nobody reaches the wish
    ],
)
def test_page_pipeline_and_command_line_take_the_same_candidate(three, asked, taken):
    result = compare(three, asked, Prices.read())
    assert result["chosen"]["candidate"] == taken
    assert winner(result, three, {"pipeline_input": {}})["name"] == taken
    assert f"Take <b>{taken}</b>" in render(result, three, [])
    stated = {r["candidate"] for r in result["recommendations"] if r["reason"] in result["chosen"]["reason"]}
    assert stated == {taken}


def test_recommendations_of_nothing_recommend_nothing():
    assert recommend([], [Pair("a", "b", 0, 0, 1.0, 1.0)])[0].candidate is None


def test_a_left_out_candidate_and_a_smoke_test_are_listed_and_never_recommended(three, tmp_path):
    random = {"pretrained": False, "weights": "random weights: architecture smoke test", "model": "large"}
    left = {"candidate": {"name": "huge"}, "state": "left out", "cause": "left out: estimated at 900 s"}
    candidates = [replace(three[0], description=random), *three[1:], *read_candidates(tmp_path, [left])]
    result = compare(candidates, {"estimates": {"huge": 900.0}}, Prices.read())
    rows = {row["name"]: row for row in result["candidates"]}
    assert rows["huge"]["status"] == "left out" and rows["huge"]["estimate_seconds"] == 900.0
    assert rows["large"]["pretrained"] is False
    assert not {"large", "huge"} & {advice["candidate"] for advice in result["recommendations"]}
    page = render(result, candidates, [])
    assert "smoke test" in page and "left out: estimated at 900 s" in page


def test_smoke_tests_cost_the_correction_no_pair_and_stand_on_no_front(three):
    smoke = {"pretrained": False, "weights": "random"}
    others = [replace(three[2], name=f"random-{i}", description=smoke) for i in range(4)]
    alone = compare(three[:3], {}, Prices.read())
    together = compare([*three[:3], *others], {}, Prices.read())
    assert together["pairs"] == alone["pairs"] and len(alone["pairs"]) == 3
    assert together["pareto"] == alone["pareto"]


def test_where_all_weights_are_random_nobody_is_called_accurate(three):
    smoke = [replace(c, description={"pretrained": False, "model": c.name}) for c in three[:3]]
    result = compare(smoke, {"start_pipeline": True}, Prices.read())
    advice = {r["purpose"]: r for r in result["recommendations"]}
    assert advice["Most accurate"]["candidate"] is None and "smoke test" in advice["Most accurate"]["reason"]
    assert advice["Fastest"]["candidate"] == "small" and "accuracy" not in advice["Fastest"]["reason"]
    assert winner(result, smoke, {"pipeline_input": {}}) == {"name": None}
    assert "smoke test" in result["chosen"]["reason"]


def test_training_times_without_their_features_are_marked(three):
    candidates = [replace(three[0], benchmark={**three[0].benchmark, "features_from_cache": 0.5}), *three[1:]]
    page = render(compare(candidates, {}, Prices.read()), candidates, [])
    assert page.count("36.0*") == 1
    assert "do not compare them" in page


def test_loss_curves_are_drawn_from_what_training_records(three):
    page = render(compare(three, {}, Prices.read()), three, [])
    assert 'class="curve train"' in page and 'class="curve validation"' in page


@pytest.mark.parametrize(("low", "high"), [(4.0, 168.0), (0.21, 0.22), (1e-3, 5e4), (1.0, 1.0), (2.9, 228.1)])
def test_ticks_are_round_and_enclose_what_is_shown(low, high):
    ticks = log_ticks(low, high)
    assert ticks[0] <= low and ticks[-1] >= high and 2 <= len(ticks) <= 12
    assert all(f"{tick:.0e}"[0] in "125" for tick in ticks)
    even = linear_ticks(low, high)
    assert even[0] <= low + 1e-9 and even[-1] >= high - 1e-9
    steps = np.diff(even)
    assert np.allclose(steps, steps[0]) and f"{steps[0]:.0e}"[0] in "125"


def test_no_two_names_in_a_chart_lie_on_each_other_and_the_front_is_named_first():
    random = np.random.default_rng(3)
    points = [(f"architecture-number-{i}", 10 ** random.uniform(0, 2), random.uniform(0.6, 0.9)) for i in range(30)]
    front = {points[7][0], points[21][0]}
    svg = str(
        scatter(points, Look({name: "#000" for name, *_ in points}, frozenset({points[3][0]})), front, "ms", "accuracy")
    )
    texts = re.findall(
        r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)" font-size="10" class="value">([^<]+)<', svg
    )
    boxes = {}
    for x, y, anchor, name in texts:
        begin = float(x) - {"start": 0, "middle": 3 * len(name), "end": 6 * len(name)}[anchor]
        boxes[name] = (begin, float(y) - 9, begin + 6 * len(name), float(y) + 2)
    assert front <= set(boxes) and 2 < len(boxes) < 30
    for a, b in combinations(boxes.values(), 2):
        assert not (a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])
    assert svg.count("<title>") == 30 and svg.count('fill-opacity="0.35"') == 1


def test_the_page_begins_with_the_most_accurate_and_ends_with_smoke_tests_and_what_failed(three):
    three[0] = replace(three[0], description={"pretrained": False, "weights": "random"})
    page = render(compare(three, {}, Prices.read()), three, [])
    names = re.findall(r'<td data-v="([^"]+)"><span class="dot"', page)
    assert names == ["middle", "small", "large", "broken"]


SHOWN = (
    "return page.$$eval('#table tbody tr', rows => rows.filter(row => !row.hidden).map(row => row.cells[0].innerText))"
)


@pytest.fixture
def page(three, tmp_path):
    path = tmp_path / "comparison.html"
    path.write_text(render(compare(three, {}, Prices.read()), three, disagreements(three, None, {})), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("column", "once", "twice"),
    [
        ("Candidate", ["broken", "large", "middle", "small"], ["small", "middle", "large", "broken"]),
        ("p50", ["large", "middle", "small", "broken"], ["small", "middle", "large", "broken"]),
        # The page opens sorted by this one, the most accurate first. What was not measured stays last either way.
        ("Balanced", ["small", "middle", "large", "broken"], ["large", "middle", "small", "broken"]),
    ],
)
def test_a_click_on_a_column_sorts_by_it_and_another_the_other_way(page, column, once, twice):
    head = f"""[...await page.$$("#table th")];
        for (const one of heads) if ((await one.evaluate(cell => cell.innerText)).includes({json.dumps(column)})) head = one;"""
    click = f"let head; const heads = {head} await head.click();"
    assert in_browser(page, click + SHOWN) == once
    assert in_browser(page, click + "await head.click();" + SHOWN) == twice
    sorted_by = "return page.$$eval('#table th[aria-sort]', cells => cells.map(cell => cell.innerText))"
    (named,) = in_browser(page, click + sorted_by)
    assert column in named


def test_the_filter_leaves_the_rows_that_have_the_words(page):
    assert in_browser(page, "await page.type('#filter', 'MIDD');" + SHOWN) == ["middle"]
    assert in_browser(page, "await page.type('#filter', 'PyTorch');" + SHOWN) == ["large", "middle", "small", "broken"]
    assert in_browser(page, "await page.type('#filter', 'no such thing');" + SHOWN) == []


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_fits_into_a_window(page, width):
    assert fits(page, width)


def test_answers_are_grouped_the_right_one_first(three):
    page = render(compare(three, {}, Prices.read()), three, disagreements(three, None, {}))
    first = re.search(r'<div class="photo">.*?</div>', page, re.DOTALL)[0]
    said = re.findall(r'<b class="(right|failed)">', first)
    assert len(said) == 2 and said[0] == "right"
    assert len(re.findall(r"(large|middle|small) 80%", first)) == 3


def test_random_weights_take_part_in_the_photos_of_disagreement_only_where_there_is_nobody_else(three):
    smoke = replace(three[2], description={"pretrained": False})
    photos = disagreements([three[0], three[1], smoke], None, {})
    assert all(set(photo.answers) == {"large", "middle"} for photo in photos)
    assert set(disagreements([three[0], smoke], None, {})[0].answers) == {"large", "small"}


def test_what_is_measured_far_below_the_best_is_not_accurate_enough_because_photos_are_few():
    cheap = {
        "dollars_per_million": 0.1,
        "latency_p50_ms": 1.0,
        "disk_bytes": 1,
        "balanced_accuracy": 0.75,
        "name": "cheap",
    }
    good = cheap | {"name": "good", "dollars_per_million": 1.0, "balanced_accuracy": 0.93}
    good["balanced_accuracy_interval"] = (0.84, 0.97)
    middle = cheap | {"name": "middle", "dollars_per_million": 0.5, "balanced_accuracy": 0.9}
    pairs = [Pair("good", "cheap", 14, 4, 0.03, 0.09), Pair("good", "middle", 2, 1, 1.0, 1.0)]
    chosen = {r.purpose: r.candidate for r in recommend([good, cheap, middle], pairs)}
    assert chosen["Cheapest that is accurate enough"] == "middle"
