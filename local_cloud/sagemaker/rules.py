"""Debugger and profiler rules of a training job: refused by name, because nothing here evaluates them yet.

AWS closed SageMaker Debugger's managed rules to new customers on 2026-07-30.
"""

from local_cloud.sagemaker.store import Document
from local_cloud.sagemaker.support import invalid


def check_rules(request: Document) -> None:
    """Refuses rule configurations that nothing here would evaluate."""
    for field in ("DebugRuleConfigurations", "ProfilerRuleConfigurations"):
        for rule in request.get(field, []):
            raise invalid(
                f"The local cloud does not evaluate the rule {rule['RuleConfigurationName']!r} of {field}. Leave it "
                "out, and examine the debug output in a processing job after training instead."
            )
