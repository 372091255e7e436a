"""What is said before a comparison starts: how long each candidate will take, and which a budget leaves out."""

from __future__ import annotations

import pytest

from contract.comparison_candidates import choose
from contract.comparison_input import ComparisonInput
from contract.failure import JobFailure
from contract.validation import InvalidField
from training_code.comparison.estimate import Cost, Work, cost_of, estimate, within_budget

PRICES = {"as_of": "today", "region": "r", "source": "s", "per_hour": {"ml.m5.large": 0.1}}
WORK = Work(train=100, validation=20, test=30)


def ask(**fields) -> ComparisonInput:
    return ComparisonInput.from_json({"dataset": "s3://some-bucket/photos.zip", **fields})


def rows(*seconds: float) -> list[dict]:
    return [{"name": f"c{number}", "estimate_seconds": value} for number, value in enumerate(seconds)]


def test_a_frozen_backbone_sees_a_photo_once_a_view_and_a_fine_tuned_one_every_epoch():
    assert WORK.features(flip_view=False) == 100 + 20
    assert WORK.features(flip_view=True) == 2 * 100 + 20
    assert WORK.trained(ask(epochs=9)) == 0
    assert WORK.trained(ask(fine_tune="all", epochs=2)) == 2 * (3 * 100 + 20)
    assert WORK.trained(ask(fine_tune="all", epochs=2, tune=3)) == 4 * 2 * (3 * 100 + 20)
    refitted = ask(fine_tune="all", epochs=2, hyperparameters={"refit": True})
    assert WORK.trained(refitted) == 2 * (3 * 100 + 20) + 2 * 3 * 120
    assert WORK.trained(ask(hyperparameters={"refit": True})) == 0


def test_every_photo_of_every_set_is_answered_once_the_second_set_too():
    cost = Cost(seconds=0.01, layers=50, parameters=1_000_000)
    one, more = (cost.benchmark_seconds(work) for work in (WORK, Work(100, 20, 30, second=500)))
    assert WORK.judged == 50
    assert more - one == pytest.approx(500 * cost.served)
    # A slow network is timed fewer times, so that measuring it stays a matter of its forward passes.
    slow = Cost(seconds=2.0, layers=50, parameters=1_000_000)
    assert slow.benchmark_seconds(WORK) < (WORK.judged + 100) * slow.served


@pytest.mark.slow
def test_a_larger_network_is_measured_as_slower_and_more_photos_as_longer():
    small, large = cost_of("squeezenet1_1", 0), cost_of("densenet121", 0)
    assert 0 < small.seconds < large.seconds
    assert small.layers < large.layers and small.parameters < large.parameters
    assert small.conversion < large.conversion
    asked = ask(models=["random:squeezenet1_1"])
    (one,) = asked.candidates
    candidate = {
        "name": one.name,
        "model": one.model,
        "hyperparameters": asked.hyperparameters_of(one.model, one.pretrained),
    }
    (few,) = estimate(asked, [candidate], WORK)
    (many,) = estimate(asked, [candidate], Work(100_000, 20, 30))
    assert 0 < few["benchmark_seconds"] < few["estimate_seconds"] < many["estimate_seconds"]
    assert many["benchmark_seconds"] == pytest.approx(few["benchmark_seconds"], rel=0.5)


def test_without_a_budget_everything_runs():
    assert within_budget(rows(10, 1e6), 0) == (rows(10, 1e6), [])


def test_a_budget_keeps_the_base_then_the_quickest_in_the_order_asked():
    fit, left = within_budget(rows(50, 30, 10, 20), 2, base="c0")
    assert [one["name"] for one in fit] == ["c0", "c1", "c2", "c3"]
    fit, left = within_budget(rows(50, 30, 10, 20), 1.5, base="c0")
    assert [one["name"] for one in fit] == ["c0", "c2", "c3"]
    assert [one["name"] for one in left] == ["c1"]
    assert left[0]["reason"] == "left out: estimated at 30 s, 10 s were left of the budget of 1.5 min"


def test_a_budget_that_fits_nobody_is_refused_with_the_quickest():
    with pytest.raises(JobFailure, match=r"c1, is estimated at 2\.0 min"):
        within_budget(rows(600, 120), 1)


def test_a_random_candidate_keeps_its_architecture_and_says_what_it_is():
    plain, random = choose(["resnet18", "random:resnet18"])
    assert (plain.model, random.model) == ("resnet18", "resnet18")
    assert (plain.pretrained, random.pretrained) == (True, False)
    assert random.name == "resnet18-random"
    assert "smoke test" in random.weights
    asked = ask(models=["resnet18", "random:resnet18"])
    assert [asked.hyperparameters_of(c.model, c.pretrained)["pretrained"] for c in asked.candidates] == [
        "true",
        "false",
    ]


def test_with_random_weights_for_all_every_candidate_is_labelled():
    assert {c.pretrained for c in ask(models="keras-4", pretrained=False).candidates} == {False}


def test_names_that_would_share_a_folder_are_refused():
    with pytest.raises(InvalidField, match="timm-resnet18"):
        choose(["timm/resnet18", "timm-resnet18"])


def test_prices_and_budget_do_not_make_another_question_and_tuning_does():
    plain = ask().key("f")
    assert plain == ask(budget_minutes=3, prices=PRICES, concurrency=4).key("f")
    assert plain != ask(tune=2).key("f")
