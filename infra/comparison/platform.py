"""What the comparison's steps need beyond what the pipeline's steps need."""

from __future__ import annotations

from dataclasses import dataclass

from infra.workflow.platform import Platform


@dataclass(frozen=True)
class ComparisonPlatform:
    base: Platform
    prepare_role: str
    extract_role: str
    benchmark_role: str
    compare_role: str
    pipeline_arn: str
