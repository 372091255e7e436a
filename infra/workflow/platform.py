"""What every step needs to know of the account it runs in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.settings import Settings


@dataclass(frozen=True)
class Images:
    """Image URIs; `clarify` is the analysis image or AWS's own, by setting."""

    training: str
    analysis: str
    inference: str
    clarify: str


@dataclass(frozen=True)
class RoleArns:
    prepare: str
    training: str
    evaluation: str
    analysis: str
    model: str
    report: str


@dataclass(frozen=True)
class Platform:
    """Names and ARNs (mostly CDK tokens) that requests are rendered with."""

    settings: Settings
    images: Images
    roles: RoleArns
    artifacts_bucket: str
    models_bucket: str
    model_package_group: str
    kms_key: str | None = None
    # Blocks that managed mode adds to CreateTrainingJob.
    debugger: Mapping[str, Any] = field(default_factory=dict)
