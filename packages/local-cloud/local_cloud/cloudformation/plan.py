"""What a deployment is to do, once everything that can be known before has been checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local_cloud.cloudformation.evaluate import Evaluator


@dataclass(frozen=True)
class Plan:
    """What a template asks for: its resources whose condition holds, and how to evaluate it."""

    template: dict[str, Any]
    active: dict[str, Any]
    evaluator: Evaluator
    # DeletionPolicy and UpdateReplacePolicy of each of these resources.
    policies: dict[str, tuple[str, str]]
    # Names of the exports that evaluating it has used so far.
    imports: set[str]
