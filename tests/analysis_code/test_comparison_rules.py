"""Which candidate is recommended, and with which numbers: one rule each, on rows made by hand."""

from __future__ import annotations

import pytest

from analysis_code.comparison.prices import DEFAULT_TABLE, Prices
from analysis_code.comparison.recommend import BY_WEIGHTS, CHEAPEST, MOST_ACCURATE, choose, pareto_front, recommend
from analysis_code.comparison.statistics import Pair
from contract.failure import JobFailure


def row(name: str, accuracy: float | None, **more: object) -> dict:
    return {"name": name, "balanced_accuracy": accuracy, "latency_p50_ms": 10.0, "disk_bytes": 2_000_000, **more}


def advised(rows: list[dict], tied: list[tuple[str, str]] = (), **wishes: object) -> dict:
    pairs = [Pair(one, other, 1, 1, 1.0, 1.0) for one, other in tied]
    return {one.purpose: one for one in recommend(rows, pairs, **wishes)}


def test_equal_rows_are_both_on_the_front_and_a_row_that_is_worse_in_one_is_not():
    rows = [row("a", 0.9, ms=5), row("b", 0.9, ms=5), row("dearer", 0.9, ms=6), row("weaker", 0.8, ms=5)]
    assert pareto_front(rows, "ms") == {"a", "b"}


def test_the_fastest_and_the_smallest_say_their_numbers_with_the_accuracy():
    rows = [
        row("slow", 0.9, latency_p50_ms=40.04, disk_bytes=5_000_000),
        row("fast", 0.8, latency_p50_ms=4.26, disk_bytes=9_000_000),
    ]
    found = advised(rows)
    assert (found["Fastest"].candidate, found["Smallest"].candidate) == ("fast", "slow")
    assert found["Fastest"].reason.startswith("4.3 ms a photo (p50), ")
    assert found["Smallest"].reason.startswith("5.0 MB on disk, ")
    assert "80.0%" in found["Fastest"].reason and "90.0%" in found["Smallest"].reason


def test_a_measure_that_nobody_has_recommends_nobody_and_is_named():
    found = advised([row("a", 0.9, latency_p50_ms=None, disk_bytes=None)])
    for purpose, column in (("Fastest", "latency_p50_ms"), ("Smallest", "disk_bytes")):
        assert found[purpose].candidate is None
        assert column in found[purpose].reason


@pytest.mark.parametrize("rows", [[], [row("failed", None)]])
def test_where_nothing_finished_nothing_is_recommended_and_a_reason_is_given(rows):
    (only,) = recommend(rows, [])
    assert (only.purpose, only.candidate) == (MOST_ACCURATE, None)
    assert "no candidate finished" in only.reason


def test_random_weights_are_only_a_smoke_test_and_never_the_most_accurate():
    smoke = row("random", 0.99, pretrained=False)
    alone = advised([smoke])
    assert alone[MOST_ACCURATE].candidate is None
    assert "random weights" in alone[MOST_ACCURATE].reason and "random weights" in alone["Fastest"].reason
    both = advised([smoke, row("trained", 0.5, latency_p50_ms=99.0)])
    assert {one.candidate for one in both.values()} - {None} == {"trained"}


def test_rows_that_do_not_say_so_are_pretrained():
    assert advised([row("a", 0.9)])[MOST_ACCURATE].candidate == "a"


@pytest.mark.parametrize(("minimum", "taken"), [(0.8, "small"), (0.8001, "large"), (0.9, "large")])
def test_a_wish_is_reached_by_whoever_has_it_exactly(minimum, taken):
    rows = [row("large", 0.9, dollars_per_million=9.0), row("small", 0.8, dollars_per_million=1.0)]
    found = advised(rows, minimum=minimum)[CHEAPEST]
    assert found.candidate == taken
    assert f"{minimum:.1%}" in found.reason


def test_a_wish_that_nobody_reaches_says_what_the_best_reaches():
    found = advised([row("large", 0.9, dollars_per_million=9.0)], minimum=0.95)[CHEAPEST]
    assert found.candidate is None
    assert "95.0%" in found.reason and "90.0%" in found.reason


def test_without_a_wish_the_cheapest_of_those_that_cannot_be_told_apart_is_taken():
    rows = [
        row("best", 0.9, dollars_per_million=9.0, balanced_accuracy_interval=[0.85, 0.95]),
        row("tied", 0.88, dollars_per_million=3.0),
        row("tied-but-far", 0.8, dollars_per_million=2.0),  # few photos tell nothing apart; this is below the interval
        row("worse", 0.7, dollars_per_million=1.0),
    ]
    found = advised(rows, tied=[("best", "tied"), ("tied-but-far", "best")])
    assert found[CHEAPEST].candidate == "tied"
    assert found[CHEAPEST].reason.startswith("$3.00 a million predictions")
    assert "tied, tied-but-far" in found[MOST_ACCURATE].reason
    assert choose(list(found.values())).candidate == "tied"


def test_without_prices_the_time_of_a_photo_stands_for_the_cost():
    rows = [row("slow", 0.9, seconds_per_photo=0.02), row("fast", 0.9, seconds_per_photo=0.0125)]
    found = advised(rows, minimum=0.5)[CHEAPEST]
    assert found.candidate == "fast"
    assert found.reason.startswith("12.5 ms a photo")


def test_with_one_price_a_candidate_without_one_is_not_the_cheapest():
    rows = [
        row("priced", 0.9, dollars_per_million=5.0, seconds_per_photo=0.02),
        row("unpriced", 0.9, seconds_per_photo=0.01),
    ]
    assert advised(rows, minimum=0.5)[CHEAPEST].candidate == "priced"


def test_without_price_and_speed_nobody_is_the_cheapest_and_the_most_accurate_is_taken():
    found = advised([row("a", 0.9)], minimum=0.5)
    assert found[CHEAPEST].candidate is None
    assert "neither price nor speed" in found[CHEAPEST].reason
    assert choose(list(found.values())).candidate == "a"


# Sums by hand: accuracy 0.9, 0.8, 0.5 is 1, 0.75, 0; milliseconds 40, 10, 20 are 0, 1, 2/3.
SCALED = [
    row("a", 0.9, latency_p50_ms=40.0), row("b", 0.8, latency_p50_ms=10.0), row("c", 0.5, latency_p50_ms=20.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "winner", "score"),
    [
        ({"balanced_accuracy": 1.0}, "a", "1.00 of 1"),
        ({"balanced_accuracy": 1.0, "latency_p50_ms": 1.0}, "b", "1.75 of 2"),
        ({"balanced_accuracy": 4.0, "latency_p50_ms": 0.5}, "a", "4.00 of 4.5"),
        ({"latency_p50_ms": 2.0, "disk_bytes": 1.0}, "b", "2.00 of 3"),  # all have one size: nobody is better by it
    ],
)
def test_weights_count_columns_from_the_worst_candidate_to_the_best(weights, winner, score):
    found = advised(SCALED, weights=weights)[BY_WEIGHTS]
    assert found.candidate == winner
    assert score in found.reason
    assert choose(list(advised(SCALED, weights=weights).values())).candidate == winner


def test_a_candidate_without_a_weighed_column_takes_no_part():
    rows = [row("a", 0.9, latency_p50_ms=None), row("b", 0.5)]
    assert advised(rows, weights={"balanced_accuracy": 1.0, "latency_p50_ms": 1.0})[BY_WEIGHTS].candidate == "b"
    nobody = advised(rows, weights={"watts": 1.0})[BY_WEIGHTS]
    assert nobody.candidate is None
    assert "watts" in nobody.reason


def test_a_table_that_lacks_its_date_is_refused_by_its_place(tmp_path):
    place = tmp_path / "mine.json"
    place.write_text('{"region": "x", "source": "y", "per_hour": {}}')
    with pytest.raises(JobFailure, match=r"mine\.json lacks \['as_of'\]"):
        Prices.read(place)
    read = Prices.read()
    assert DEFAULT_TABLE.name == "prices.json" and read.as_of and read.region == "us-east-1" and read.source
