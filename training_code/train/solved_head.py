"""The default head: a linear layer on standardised features, solved to the end, its penalty and depths chosen by cross-validation.

Each photo is answered by a head that has not seen it, nor a photo that shows the same: these answers choose (by the objective, equal
ones by loss), fit the temperature and are reported. Where validation photos were drawn they take part like all others. Where the
user gave them, no head that chooses learns from one; their answers count as much as those of all training photos, and the metrics
are theirs alone. The head that is kept then learns from both (`refit`). Refuses features that are not finite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from contract.failure import JobFailure
from contract.hyperparameters import Hyperparameters
from training_code.features.feature_set import FeatureSet, Part
from training_code.models.export import Layer, fold_standardising
from training_code.observation import Observer
from training_code.train.folds import folds_of
from training_code.train.head import TrainedHead, mean_and_deviation, mirrored
from training_code.train.logistic import CLOSE, Objective, Space, minimised
from training_code.train.measures import class_weights, score, surprises
from training_code.train.record import Record
from training_code.train.stopping import Stopped, StopRequest

FIRST, FACTOR = 0.3, 10**0.5  # strengths times features: where the path begins, and one strength to the next
LONGEST_PATH = 12
RISES = 2  # strengths in a row at which the loss rises: the path ends
CHOOSING = 3000  # photos that choose, at least ten of each class; all of them train what is kept
LARGEST = 2 * 2**30  # bytes of features that are held in memory; beyond, steps read them from disk


def fits(features: FeatureSet, depths: int) -> bool:
    """Whether the features can be held in memory."""
    width = features.width_at(min(depths or features.depths, features.depths))
    return 4 * width * (len(features.train.labels) + len(features.validation.labels)) <= LARGEST


@dataclass(frozen=True)
class Point:
    """One strength of the path: answers of heads that had not seen the photo, and what they are worth."""

    depths: int
    strength: float
    logits: np.ndarray
    metrics: dict[str, float]
    loss: float


class Choice:
    """Cross-validation of one number of depths: the photos that choose, and the answers to them along the path."""

    def __init__(self, features: FeatureSet, settings: Hyperparameters, stop: StopRequest) -> None:
        self.settings, self.stop = settings, stop
        both = Rows.of(features, settings)
        self.given = features.validation_is_given
        self.kept = _choosing(both, self.given, len(features.classes), settings.seed)
        self.rows = both.only(self.kept)
        held = self.rows.validation if self.given else np.zeros(len(self.rows.labels), bool)
        self.fold = np.full(len(held), settings.folds)
        groups = None if self.rows.groups is None else self.rows.groups[~held]
        self.fold[~held] = folds_of(self.rows.labels[~held], groups, settings.folds, settings.seed)
        self.classes = len(features.classes)

    def weights(self) -> np.ndarray:
        """Photos × problems: what a head learns from. The last problem learns from all but the given validation photos."""
        problems = self.settings.folds + (1 if self.given else 0)
        weights = np.ones((len(self.fold), problems), np.float32)
        for problem in range(problems):
            weights[self.fold == problem, problem] = 0
            weights[self.fold == self.settings.folds, problem] = 0
        return weights * balanced(self.rows.labels, self.classes, self.settings)[:, None]

    def path(self, features: FeatureSet, depths: int) -> list[Point]:
        matrix = self.rows.matrix(features, features.width_at(depths), learnt=~self.rows.validation | (not self.given))[
            0
        ]
        views = len(matrix) // len(self.fold)
        labels, weights = np.tile(self.rows.labels, views), np.tile(self.weights() / views, (views, 1))
        objective = Objective(Space.of(matrix).features, labels, self.classes, weights)
        points: list[Point] = []
        place = None
        for number in range(LONGEST_PATH):
            strength = FIRST * FACTOR**number / matrix.shape[1]
            place = minimised(objective, strength, place, CLOSE, self._told)
            answers = objective.logits(place)[np.arange(len(self.fold)), self.fold]
            points.append(self._judged(depths, strength, answers))
            if number >= RISES and all(
                a.loss > b.loss for a, b in zip(points[-RISES:], points[-RISES - 1 :], strict=False)
            ):
                break
        return points

    def _judged(self, depths: int, strength: float, answers: np.ndarray) -> Point:
        labels, surprise = self.rows.labels, surprises(answers.astype(np.float64))
        surprise = surprise[np.arange(len(labels)), labels]
        judging = self.rows.validation if self.given else np.ones(len(labels), bool)
        metrics = score(answers[judging], labels[judging])
        loss = float(surprise.mean())
        if self.given:
            loss = float(surprise[judging].mean() + surprise[~judging].mean()) / 2
        return Point(depths, strength, answers, metrics, loss)

    def _told(self, loss: float) -> None:
        if self.stop.asked:
            raise Stopped


class SolvedHead:
    """One training: the choice, then the head of all photos that may be learnt from."""

    def __init__(
        self, features: FeatureSet, settings: Hyperparameters, record: Record, observer: Observer, stop: StopRequest
    ) -> None:
        if settings.depths > features.depths:
            raise JobFailure(
                f"depths: received {settings.depths}; the channel 'features' holds {features.depths}. Choose fewer, or another model."
            )
        self.features, self.settings, self.record = features, settings, record
        self.observer, self.stop = observer, stop
        self.facts: dict[str, Any] = {}

    def run(self) -> TrainedHead:
        # A neighbour that is busy makes the threads of a small product wait for each other for longer than they compute.
        with threadpool_limits(1, user_api="blas"):
            return self._run()

    def _run(self) -> TrainedHead:
        choice = Choice(self.features, self.settings, self.stop)
        asked = [self.settings.depths] if self.settings.depths else self.features.some_depths()
        points = [point for depths in asked for point in choice.path(self.features, depths)]
        for number, point in enumerate(points):
            self.record.epoch(
                number, point.metrics, choice_loss=point.loss, depths=point.depths, strength=point.strength
            )
        if self.settings.objective == "validation:loss":
            # Where validation photos were given, those that train have a say, too.
            self.record.best = self.record.epochs[min(range(len(points)), key=lambda one: points[one].loss)]
        best = points[self.record.epochs.index(self.record.best)]
        path = [one for one in points if one.depths == best.depths and one.strength <= best.strength]
        head = self._kept(path) if self.settings.export else ([], np.empty(0), np.empty(0))
        self.facts |= self._said(choice, best, points)
        rows = choice.rows
        return TrainedHead(
            layers=fold_standardising(*head) if head[0] else [],
            standardised=head[0],
            mean=head[1],
            std=head[2],
            validation_logits=best.logits,
            metrics=best.metrics,
            judged=Part(np.empty((0, 0)), rows.labels, rows.ids),
        )

    def _kept(self, path: list[Point]) -> tuple[list[Layer], np.ndarray, np.ndarray]:
        """The head of every photo that may be learnt from, by way of the path, which is what observers see."""
        features, settings, observer = self.features, self.settings, self.observer
        rows = Rows.of(features, settings)
        if not settings.refit:
            rows = rows.only(np.flatnonzero(~rows.validation))
        matrix, mean, std = rows.matrix(features, features.width_at(path[-1].depths), learnt=None)
        views, classes = len(matrix) // len(rows.labels), len(features.classes)
        weights = balanced(rows.labels, classes, settings)[:, None] / views
        space = Space.of(matrix)
        objective = Objective(space.features, np.tile(rows.labels, views), classes, np.tile(weights, (views, 1)))

        def told(loss: float) -> None:
            observer.step(loss, len(rows.labels))
            if self.stop.asked:
                raise Stopped

        place = None
        for number, point in enumerate(path):
            observer.mode("TRAIN")
            place = minimised(objective, point.strength, place, CLOSE if point is not path[-1] else CLOSE / 100, told)
            learnt = surprises(objective.logits(place)[: len(rows.labels), 0].astype(np.float64))
            train = float(learnt[np.arange(len(rows.labels)), rows.labels].mean())
            observer.mode("EVAL")
            observer.step(point.metrics["validation:loss"], len(rows.labels))
            observer.epoch(number, {"train:loss": train, **point.metrics})
        self.facts["learnt_from"] = len(rows.labels)
        found = objective.by_class(place)
        return [Layer(space.weight(found[:-1, 0]), found[-1, 0].astype(np.float32))], mean, std

    def _said(self, choice: Choice, best: Point, points: list[Point]) -> dict[str, Any]:
        """What `training.json` says of the choice."""
        priors = np.bincount(choice.rows.labels, minlength=choice.classes) / len(choice.rows.labels)
        shift = np.log(np.maximum(priors, 1e-9))
        plain, even = (
            (best.logits + shift, best.logits)
            if self.settings.class_balance != "none"
            else (best.logits, best.logits - shift)
        )
        decisions = {
            name: {key: value for key, value in score(answers, choice.rows.labels).items() if not key.endswith("loss")}
            for name, answers in (("plain", plain), ("balanced", even))
        }
        return {
            "solver": "exact",
            "depths": best.depths,
            "strength": best.strength,
            "judged_by": "given validation photos and folds of the training photos"
            if choice.given
            else "folds of all photos",
            "folds": self.settings.folds,
            "photos_that_chose": len(choice.rows.labels),
            "decisions": decisions,
            "decision": "plain" if self.settings.class_balance == "none" else "balanced",
            "path": [
                {"depths": one.depths, "strength": one.strength, "loss": one.loss, **one.metrics} for one in points
            ],
        }


def balanced(labels: np.ndarray, classes: int, settings: Hyperparameters) -> np.ndarray:
    """What each photo counts; rare classes are drawn or weighted alike where there are no draws."""
    how = "none" if settings.class_balance == "none" else "loss"
    return class_weights(labels, classes, how)[labels]


@dataclass(frozen=True)
class Rows:
    """Photos of both splits by number: training photos first."""

    index: np.ndarray
    labels: np.ndarray
    validation: np.ndarray
    groups: np.ndarray | None
    ids: list[str]
    views: str

    @classmethod
    def of(cls, features: FeatureSet, settings: Hyperparameters) -> Rows:
        train, seen = features.train, features.validation
        labels = np.concatenate([train.labels, seen.labels])
        groups = None if train.groups is None or seen.groups is None else np.concatenate([train.groups, seen.groups])
        views = "mean" if settings.test_time_flip else "both" if settings.flip_view else "plain"
        if views == "mean":
            mirrored(train), mirrored(seen)
        elif train.flipped is None:
            views = "plain"
        validation = np.arange(len(labels)) >= len(train.labels)
        return cls(np.arange(len(labels)), labels, validation, groups, [*train.ids, *seen.ids], views)

    def only(self, kept: np.ndarray) -> Rows:
        groups = None if self.groups is None else self.groups[kept]
        return Rows(
            self.index[kept], self.labels[kept], self.validation[kept], groups, [self.ids[i] for i in kept], self.views
        )

    def matrix(
        self, features: FeatureSet, width: int, learnt: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Standardised features by the photos in `learnt` (None: all), one row a photo or, with both views, two; mean, deviation."""
        plain = self._pick([features.train.features, features.validation.features], width)
        parts = [plain]
        if self.views != "plain":
            other = [
                part.features if part.flipped is None else part.flipped
                for part in (features.train, features.validation)
            ]
            flipped = self._pick(other, width)
            parts = [(plain + flipped) / 2] if self.views == "mean" else [plain, flipped]
        mean, std = mean_and_deviation([part if learnt is None else part[learnt] for part in parts])
        matrix = parts[0] if len(parts) == 1 else np.concatenate(parts)
        matrix -= mean
        matrix /= std
        return matrix, mean, std

    def _pick(self, arrays: list[np.ndarray], width: int) -> np.ndarray:
        found = np.empty((len(self.index), width), np.float32)
        split = len(arrays[0])
        early = self.index < split
        found[early] = arrays[0][self.index[early], :width]
        found[~early] = arrays[1][self.index[~early] - split, :width]
        return found


def _choosing(rows: Rows, given: bool, classes: int, seed: int) -> np.ndarray:
    """Photos that choose; all of them where there are few."""
    most = max(CHOOSING, 10 * classes)
    random = np.random.default_rng([seed, 0xC405])
    parts = [~rows.validation, rows.validation] if given else [np.ones(len(rows.labels), bool)]
    kept = []
    for part in parts:
        places = np.flatnonzero(part)
        kept.append(places if len(places) <= most else _spread(places, rows.labels[places], most, random))
    return np.sort(np.concatenate(kept))


def _spread(places: np.ndarray, labels: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    """So many of these places, each class by its share and with at least one photo."""
    order = random.permutation(len(places))
    ranks = np.empty(len(places))
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        ranks[mine] = np.arange(len(mine)) / len(mine)
    return places[np.argsort(ranks, kind="stable")[:most]]


def said_of(facts: Mapping[str, Any]) -> str:
    """The choice in one line of the log."""
    return (
        f"solved head: depths {facts['depths']}, strength {facts['strength']:.3g}, chosen by {facts['judged_by']} "
        f"({facts['photos_that_chose']} photos)"
    )
