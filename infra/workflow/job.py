"""A job of a step, declared once: image, command, machine, time limit, role, and the folders that it reads and writes.

Its state, the rights of its role and its row in docs/architecture.md derive from this; nothing of it is written a second time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from contract.names import PROCESSING_LOGS, TRAINING_LOGS, TRANSFORM_LOGS
from infra.workflow import requests
from infra.workflow.platform import Platform
from infra.workflow.requests import Kind


@dataclass(frozen=True)
class Folder:
    """A folder below the execution's own, `S/<name>/`; `part` of it; and where a processing job finds or leaves it.

    `uri` is a path or intrinsic that says more exactly where; `outside`: it lies elsewhere, and rights to it are given
    by hand in infra/roles.py.
    """

    name: str
    part: str = ""
    uri: str = ""
    channel: str = ""
    at: str = ""
    outside: bool = False

    @property
    def source(self) -> str:
        return self.uri or requests.in_execution(f"{self.name}/{self.part}")


def folders(*names: str) -> tuple[Folder, ...]:
    return tuple(Folder(name) for name in names)


@dataclass(frozen=True)
class Job:
    """`state` names the state, `id` stands in the job's name, `role` and `image` are those of Platform.

    `or_image`: another one that it may run in, by what the plan says.
    """

    state: str
    id: str
    role: str
    image: str
    machine: Kind
    limit: str  # field of `max_runtime_minutes`
    reads: tuple[Folder, ...] = ()
    writes: tuple[Folder, ...] = ()
    command: tuple[str, ...] = ()
    isolated: bool = False  # works on its files alone: calls no service, so it needs neither network nor credentials
    or_image: str = ""

    action: ClassVar[str]
    name_field: ClassVar[str]
    logs: ClassVar[str] = PROCESSING_LOGS

    @property
    def images(self) -> tuple[str, ...]:
        return (self.image, self.or_image) if self.or_image else (self.image,)

    def minutes(self, platform: Platform) -> int:
        return getattr(platform.settings.max_runtime_minutes, self.limit)

    def request(self, platform: Platform) -> dict[str, Any]:
        """What the call that starts it is given."""
        raise NotImplementedError


@dataclass(frozen=True)
class ProcessingJob(Job):
    """Rendered as a whole from its declaration. `arguments`: an intrinsic that makes the arguments during the execution."""

    arguments: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    action = "createProcessingJob"
    name_field = "ProcessingJobName"

    def request(self, platform: Platform) -> dict[str, Any]:
        job = requests.processing_job(
            platform, step=self.id, image=platform.images[self.image], role=platform.roles[self.role],
            instance=self.machine, entrypoint=["python", "-m", self.command[0]] if self.command else None,
            arguments=None if self.arguments else list(self.command[1:]) or None,
            arguments_path=self.arguments or None, minutes=self.minutes(platform),
            inputs=[requests.processing_input(one.channel or one.name, one.source, one.at or one.name) for one in self.reads],
            outputs=[requests.processing_output(one.channel or one.name, one.source, one.at or None) for one in self.writes],
            isolated=self.isolated,
        )  # fmt: skip
        return {**job, "Environment": self.environment} if self.environment else job


@dataclass(frozen=True)
class TrainingJob(Job):
    """A training: its request is in the step's module."""

    action = "createTrainingJob"
    name_field = "TrainingJobName"
    logs = TRAINING_LOGS


@dataclass(frozen=True)
class TuningJob(Job):
    """A search by SageMaker."""

    action = "createHyperParameterTuningJob"
    name_field = "HyperParameterTuningJobName"
    logs = TRAINING_LOGS


@dataclass(frozen=True)
class TransformJob(Job):
    """A batch transform. It takes no time limit of its own: the state's timeout stops it."""

    action = "createTransformJob"
    name_field = "TransformJobName"
    logs = TRANSFORM_LOGS


@dataclass(frozen=True)
class Model(Job):
    """No job, but what is made for one: costs nothing until a job or endpoint uses it."""

    action = "createModel"
    name_field = "ModelName"
    logs = TRANSFORM_LOGS
