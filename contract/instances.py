"""The machines that jobs run on: the one table of defaults, for a deployment's settings and for an execution's input.

A deployment may choose others (`-c instances.training=…`), an execution again others (`instances` of its input). The state machine
merges the three, saves the result with the input, and every job reads there on what it runs. No job fills in a default of its own.
"""

from __future__ import annotations

import fnmatch
from dataclasses import asdict, dataclass, fields

from contract.checked import Checked
from contract.rule import Rule, form, integer

FORM = r"ml\.[a-z0-9-]+\.[a-z0-9]+"  # whether a region has it, only AWS knows


NOUN = "an instance type such as ml.m5.xlarge"


def instance_type(default: str, meaning: str) -> str:
    """A field with a type of SageMaker's such as `ml.m5.xlarge`."""
    return form(default, FORM, NOUN, meaning)


def an_instance_type(path: str, value: object) -> str:
    """The same check where there is no field of ours: in a configuration of AWS's own form."""
    return Rule("form", "", form=FORM, noun=NOUN).check(path, value)


@dataclass(frozen=True)
class InstanceTypes(Checked):
    """Instance type by kind of job."""

    PATH = "instances"

    prepare: str = instance_type("ml.m5.2xlarge", "preparing data")
    training: str = instance_type("ml.m5.2xlarge", "tuning and training")
    analysis: str = instance_type("ml.m5.xlarge", "health, explanations, evaluation, bias, report")
    transform: str = instance_type("ml.m5.xlarge", "batch transform, Clarify's endpoint, the benchmark of a comparison")


# Types with disks of their own, which hardware encrypts: SageMaker refuses a key for their volumes. As patterns of Step Functions' choices.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/InstanceStorage.html
OWN_DISKS = (
    "ml.*d.*", "ml.*dn.*", "ml.*de.*", "ml.g5.*", "ml.g6.*", "ml.g6e.*", "ml.gr6.*", "ml.p5*.*", "ml.p6*.*", "ml.trn*.*",
)  # fmt: skip


def has_own_disks(type: str) -> bool:
    """Whether a machine of this type brings local storage."""
    return any(fnmatch.fnmatchcase(type, pattern) for pattern in OWN_DISKS)


KINDS = tuple(item.name for item in fields(InstanceTypes))


@dataclass(frozen=True)
class Instances(InstanceTypes):
    """Of one execution."""

    training_count: int = integer(1, 1, 64, "machines that train together")


def decided(deployed: InstanceTypes) -> dict[str, object]:
    """What an execution gets that asks for nothing: the deployment's types, in the form that the state machine merges."""
    return asdict(Instances(**asdict(deployed)))
