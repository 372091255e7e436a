"""One job in progress: a thread that waits for events (an exit, a stop, a deadline) and never polls for state."""

import logging
import shutil
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from local_cloud.access.authority import acting
from local_cloud.errors import AwsError, words_for
from local_cloud.sagemaker.containers import Container
from local_cloud.sagemaker.launch import literal_base
from local_cloud.sagemaker.outputs import Outputs
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.store import Store

LOGGER = logging.getLogger(__name__)
FAILURE_LIMIT = 1024


class JobFailed(Exception):
    """The job is over; the text is its FailureReason."""


class CloudStopped(Exception):
    """The cloud stops: the job stays as it is, and begins again at the next start."""


class Control:
    """What others ask of a run, and the bell that wakes it."""

    def __init__(self) -> None:
        self.bell = threading.Condition()
        self.stop_requested = False
        self.interrupt_requested = False

    def ring(self) -> None:
        with self.bell:
            self.bell.notify_all()

    def request_stop(self) -> None:
        with self.bell:
            self.stop_requested = True
            self.bell.notify_all()

    def request_interrupt(self) -> None:
        with self.bell:
            self.interrupt_requested = True
            self.bell.notify_all()

    def wait(self, until: Callable[[], bool], timeout: float | None) -> bool:
        with self.bell:
            return self.bell.wait_for(until, timeout)


class JobRun:
    """Base of all runs; a subclass says what happens in `execute` and how an end is recorded in `record_failure`."""

    kind: str

    def __init__(self, runtime: Runtime, name: str):
        self.runtime, self.name = runtime, name
        self.context = runtime.context
        self.clock = runtime.context.clock
        self.control = Control()
        self.folder = runtime.folder / "jobs" / self.kind / name
        self.containers: list[Container] = []
        # What may be uploaded of it; lines about the rest go to the log of its first host.
        self.log: Callable[[list[str]], None] = lambda lines: None
        mounted = literal_base(runtime, self.folder) != self.folder
        self.outputs = Outputs(self.folder, lambda lines: self.log(lines), mounted)
        self._thread = threading.Thread(target=self._guarded, name=f"{self.kind} {name}", daemon=True)

    def start(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)  # kept by request, of a life that the cloud's end cut off
        self.runtime.runs.add(self)
        self._thread.start()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def change(self, **fields: Any) -> None:
        self.runtime.store.change(self.kind, self.name, **fields)

    def now(self) -> datetime:
        """As AWS reports it."""
        return self.runtime.store.now()

    def stop(self) -> None:
        """Asks for a stop; the run itself carries it out."""
        self.control.request_stop()

    @property
    def role_arn(self) -> str | None:
        """The role in whose name the run reads and writes."""
        return getattr(self, "job", {}).get("RoleArn")

    def execute(self) -> None:
        raise NotImplementedError

    def record_failure(self, reason: str) -> None:
        raise NotImplementedError

    def ended(self) -> None:
        """Called last, whatever happened."""

    def await_containers(
        self, deadline: float | None, tick: Callable[[], Any] | None = None, until: Callable[[], bool] | None = None
    ) -> str:
        """Why waiting ended: "exited", "stop", "interrupt", or "timeout"; `tick` is called every sync interval."""
        control = self.control

        def over() -> bool:
            return (
                (until() if until else not any(c.running for c in self.containers))
                or control.stop_requested
                or control.interrupt_requested
            )

        while True:
            remaining = None if deadline is None else deadline - self.clock.ticks()
            if remaining is not None and remaining <= 0:
                return "timeout"
            interval = self.runtime.settings.sync_seconds if tick else remaining
            if control.wait(over, min(interval, remaining) if remaining is not None and interval else interval):
                break
            if tick:
                tick()
        if control.stop_requested:
            return "stop"
        return "interrupt" if control.interrupt_requested else "exited"

    def check_stop(self) -> None:
        if self.runtime.stopping.is_set():
            raise CloudStopped

    def _guarded(self) -> None:
        try:
            with acting(self.role_arn, "SageMaker"):
                self.execute()
        except CloudStopped:
            pass
        except JobFailed as failure:
            self._fail(str(failure))
        except AwsError as error:
            self._fail(f"ClientError: {error.message}")
        except Exception as error:
            LOGGER.exception("%s %s failed inside the local cloud", self.kind, self.name)
            self._fail(f"InternalServerError: {words_for(error)}")
        finally:
            for container in self.containers:
                container.stop(0)
            self.runtime.runs.remove(self)
            if not self.runtime.settings.keep_job_folders:
                shutil.rmtree(self.folder, ignore_errors=True)
            self.ended()

    def _fail(self, reason: str) -> None:
        if self.runtime.stopping.is_set():
            return  # it begins again at the next start
        try:
            self.record_failure(reason[:FAILURE_LIMIT])
        except Exception:
            LOGGER.exception("the failure of %s %s could not be recorded", self.kind, self.name)


def remove_leftovers(runtime: Runtime) -> None:
    """Deletes the folders of jobs and servers that an earlier process did not live to delete; nothing uses them."""
    leftovers = [runtime.folder / "endpoints"]
    if not runtime.settings.keep_job_folders:
        leftovers.append(runtime.folder / "jobs")
    for folder in leftovers:
        for left in folder.glob("*"):
            shutil.rmtree(left, ignore_errors=True)


def end_stopping(store: Store) -> None:
    """Jobs that had been asked to stop when the last process ended are stopped: nothing of them runs any more."""
    ends = {
        "TrainingJob": "TrainingEndTime",
        "HyperParameterTuningJob": "HyperParameterTuningEndTime",
        "ProcessingJob": "ProcessingEndTime",
        "TransformJob": "TransformEndTime",
    }
    for noun, end_field in ends.items():
        for job in store.all(noun, lambda d, n=noun: d[f"{n}Status"] == "Stopping"):
            fields: dict[str, Any] = {f"{noun}Status": "Stopped", end_field: store.now()}
            if noun == "TrainingJob":
                fields["SecondaryStatus"] = "Stopped"
            store.change(noun, job[f"{noun}Name"], **fields)


def read_message(outputs: Outputs, path: Path) -> str:
    """The text that a job left in a file of the contract (`output/failure`, `output/message`), cut as AWS cuts it."""
    return outputs.text(path, FAILURE_LIMIT * 4).strip()[:FAILURE_LIMIT]
