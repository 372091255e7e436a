"""What every part of the local SageMaker works with: the cloud's seams, the store, the runs, the settings."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from local_cloud.sagemaker.containers import Watchdog
from local_cloud.sagemaker.namespaces import Launchers, available
from local_cloud.sagemaker.store import Document, Store
from local_cloud.settings import Settings

if TYPE_CHECKING:
    from local_cloud.context import CloudContext
    from local_cloud.sagemaker.invocation import InvocationResponse
    from local_cloud.sagemaker.runs import JobRun


class Runs:
    """The runs in progress, by kind and name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[tuple[str, str], JobRun] = {}

    def add(self, run: "JobRun") -> None:
        with self._lock:
            self._runs[run.kind, run.name] = run

    def remove(self, run: "JobRun") -> None:
        with self._lock:
            self._runs.pop((run.kind, run.name), None)

    def find(self, kind: str, name: str) -> "JobRun | None":
        with self._lock:
            return self._runs.get((kind, name))

    def all(self) -> "list[JobRun]":
        with self._lock:
            return list(self._runs.values())


class Deployments(Protocol):
    """The containers of endpoints, as operations see them (endpoints.py has them)."""

    def restore(self) -> None: ...

    def deploy(self, name: str, config: str, variants: list[Document]) -> None: ...

    def remove(self, name: str) -> None: ...

    def set_weights(self, name: str, weights: Mapping[str, float]) -> None: ...

    def invoke(self, name: str, body: bytes, headers: Mapping[str, str]) -> "InvocationResponse": ...

    def close(self) -> None: ...


@dataclass
class Runtime:
    """Handed to every operation and every run."""

    context: "CloudContext"
    store: Store
    watchdog: Watchdog
    settings: Settings
    endpoints: Deployments = field(init=False)  # set by the service: they need the runtime themselves
    launchers: Launchers = field(default_factory=Launchers)
    runs: Runs = field(default_factory=Runs)
    on_first_job: Callable[[], None] = lambda: None
    stopping: threading.Event = field(default_factory=threading.Event)
    rule_names: dict[str, list[str]] = field(default_factory=dict)  # by image id, see rules.py

    @property
    def folder(self) -> Path:
        return self.context.state_dir / "sagemaker"

    @property
    def confines(self) -> bool:
        """Whether containers are confined: the machine can, and nobody said that it must not."""
        return self.settings.confine and available()

    def arn(self, noun: str, name: str) -> str:
        return self.store.arn(noun, name)
