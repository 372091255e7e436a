"""adamw, adam, sgd and rmsprop for NumPy parameters, step for step as torch.optim does them.

A head on cached features learns in less time than importing torch takes; a test holds these to torch's own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from contract.hyperparameters import Hyperparameters

_BETA1, _BETA2, _ALPHA = 0.9, 0.999, 0.99


class Optimizer:
    """Updates parameters in place; its state is arrays, so that a checkpoint can hold it."""

    def __init__(self, parameters: Mapping[str, np.ndarray], settings: Hyperparameters) -> None:
        self.parameters = dict(parameters)
        self.kind = settings.optimizer
        self.decay, self.epsilon, self.momentum = settings.weight_decay, settings.epsilon, settings.momentum
        self.steps = 0
        self.first = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        self.second = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        self.scratch = {name: np.empty_like(value) for name, value in self.parameters.items()}

    def step(self, gradients: Mapping[str, np.ndarray], learning_rate: float) -> None:
        self.steps += 1
        for name, value in self.parameters.items():
            gradient = gradients[name]
            # Biases and other vectors are not decayed: shrinking them only shifts the answer.
            decay = self.decay if value.ndim > 1 else 0.0
            if decay and self.kind == "adamw":
                value *= np.float32(1 - learning_rate * decay)
            elif decay:
                gradient = gradient + np.float32(decay) * value
            step = self._direction(name, gradient)
            np.multiply(step, np.float32(learning_rate), out=self.scratch[name])
            value -= self.scratch[name]

    def _direction(self, name: str, gradient: np.ndarray) -> np.ndarray:
        first, second = self.first[name], self.second[name]
        if self.kind == "sgd":
            if not self.momentum:
                return gradient
            first[...] = gradient if self.steps == 1 else self.momentum * first + gradient
            return first
        if self.kind == "rmsprop":
            second *= _ALPHA
            second += np.float32(1 - _ALPHA) * gradient * gradient
            direction = gradient / (np.sqrt(second) + np.float32(self.epsilon))
            if not self.momentum:
                return direction
            first *= np.float32(self.momentum)
            first += direction
            return first
        scratch = self.scratch[name]
        np.subtract(gradient, first, out=scratch)
        scratch *= np.float32(1 - _BETA1)
        first += scratch
        np.multiply(gradient, gradient, out=scratch)
        scratch *= np.float32(1 - _BETA2)
        second *= np.float32(_BETA2)
        second += scratch
        # first / (1 - b1^t) / (sqrt(second / (1 - b2^t)) + epsilon), with the scalars brought together.
        correction = (1 - _BETA2**self.steps) ** 0.5
        np.sqrt(second, out=scratch)
        scratch += np.float32(self.epsilon * correction)
        np.divide(first, scratch, out=scratch)
        scratch *= np.float32(correction / (1 - _BETA1**self.steps))
        return scratch

    def state(self) -> dict[str, np.ndarray]:
        moments = {f"first.{k}": v for k, v in self.first.items()} | {f"second.{k}": v for k, v in self.second.items()}
        return moments | {"steps": np.array(self.steps)}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self.steps = int(state["steps"])
        for name in self.parameters:
            self.first[name][...] = state[f"first.{name}"]
            self.second[name][...] = state[f"second.{name}"]
