"""What the training loop tells about itself, and to whom.

The loop calls one `Observer` and knows nothing of hooks, profilers and health rules. An observer never breaks a
training: a failure inside one is a warning, and it is left out from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from threading import RLock
from typing import Any, Literal, Protocol

Mode = Literal["TRAIN", "EVAL"]
Phase = Literal["data", "forward", "backward", "optimizer"]
TensorKind = Literal["gradient", "weight", "activation"]

# Does nothing around a phase, in a fraction of the time that a context of Python's own takes; each thread may hold it often.
NOTHING: AbstractContextManager[Any] = RLock()

log = logging.getLogger("darkroom.observation")


class Observer(Protocol):
    """Called by the training loop; every method must be cheap enough to be called each step."""

    def dataset(self, class_counts: Mapping[str, int]) -> None:
        """Once, when the training data is known: training photos of each class."""

    def model_ready(self, model: Any, loss_function: Any, optimizer: Any) -> None:
        """Once, after the model is built and weights are loaded, before the first step.

        torch modules are looked into; anything else (a NumPy head) is left alone: call `tensors` for it.
        """

    def mode(self, mode: Mode) -> None:
        """The steps that follow are of this mode."""

    def phase(self, name: Phase) -> AbstractContextManager[None]:
        """Wraps one phase of the current step."""

    def tensors(self, kind: TensorKind, read: Callable[[], Mapping[str, Any]]) -> None:
        """Before `step`, for a loop without torch modules: `read()` gives name → array, and is called only when wanted."""

    def step(self, loss: Any, batch_size: int) -> None:
        """After each step; `loss` is a detached scalar tensor or a float."""

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """After each epoch, with the metrics printed for it."""

    def close(self) -> None:
        """Once, also when training fails or is stopped."""


class NoObserver:
    """The observer of a training that nobody asked to watch: costs nothing."""

    phases: dict[Phase, AbstractContextManager[None]] | None = None  # what `phase` gives, where that cannot fail
    wants_tensors = True  # of the current step; `tensors` is not called where it is False

    def dataset(self, class_counts: Mapping[str, int]) -> None: ...
    def model_ready(self, model: Any, loss_function: Any, optimizer: Any) -> None: ...
    def mode(self, mode: Mode) -> None: ...
    def phase(self, name: Phase) -> AbstractContextManager[None]:
        return NOTHING

    def tensors(self, kind: TensorKind, read: Callable[[], Mapping[str, Any]]) -> None: ...
    def step(self, loss: Any, batch_size: int) -> None: ...
    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class Guard:
    """For what an observer hangs into a model, where an exception would break the training itself.

    `guarded(call)` keeps the first failure; `check()`, called from the observer's `step`, raises it where the group sees it.
    """

    def __init__(self) -> None:
        self._failure: Exception | None = None

    def guarded(self, call: Callable[..., None]) -> Callable[..., None]:
        def guarded_call(*arguments: Any) -> None:
            if self._failure is None:
                try:
                    call(*arguments)
                except Exception as error:
                    self._failure = error

        return guarded_call

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure


class ObserverGroup:
    """Several observers as one. One that raises is named in a warning once and dropped; the training goes on.

    A method that an observer inherits unchanged from `NoObserver` is not called on it, so that the group costs only what its
    members do.
    """

    def __init__(self, observers: list[NoObserver]) -> None:
        self._members = list(observers)
        self._index()

    def _index(self) -> None:
        def of(method: str) -> list[tuple[NoObserver, Callable[..., Any]]]:
            return [
                (o, getattr(o, method))
                for o in self._members
                if getattr(type(o), method) is not getattr(NoObserver, method)
            ]

        self._mode, self._step, self._tensors = of("mode"), of("step"), of("tensors")
        phased = [o for o, _ in of("phase")]
        names: tuple[Phase, ...] = ("data", "forward", "backward", "optimizer")
        phases: dict[Phase, AbstractContextManager[None]] = {n: _GroupPhase(self, n, phased) for n in names}
        if not phased:
            phases = dict.fromkeys(names, NOTHING)
        elif len(phased) == 1 and phased[0].phases is not None:
            phases = phased[0].phases
        # Not a method of Python: called four times a step, which a step of a tenth of a millisecond feels.
        self.phase = phases.__getitem__

    def _drop(self, observer: NoObserver, during: str, error: Exception) -> None:
        if observer not in self._members:
            return
        log.warning(
            "%s failed in %s and is left out for the rest of this training, which goes on: %s: %s",
            type(observer).__name__, during, type(error).__name__, error,
        )  # fmt: skip
        self._members.remove(observer)
        self._index()
        if during != "close":
            self._each("close", [(observer, observer.close)])

    def _each(self, during: str, calls: list[tuple[NoObserver, Callable[..., Any]]], *arguments: Any) -> None:
        for observer, call in calls:
            try:
                call(*arguments)
            except Exception as error:
                self._drop(observer, during, error)

    def _all(self, method: str, *arguments: Any) -> None:
        self._each(method, [(o, getattr(o, method)) for o in list(self._members)], *arguments)

    def dataset(self, class_counts: Mapping[str, int]) -> None:
        self._all("dataset", class_counts)

    def model_ready(self, model: Any, loss_function: Any, optimizer: Any) -> None:
        self._all("model_ready", model, loss_function, optimizer)

    def mode(self, mode: Mode) -> None:
        self._each("mode", self._mode, mode)

    def tensors(self, kind: TensorKind, read: Callable[[], Mapping[str, Any]]) -> None:
        for observer, call in self._tensors:
            if observer.wants_tensors:
                self._each("tensors", [(observer, call)], kind, read)

    def step(self, loss: Any, batch_size: int) -> None:
        for observer, call in self._step:
            try:
                call(loss, batch_size)
            except Exception as error:
                self._drop(observer, "step", error)

    def epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._all("epoch", epoch, metrics)

    def close(self) -> None:
        self._all("close")
        self._members = []
        self._index()


class _GroupPhase(AbstractContextManager):
    """One phase for all observers that time phases; reused each step, never nested in itself."""

    def __init__(self, group: ObserverGroup, name: Phase, observers: list[NoObserver]) -> None:
        self._group, self._name, self._observers = group, name, observers
        self._entered: list[tuple[NoObserver, AbstractContextManager[None]]] = []

    def __enter__(self) -> None:
        self._entered = entered = []
        for observer in self._observers:
            try:
                context = observer.phase(self._name)
                context.__enter__()
                entered.append((observer, context))
            except Exception as error:
                self._group._drop(observer, f"phase {self._name}", error)

    def __exit__(self, *_: object) -> None:
        for observer, context in reversed(self._entered):
            try:
                context.__exit__(None, None, None)
            except Exception as error:
                self._group._drop(observer, f"phase {self._name}", error)
