"""Each quantity has one formula: against published values, and against the code that would have its own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.measures import (
    SMALLEST_PROBABILITY,
    balanced_accuracy,
    balanced_accuracy_interval,
    calibration_bins,
    calibration_error,
    log_loss,
    wilson_interval,
)

ROOT = Path(__file__).resolve().parents[2]


def test_the_wilson_interval_agrees_with_the_published_example():
    # Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662.
    low, high = wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson_interval(0, 20)[0] == 0
    assert round(wilson_interval(0, 20)[1], 4) == 0.1611
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_a_class_without_an_error_does_not_make_the_interval_vanish():
    labels = np.array([0] * 10 + [1] * 10)
    low, high = balanced_accuracy_interval(labels, labels)
    assert 0.8 < low < 1 and high <= 1
    wide = balanced_accuracy_interval(np.tile(labels, 1), np.zeros(20, int))
    narrow = balanced_accuracy_interval(np.tile(labels, 50), np.zeros(1000, int))
    assert narrow[1] - narrow[0] < wide[1] - wide[0]


def test_the_interval_encloses_what_was_measured_even_where_nine_of_ten_classes_are_missed():
    labels = np.repeat(np.arange(10), 75)
    low, high = balanced_accuracy_interval(labels, np.zeros(750, int))
    assert low <= 0.1 <= high < 0.15


def test_sure_and_right_is_calibrated_and_sure_and_wrong_is_not():
    truth = np.zeros(100, int)
    assert calibration_error(truth, np.tile([1.0, 0.0], (100, 1))) == 0
    assert calibration_error(truth, np.tile([0.0, 1.0], (100, 1))) == 1
    half = np.arange(100) % 2
    assert calibration_error(half, np.tile([0.5, 0.5], (100, 1))) == 0


def test_bins_say_what_was_stated_and_what_was_right():
    probabilities = np.array([[0.6, 0.4]] * 4 + [[0.9, 0.1]] * 2)
    truth = np.array([0, 0, 0, 1, 0, 1])
    assert calibration_bins(truth, probabilities) == [(pytest.approx(0.6), 0.75, 4), (pytest.approx(0.9), 0.5, 2)]
    assert calibration_error(truth, probabilities) == pytest.approx((4 * 0.15 + 2 * 0.4) / 6)


def test_a_certain_mistake_counts_as_the_smallest_probability():
    assert log_loss(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(-np.log(SMALLEST_PROBABILITY))
    assert log_loss(np.array([0, 0]), np.array([[0.5, 0.5], [1.0, 0.0]])) == pytest.approx(np.log(2) / 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 60), st.integers(0, 1000))
def test_an_interval_encloses_its_value_and_is_the_same_each_time(classes, n, seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, classes, n), rng.integers(0, classes, n)
    low, high = balanced_accuracy_interval(truth, predicted)
    assert 0 <= low <= balanced_accuracy(truth, predicted) <= high <= 1
    assert (low, high) == balanced_accuracy_interval(truth, predicted)


def test_no_room_has_a_formula_of_its_own():
    """Marks of the formulas that stood in several files: the normal quantile, posterior draws, binned confidence, clipped logarithms."""
    marks = re.compile(r"1\.9599|\.beta\(|\.binomial\(|np\.minimum\(\(.*[bB][iI][nN][sS]|-np\.log\(np\.clip|1e-12, 1\)")
    rooms = ("training_code", "inference_code", "analysis_code", "contract")
    found = [str(file) for room in rooms for file in (ROOT / room).rglob("*.py") if marks.search(file.read_text())]
    assert [Path(file).name for file in found] == ["measures.py"]
