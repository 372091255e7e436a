"""Measure bias: Clarify's bias metrics of the test predictions, for the facets that `metadata.csv` names."""

from __future__ import annotations

from constructs import Construct

from infra.workflow import step
from infra.workflow.explain_with_clarify import clarify_request
from infra.workflow.platform import Platform
from infra.workflow.skip import skip


class MeasureBias:
    """States `Measure bias` and, when there is nothing to measure it by, `Skip bias`."""

    def __init__(self, scope: Construct, platform: Platform) -> None:
        self.job = step.job(
            scope, "Measure bias", action="createProcessingJob", result="$.bias",
            minutes=platform.settings.max_runtime_minutes.analysis, parameters=request(platform),
            selector={"job.$": "$.ProcessingJobName"},
        )  # fmt: skip
        self.skipped = skip(
            scope, "Skip bias", platform, folder="bias", result="$.bias",
            reason="bias.enabled is false, or the data set has no facet to measure by (plan.json says which)",
        )  # fmt: skip


def request(platform: Platform) -> dict:
    return clarify_request(platform, "bias", config="bias-input/config/", data="bias-input/data/", output="bias/")
