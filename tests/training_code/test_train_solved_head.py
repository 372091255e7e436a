"""The default head: solved to the end, chosen by photos that it has not seen, and never below scikit-learn's on the same features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from contract.hyperparameters import Hyperparameters
from contract.manifest import Manifest
from tests.training_code.tiny_jobs import CLASSES, job_folder, tiny_features, train, training_json
from training_code.features.feature_set import FeatureSet, Part
from training_code.models.export import logits_of
from training_code.observation import NoObserver
from training_code.train import solved_head
from training_code.train.folds import folds_of
from training_code.train.logistic import Objective, Space, minimised
from training_code.train.measures import score
from training_code.train.record import Record
from training_code.train.solved_head import SolvedHead
from training_code.train.stopping import Stopped, StopRequest

EXACT = {"solver": "exact"}


def exact(**changes) -> Hyperparameters:
    return Hyperparameters.from_strings({**EXACT, **{name: str(value) for name, value in changes.items()}})


def solved(features: FeatureSet, stop: StopRequest | None = None, **changes):
    chosen = exact(**changes)
    training = SolvedHead(
        features, chosen, Record(chosen.objective, None, quiet=True), NoObserver(), stop or StopRequest()
    )
    return training.run(), training.facts


def clusters(width: int, photos: int, classes: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Standardised features of classes that overlap, some of the features far louder than others."""
    random = np.random.default_rng(seed)
    labels = np.arange(photos) % classes
    matrix = random.normal(size=(classes, width))[labels] + noise * random.normal(size=(photos, width))
    matrix = matrix @ (random.normal(size=(width, width)) * np.geomspace(1, 30, width))
    return ((matrix - matrix.mean(0)) / matrix.std(0)).astype(np.float32), labels


@pytest.mark.parametrize(("width", "photos", "classes"), [(8, 200, 2), (40, 150, 3), (300, 120, 4)])
@pytest.mark.parametrize("strength", [1e-4, 1e-2, 1.0])
def test_the_minimum_is_never_above_that_of_scikit_learn(width, photos, classes, strength):
    matrix, labels = clusters(width, photos, classes, 4.0)
    space = Space.of(matrix)
    objective = Objective(space.features, labels, classes, np.ones((photos, 1)))
    place = objective.by_class(minimised(objective, strength))
    weight, bias = space.weight(place[:-1, 0]).astype(np.float64), place[-1, 0]
    theirs = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit(matrix.astype(np.float64), labels)
    coefficients, intercepts = theirs.coef_.T, theirs.intercept_
    if classes == 2:  # scikit-learn's two classes share one row of weights, twice as large as each of ours
        coefficients = np.hstack([-coefficients, coefficients]) / 2
        intercepts = np.array([-intercepts[0], intercepts[0]]) / 2
        theirs = LogisticRegression(C=strength / 2, tol=1e-8, max_iter=5000).fit(matrix.astype(np.float64), labels)
        coefficients = np.hstack([-theirs.coef_.T, theirs.coef_.T]) / 2
        intercepts = np.array([-theirs.intercept_[0], theirs.intercept_[0]]) / 2

    def loss(w, b):
        logits = matrix @ w + b
        logits -= logits.max(1, keepdims=True)
        surprise = np.log(np.exp(logits).sum(1)) - logits[np.arange(photos), labels]
        return surprise.sum() + np.square(w).sum() / (2 * strength)

    assert loss(weight, bias) <= loss(coefficients, intercepts) * (1 + 1e-5) + 1e-5


def test_features_that_one_direction_rules_can_be_turned():
    """Rounded to float32, the products of such photos are no longer those of any photos."""
    random = np.random.default_rng(0)
    rank = random.normal(size=(700, 30)) @ (random.normal(size=(30, 1500)) * np.geomspace(100, 0.01, 30)[:, None])
    matrix = (rank / rank.std(0)).astype(np.float32)
    turned = Space.of(matrix).features.astype(np.float64)
    exact = matrix.astype(np.float64) @ matrix.T.astype(np.float64)
    np.testing.assert_allclose(turned @ turned.T, exact, atol=1e-4 * np.abs(exact).max())


def test_problems_that_are_solved_together_are_those_that_are_solved_alone():
    matrix, labels = clusters(20, 90, 3, 4.0)
    weights = (np.arange(90)[:, None] % 3 != np.arange(3)).astype(np.float32)
    together = minimised(Objective(matrix, labels, 3, weights), 0.05)
    for problem in range(3):
        alone = minimised(Objective(matrix, labels, 3, weights[:, [problem]]), 0.05)
        np.testing.assert_allclose(together[:, problem], alone[:, 0], atol=2e-3)


def hard(seed: int, width: int = 200) -> tuple[FeatureSet, np.ndarray, np.ndarray]:
    """Training and validation photos whose features say little, and many photos that nobody learns from."""
    matrix, labels = clusters(width, 1500, 3, 9.0, seed)
    ids = [f"p{i}" for i in range(len(labels))]
    parts = [Part(matrix[a:b], labels[a:b], ids[a:b]) for a, b in ((0, 240), (240, 300))]
    return FeatureSet(*parts, CLASSES, "hard"), matrix[300:], labels[300:]


@pytest.mark.parametrize("seed", range(3))
def test_held_out_photos_are_answered_no_worse_than_by_scikit_learn_on_the_same_features(seed):
    features, unseen, truth = hard(seed)
    head, _ = solved(features)
    ours = score(logits_of(unseen, head.layers), truth)
    both = features.together().train
    for strength in (1.0, 0.1):
        theirs = LogisticRegression(C=strength, max_iter=5000).fit(both.features, both.labels)
        answers = score(theirs.predict_log_proba(unseen), truth)
        assert ours["validation:accuracy"] >= answers["validation:accuracy"]
        assert ours["validation:loss"] <= answers["validation:loss"]


def test_answers_that_judge_are_of_heads_that_have_not_seen_the_photo():
    """With more features than photos a head learns any labels by heart; where they mean nothing, nobody can have answered well."""
    features, *_ = hard(0, width=600)
    random = np.random.default_rng(3)
    for part in (features.train, features.validation):
        part.labels[:] = random.permutation(part.labels)
    head, facts = solved(features)
    assert len(head.judged.labels) == 300 and sorted(head.judged.ids) == sorted(
        features.train.ids + features.validation.ids
    )
    assert score(head.validation_logits, head.judged.labels)["validation:accuracy"] < 0.45
    assert facts["judged_by"] == "folds of all photos"


def test_photos_that_show_the_same_do_not_judge_each_other():
    """Each photo is there four times with a label that means nothing: known again, it is answered rightly; grouped, it is not."""
    random = np.random.default_rng(0)
    seen, labels = random.normal(size=(75, 400)).astype(np.float32), random.integers(0, 3, 75)
    labels[:3] = range(3)
    matrix, labels, groups = np.repeat(seen, 4, 0), np.repeat(labels, 4), np.repeat(np.arange(75), 4)
    ids = [str(i) for i in range(300)]
    grouped = FeatureSet(
        *(Part(matrix[a:b], labels[a:b], ids[a:b], None, groups[a:b]) for a, b in ((0, 240), (240, 300))), CLASSES, "same"
    )  # fmt: skip
    alone = replace(
        grouped, train=replace(grouped.train, groups=None), validation=replace(grouped.validation, groups=None)
    )
    accuracy = {
        name: score(head.validation_logits, head.judged.labels)["validation:accuracy"]
        for name, head in (("grouped", solved(grouped)[0]), ("alone", solved(alone)[0]))
    }
    assert accuracy["grouped"] < 0.6 < 0.9 < accuracy["alone"]


@given(st.integers(2, 6), st.integers(0, 5), st.data())
@settings(max_examples=60, deadline=None)
def test_folds_keep_groups_together_and_every_class_in_every_fold(count, seed, data):
    labels = np.arange(count * 12) % 3
    groups = np.array(data.draw(st.lists(st.integers(0, 40), min_size=len(labels), max_size=len(labels))))
    folds = folds_of(labels, groups, count, seed)
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    alone = folds_of(labels, None, count, seed)
    held = np.array([[np.sum((alone == fold) & (labels == label)) for label in range(3)] for fold in range(count)])
    assert held.max() - held.min() <= 1


def given_split(features: FeatureSet) -> FeatureSet:
    return replace(features, facts={**features.facts, "validation": "given"})


def test_no_head_that_chooses_learns_from_validation_photos_that_the_user_gave():
    features = given_split(tiny_features(noise=4.0))
    head, facts = solved(features, refit="false")
    other = given_split(tiny_features(noise=4.0))
    other.validation.labels[:] = (other.validation.labels + 1) % 3
    turned, _ = solved(other, refit="false")
    one, two = (
        {where: row for where, row in zip(found.judged.ids, found.validation_logits, strict=True)}
        for found in (head, turned)
    )
    path = {len(point) for point in (one, two)}
    assert path == {135}
    # Other labels of the given photos may choose another strength, but no answer at the same strength can differ.
    by_strength = [
        {p["strength"]: p["validation:accuracy"] for p in f["path"]} for f in (facts, solved(other, refit="false")[1])
    ]
    assert set(by_strength[0]) & set(by_strength[1])
    assert facts["judged_by"].startswith("given validation photos")
    chosen = min(facts["path"], key=lambda point: point["loss"])
    assert facts["strength"] == chosen["strength"] and chosen["loss"] != chosen["validation:loss"], (
        "both count the same"
    )
    assert head.metrics["validation:accuracy"] == score(
        np.stack([one[i] for i in features.validation.ids]), features.validation.labels
    )["validation:accuracy"], "metrics are of the given photos alone"  # fmt: skip


def test_the_kept_head_learns_from_validation_photos_unless_told_otherwise():
    features, unseen, truth = hard(1)
    with_them, facts = solved(features)
    without, fewer = solved(features, refit="false")
    assert (facts["learnt_from"], fewer["learnt_from"]) == (300, 240)
    assert (
        score(logits_of(unseen, with_them.layers), truth)["validation:loss"]
        < score(logits_of(unseen, without.layers), truth)["validation:loss"]
    )


def deep_features(helps: bool, seed: int = 0) -> FeatureSet:
    """Features of two depths: the second knows what the first does not, or only noise."""
    features, *_ = hard(seed)
    random = np.random.default_rng(seed)

    def wider(part: Part) -> Part:
        more = random.normal(size=(len(part.labels), 30)).astype(np.float32)
        if helps:
            more[np.arange(len(more)), part.labels] += 2
        return replace(part, features=np.hstack([part.features, more]))

    return replace(
        features, train=wider(features.train), validation=wider(features.validation), facts={"widths": [200, 230]}
    )


@pytest.mark.parametrize(("helps", "depths"), [(True, 2), (False, 1)])
def test_another_depth_is_taken_where_cross_validation_says_that_it_pays(helps, depths):
    head, facts = solved(deep_features(helps))
    assert facts["depths"] == depths and len(head.layers[0].weight) == [200, 230][depths - 1]


def test_trials_with_different_depths_do_not_tie_where_all_are_right():
    """Clusters far apart: every accuracy is 1, and the search must still find something."""
    features = tiny_features(width=30, noise=0.05)
    features = replace(features, facts={"widths": [6, 12, 30]})
    found = [solved(features, depths=depths, export="false")[0].metrics for depths in (1, 2, 3)]
    assert {one["validation:accuracy"] for one in found} == {1.0}
    assert len({one["validation:loss"] for one in found}) == 3


def test_balanced_and_plain_decisions_are_both_told():
    random = np.random.default_rng(0)
    labels = np.where(np.arange(400) % 10 == 0, 1, 0)
    matrix = (random.normal(size=(400, 5)) + labels[:, None] * 0.7).astype(np.float32)
    ids = [str(i) for i in range(400)]
    features = FeatureSet(
        Part(matrix[:320], labels[:320], ids[:320]), Part(matrix[320:], labels[320:], ids[320:]), ["a", "b"], "x"
    )
    _, facts = solved(features)
    plain, balanced = facts["decisions"]["plain"], facts["decisions"]["balanced"]
    assert facts["decision"] == "plain"
    assert plain["validation:accuracy"] > balanced["validation:accuracy"]
    assert plain["validation:balanced_accuracy"] < balanced["validation:balanced_accuracy"]
    _, weighted = solved(features, class_balance="loss")
    assert weighted["decision"] == "balanced"
    assert weighted["decisions"]["balanced"]["validation:balanced_accuracy"] > plain["validation:balanced_accuracy"]


def test_a_stop_ends_it_before_there_is_anything_to_export():
    stop = StopRequest()
    stop.asked = True
    with pytest.raises(Stopped):
        solved(tiny_features(), stop)


def test_a_job_without_a_word_about_steps_is_solved_and_says_how(tmp_path):
    asked = {"model": "resnet18", "pretrained": "false", "image_size": "32"}
    base = job_folder(tmp_path, asked, features=tiny_features(width=512))
    assert train(base) == 0, (base / "output" / "failure").read_text()
    said, manifest = training_json(base), Manifest.read(base / "model/manifest.json")
    assert said["solver"] == "exact" and said["learnt_from"] == 135 and said["photos_that_chose"] == 135
    assert (
        "learning_rate" not in manifest.hyperparameters and manifest.calibration["fitted_on"] == "folds of all photos"
    )
    steps = job_folder(tmp_path / "steps", {**asked, "epochs": "2"}, features=tiny_features(width=512))
    assert train(steps) == 0
    assert Manifest.read(steps / "model/manifest.json").hyperparameters["learning_rate"] == "0.001"


def test_features_that_memory_cannot_hold_are_learnt_by_steps(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(solved_head, "LARGEST", 1000)
    asked = {"model": "resnet18", "pretrained": "false", "image_size": "32"}
    base = job_folder(tmp_path, asked, features=tiny_features(width=512))
    assert train(base) == 0
    assert "learns by steps" in capsys.readouterr().out and "solver" not in training_json(base)
    assert training_json(base)["refit"]["photos"] == 135


def test_more_depths_than_there_are_are_refused(tmp_path):
    base = job_folder(tmp_path, {"model": "resnet18", "depths": "3"}, features=tiny_features(width=512))
    assert train(base) == 1
    assert "depths: received 3" in (base / "output/failure").read_text()
