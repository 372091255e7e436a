"""A head on cached features: the training of a frozen backbone without the backbone.

NumPy alone, because a trial that takes a fraction of a second must not wait for torch to be imported. Features are
standardised with the training photos' mean and deviation, which are folded into the layers at the end. Each draw of a photo
takes its plain or its mirrored view at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from contract.failure import JobFailure
from contract.hyperparameters import Hyperparameters
from training_code.features.feature_set import FeatureSet, Part
from training_code.models.export import Layer, fold_standardising, logits_of, softmax
from training_code.observation import Observer
from training_code.train.checkpoints import ArrayCheckpoint
from training_code.train.failures import NonFiniteLoss
from training_code.train.measures import class_weights, score
from training_code.train.optimizers import Optimizer
from training_code.train.record import Record
from training_code.train.sampling import Sampler, generator
from training_code.train.schedule import factor
from training_code.train.stopping import Stopped, StopRequest

CHUNK = 4096


@dataclass(frozen=True)
class TrainedHead:
    """`layers` take raw features; `standardised` are the same before folding, for a fine-tuning that goes on."""

    layers: list[Layer]
    standardised: list[Layer]
    mean: np.ndarray
    std: np.ndarray
    validation_logits: np.ndarray
    metrics: dict[str, float]
    judged: Part | None = None  # the photos of `validation_logits`, where they are not the validation photos


class HeadTraining:
    """One training of a head; `run` continues from the checkpoint where there is one."""

    def __init__(
        self,
        features: FeatureSet,
        settings: Hyperparameters,
        record: Record,
        observer: Observer,
        stop: StopRequest,
        checkpoint: ArrayCheckpoint | None = None,
        look_inside: bool = True,
        until: int = 0,
    ) -> None:
        """`until`: epochs after which it ends, its schedule being that of all; 0: all."""
        self.features, self.settings, self.record = features, settings, record
        self.observer, self.stop, self.checkpoint, self.look_inside = observer, stop, checkpoint, look_inside
        train, classes = features.train, len(features.classes)
        self.views = [train.features] + ([train.flipped] if settings.flip_view and train.flipped is not None else [])
        self.mean, self.std = mean_and_deviation(self.views)
        self.parameters = _fresh(features.width, classes, settings)
        # Written again in every step: fresh memory of a megabyte costs more than the arithmetic.
        self.gradients = {name: np.empty_like(value) for name, value in self.parameters.items()}
        self.optimizer = Optimizer(self.parameters, settings)
        self.sampler = Sampler(
            train.labels, classes, settings.batch_size, settings.seed, weighted=settings.class_balance == "sampling"
        )
        self.weights = class_weights(train.labels, classes, settings.class_balance)
        self.best: dict[str, np.ndarray] = {}
        self.until = until or settings.epochs
        self.epoch, self.step, self.losses = 0, 0, 0.0

    def run(self) -> TrainedHead:
        # A training that diverges overflows on its way; NonFiniteLoss says so in words. One BLAS thread: matrices of one batch are
        # too small for several, and the threads of two trials on two cores wait for each other eleven times as long as they compute.
        with np.errstate(over="ignore", invalid="ignore"), threadpool_limits(1, user_api="blas"):
            return self._run()

    def _run(self) -> TrainedHead:
        self._resume()
        while self.epoch < self.until and not self._patience_is_over():
            self._train_epoch()
            self._finish_epoch()
        return self.trained()

    def trained(self) -> TrainedHead:
        """The best epoch so far."""
        layers = _layers(self.best)
        return TrainedHead(
            layers=fold_standardising(layers, self.mean, self.std),
            standardised=layers,
            mean=self.mean,
            std=self.std,
            validation_logits=self._answers(layers),
            metrics={name: value for name, value in (self.record.best or {}).items() if ":" in name},
        )

    def _patience_is_over(self) -> bool:
        return bool(self.settings.patience) and self.record.epochs_since_best >= self.settings.patience

    def _train_epoch(self) -> None:
        batches = self.sampler.epoch(self.epoch)
        self.observer.mode("TRAIN")
        while self.step < len(batches):
            self._train_step(batches[self.step])
            self.step += 1
            every = self.settings.checkpoint_steps
            if self.stop.asked or (every and self.step % every == 0):
                self.save()
            if self.stop.asked:
                raise Stopped

    def _train_step(self, indices: np.ndarray) -> None:
        observer, settings = self.observer, self.settings
        random = generator(settings.seed, self.epoch, self.step)
        with observer.phase("data"):
            inputs = self._inputs(indices, random)
            labels = self.features.train.labels[indices]
        with observer.phase("forward"):
            loss, caches, gradient = self._forward(inputs, labels, random)
        if not np.isfinite(loss):
            raise NonFiniteLoss(loss, self.epoch, self.step, settings)
        with observer.phase("backward"):
            gradients = self._backward(caches, gradient)
        with observer.phase("optimizer"):
            total = settings.epochs * self.sampler.steps
            done = self.epoch * self.sampler.steps + self.step
            rate = settings.learning_rate * factor(done, total, settings.warmup, settings.schedule)
            self.optimizer.step(gradients, rate)
        if self.look_inside:
            observer.tensors("gradient", lambda: {f"head.{name}": value.T for name, value in gradients.items()})
            observer.tensors("weight", lambda: {f"head.{name}": value.T for name, value in self.parameters.items()})
        observer.step(loss, len(indices))
        self.losses += loss

    def _inputs(self, indices: np.ndarray, random: np.random.Generator) -> np.ndarray:
        inputs = self.views[0][indices]
        if len(self.views) > 1:
            mirrored = random.random(len(indices)) < 0.5
            inputs[mirrored] = self.views[1][indices[mirrored]]
        inputs -= self.mean
        inputs /= self.std
        return inputs

    def _forward(
        self, inputs: np.ndarray, labels: np.ndarray, random: np.random.Generator
    ) -> tuple[float, list[np.ndarray], np.ndarray]:
        """Weighted, smoothed cross-entropy; inputs of each layer; gradient of the loss in the logits."""
        keep = 1.0 - self.settings.dropout
        caches, current = [], inputs
        depth = len(self.parameters) // 2
        for index in range(depth):
            if index:
                current = np.maximum(current, 0)
            if index == depth - 1 and keep < 1:
                current = current * ((random.random(current.shape, np.float32) < keep) / np.float32(keep))
            caches.append(current)
            current = current @ self.parameters[f"{index}.weight"] + self.parameters[f"{index}.bias"]
        classes = current.shape[1]
        target = np.full(current.shape, self.settings.label_smoothing / classes, np.float32)
        target[np.arange(len(labels)), labels] += np.float32(1 - self.settings.label_smoothing)
        weight = self.weights[labels]
        weight = weight / weight.sum()
        probabilities = softmax(current)
        shifted = current - current.max(axis=1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = float(-(weight * (target * log_probabilities).sum(axis=1)).sum())
        return loss, caches, (probabilities - target) * weight[:, None]

    def _backward(self, caches: list[np.ndarray], gradient: np.ndarray) -> dict[str, np.ndarray]:
        gradients: dict[str, np.ndarray] = {}
        for index in reversed(range(len(caches))):
            name = f"{index}.weight"
            gradients[name] = np.matmul(caches[index].T, gradient, out=self.gradients[name])
            gradients[f"{index}.bias"] = gradient.sum(axis=0)
            if index:
                # ReLU and dropout leave zero exactly where they let no gradient through, and dropout scales the rest.
                scale = np.float32(1 - self.settings.dropout) if index == len(caches) - 1 else np.float32(1)
                gradient = (gradient @ self.parameters[f"{index}.weight"].T) * (caches[index] > 0) / scale
        return gradients

    def _finish_epoch(self) -> None:
        self.judge()
        self.epoch, self.step, self.losses = self.epoch + 1, 0, 0.0
        if not self.settings.checkpoint_steps:
            self.save()

    def judge(self) -> None:
        """Validation of the weights as they are, kept as this epoch's; also in the middle of one, when it is the last."""
        self.observer.mode("EVAL")
        metrics = {"train:loss": self.losses / self.step}
        metrics |= score(self._answers(_layers(self.parameters)), self.features.validation.labels)
        self.observer.step(metrics["validation:loss"], len(self.features.validation.labels))
        self.observer.epoch(self.epoch, metrics)
        if self.record.epoch(self.epoch, metrics):
            self.best = {name: value.copy() for name, value in self.parameters.items()}

    def _answers(self, layers: list[Layer]) -> np.ndarray:
        """Logits of the validation photos; with test_time_flip the mean over a photo and its mirror image."""
        part = self.features.validation
        logits = self._logits(part.features, layers)
        return (logits + self._logits(mirrored(part), layers)) / 2 if self.settings.test_time_flip else logits

    def _logits(self, features: np.ndarray, layers: list[Layer]) -> np.ndarray:
        """Standardising is folded into the layers: fewer numbers than the photos' features."""
        folded = fold_standardising(layers, self.mean, self.std)
        chunks = range(0, len(features), CHUNK)
        return np.concatenate([logits_of(features[i : i + CHUNK], folded) for i in chunks])

    def save(self) -> None:
        if self.checkpoint is None:
            return
        arrays = {f"parameter.{name}": value for name, value in self.parameters.items()}
        arrays |= {f"best.{name}": value for name, value in self.best.items()}
        arrays |= {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        facts = {"epoch": self.epoch, "step": self.step, "losses": self.losses, "epochs": self.record.epochs}
        self.checkpoint.save(arrays, facts)

    def _resume(self) -> None:
        stored = self.checkpoint.load() if self.checkpoint else None
        if stored is None:
            return
        arrays, facts = stored
        self.epoch, self.step, self.losses = facts["epoch"], facts["step"], facts["losses"]
        self.record.restore(facts["epochs"])
        for name, value in self.parameters.items():
            value[...] = arrays[f"parameter.{name}"]
        self.best = _under("best.", arrays)
        self.optimizer.load(_under("optimizer.", arrays))
        print(f"continuing from the checkpoint at epoch {self.epoch}, step {self.step}", flush=True)


def mirrored(part: Part) -> np.ndarray:
    if part.flipped is None:
        raise JobFailure(
            "test_time_flip: received true; the channel 'features' holds no mirrored validation photos. Run `prepare` with "
            "test_time_flip, or set it to false."
        )
    return part.flipped


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _layers(parameters: Mapping[str, np.ndarray]) -> list[Layer]:
    depth = len(parameters) // 2
    return [Layer(parameters[f"{index}.weight"].copy(), parameters[f"{index}.bias"].copy()) for index in range(depth)]


def _fresh(width: int, classes: int, settings: Hyperparameters) -> dict[str, np.ndarray]:
    """As torch's nn.Linear starts: uniform within one over the root of the inputs."""
    random = np.random.default_rng([settings.seed, 0xDA2C])
    sizes = [width, *([settings.hidden_units] if settings.hidden_units else []), classes]
    parameters: dict[str, Any] = {}
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        bound = inputs**-0.5
        parameters[f"{index}.weight"] = random.uniform(-bound, bound, (inputs, outputs)).astype(np.float32)
        parameters[f"{index}.bias"] = np.zeros(outputs, np.float32)
    return parameters


def mean_and_deviation(views: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Over all training photos and views, in pieces: features may be larger than memory."""
    count, total, squares = 0, 0.0, 0.0
    for view in views:
        for start in range(0, len(view), CHUNK):
            piece = np.asarray(view[start : start + CHUNK], np.float64)
            count, total, squares = (
                count + len(piece),
                total + piece.sum(axis=0),
                squares + np.square(piece).sum(axis=0),
            )
    mean = total / count
    if not np.isfinite(mean).all() or not np.isfinite(squares).all():
        raise JobFailure("channel 'features': the training features hold NaN or infinite values; run `prepare` again.")
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    # A feature that never changes says nothing; dividing by its deviation would make noise loud.
    deviation[deviation < 1e-6] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)
