"""The machines that jobs run on: the one table of defaults, for a deployment's settings and for an execution's input.

A deployment may choose others (`-c instances.training=…`), an execution again others (`instances` of its input). The state machine
merges the three, saves the result with the input, and every job reads there on what it runs. No job fills in a default of its own.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from functools import partial

from contract.checked import Checked, checked
from contract.validation import InvalidField, an_integer

FORM = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")


def an_instance_type(path: str, value: object) -> str:
    """A type of SageMaker's such as `ml.m5.xlarge`; whether a region has it, only AWS knows."""
    if not isinstance(value, str) or not FORM.fullmatch(value):
        raise InvalidField(path, value, "an instance type such as ml.m5.xlarge")
    return value


@dataclass(frozen=True)
class InstanceTypes(Checked):
    """Instance type by kind of job."""

    PATH = "instances"

    prepare: str = checked(an_instance_type, "ml.m5.2xlarge")
    training: str = checked(an_instance_type, "ml.m5.2xlarge")
    analysis: str = checked(an_instance_type, "ml.m5.xlarge")
    transform: str = checked(an_instance_type, "ml.m5.xlarge")


KINDS = tuple(item.name for item in fields(InstanceTypes))


@dataclass(frozen=True)
class Instances(InstanceTypes):
    """Of one execution; `training_count` machines train together."""

    training_count: int = checked(partial(an_integer, minimum=1, maximum=64), 1)


def decided(deployed: InstanceTypes) -> dict[str, object]:
    """What an execution gets that asks for nothing: the deployment's types, in the form that the state machine merges."""
    return asdict(Instances(**asdict(deployed)))
