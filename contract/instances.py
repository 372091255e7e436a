"""The machines that jobs run on: the one table of defaults, for a deployment's settings and for an execution's input.

A deployment may choose others (`-c instances.training=…`), an execution again others (`instances` of its input). The state machine
merges the three, saves the result with the input, and every job reads there on what it runs. No job fills in a default of its own.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from contract.validation import InvalidField, an_integer, keep

FORM = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")


def an_instance_type(path: str, value: object) -> str:
    """A type of SageMaker's such as `ml.m5.xlarge`; whether a region has it, only AWS knows."""
    if not isinstance(value, str) or not FORM.fullmatch(value):
        raise InvalidField(path, value, "an instance type such as ml.m5.xlarge")
    return value


@dataclass(frozen=True)
class InstanceTypes:
    """Instance type by kind of job."""

    prepare: str = "ml.m5.2xlarge"
    training: str = "ml.m5.2xlarge"
    analysis: str = "ml.m5.xlarge"
    transform: str = "ml.m5.xlarge"

    def __post_init__(self) -> None:
        for kind in KINDS:
            an_instance_type(f"instances.{kind}", getattr(self, kind))


KINDS = tuple(InstanceTypes.__dataclass_fields__)


@dataclass(frozen=True)
class Instances(InstanceTypes):
    """Of one execution; `training_count` machines train together."""

    training_count: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, training_count=an_integer("instances.training_count", self.training_count, 1, 64))


def decided(deployed: InstanceTypes) -> dict[str, object]:
    """What an execution gets that asks for nothing: the deployment's types, in the form that the state machine merges."""
    return asdict(Instances(**asdict(deployed)))
