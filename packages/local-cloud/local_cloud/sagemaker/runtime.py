"""What every part of the local SageMaker works with: the cloud's seams, the store, the runs, the settings."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_cloud.sagemaker.containers import Watchdog
from local_cloud.sagemaker.namespaces import Launchers
from local_cloud.sagemaker.store import Store

if TYPE_CHECKING:
    from local_cloud.context import CloudContext
    from local_cloud.sagemaker.runs import JobRun


@dataclass(frozen=True)
class Settings:
    """What a user may set about running jobs; every name is an environment variable of the cloud process."""

    stop_grace_seconds: float = 120.0  # LOCAL_CLOUD_STOP_GRACE_SECONDS: between SIGTERM and SIGKILL, as on AWS
    sync_seconds: float = 2.0  # LOCAL_CLOUD_SYNC_SECONDS: how often checkpoints and continuous outputs are uploaded
    keep_job_folders: bool = False  # LOCAL_CLOUD_KEEP_JOB_FOLDERS: leave a finished job's /opt/ml tree for inspection
    rules_image: str = (
        ""  # LOCAL_CLOUD_RULES_IMAGE: evaluates rules of trainings whose own image does not (see rules.py)
    )
    # LOCAL_CLOUD_MOUNT_OPT_ML: whether each job's tree stands at /opt/ml; unset: wherever it can
    mount_opt_ml: bool | None = None

    @classmethod
    def from_environment(cls) -> "Settings":
        def flag(name: str) -> bool:
            return os.environ.get(name, "0").lower() in ("1", "true", "yes")

        return cls(
            stop_grace_seconds=float(os.environ.get("LOCAL_CLOUD_STOP_GRACE_SECONDS", cls.stop_grace_seconds)),
            sync_seconds=float(os.environ.get("LOCAL_CLOUD_SYNC_SECONDS", cls.sync_seconds)),
            rules_image=os.environ.get("LOCAL_CLOUD_RULES_IMAGE", ""),
            keep_job_folders=flag("LOCAL_CLOUD_KEEP_JOB_FOLDERS"),
            mount_opt_ml=flag("LOCAL_CLOUD_MOUNT_OPT_ML") if os.environ.get("LOCAL_CLOUD_MOUNT_OPT_ML") else None,
        )


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


@dataclass
class Runtime:
    """Handed to every operation and every run."""

    context: "CloudContext"
    store: Store
    watchdog: Watchdog
    settings: Settings
    launchers: Launchers = field(default_factory=Launchers)
    runs: Runs = field(default_factory=Runs)
    endpoints: Any = None  # endpoints.Endpoints, set by the service
    on_first_job: Callable[[], None] = lambda: None
    stopping: threading.Event = field(default_factory=threading.Event)
    rule_names: dict[str, list[str]] = field(default_factory=dict)  # by image id, see rules.py

    @property
    def folder(self) -> Path:
        return self.context.state_dir / "sagemaker"

    def arn(self, noun: str, name: str) -> str:
        return self.store.arn(noun, name)
