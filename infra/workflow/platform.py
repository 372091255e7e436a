"""What every step needs to know of the account it runs in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aws_cdk import aws_s3 as s3

from infra.settings import Settings


@dataclass(frozen=True)
class Platform:
    """Names and ARNs (mostly CDK tokens) that requests are rendered with.

    `images` are URIs of `training`, `analysis`, `inference` and `clarify` (the analysis image or AWS's own, by setting), `roles` ARNs
    by the names that jobs give them.
    """

    settings: Settings
    images: Mapping[str, str]
    roles: Mapping[str, str]
    artifacts: s3.IBucket
    models: s3.IBucket
    model_package_group: str
    # The repository of the inference image, whose digest is looked up when a model is registered.
    inference_repository: str
    kms_key: str | None = None
    # Blocks that managed mode adds to CreateTrainingJob.
    debugger: Mapping[str, Any] = field(default_factory=dict)
