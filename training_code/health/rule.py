"""What a health rule is, and their names.

The names are those of SageMaker Debugger's built-in rules (https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html)
so that a configuration can be carried over; definitions and implementations are ours (docs/health.md), and every result says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["IssuesFound", "NoIssuesFound", "NoData"]

RULE_NAMES = (
    "LossNotDecreasing", "VanishingGradient", "ExplodingTensor", "Overfit", "Overtraining", "PoorWeightInitialization",
    "DeadRelu", "SaturatedActivation", "ClassImbalance", "LowGPUUtilization", "LowCPUUtilization", "CPUBottleneck",
    "IOBottleneck", "BatchSize", "LoadBalancing", "StepOutlier", "MaxInitializationTime", "LongEvaluation",
)  # fmt: skip
