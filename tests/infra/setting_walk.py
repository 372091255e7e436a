"""Each setting and another value for it, and what a deployed stack says to a change of it.

A stack that others import from is updated before them: while they still have the old template, its new one must still export
what they import. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-exports.html
"""

from __future__ import annotations

import json
import re
from typing import Any

from infra.settings import paths

# These two are the name of a deployment: another value is another deployment, beside this one.
IDENTITY = ("project", "environment")
# Part of the roles' ARNs, which other stacks import: chosen before the first deployment.
AT_FIRST = ("roles.path", "roles.name_prefix")
OTHER: dict[str, dict[str, str]] = {
    "instances.prepare": {"instances.prepare": "ml.c5.xlarge"},
    "instances.training": {"instances.training": "ml.g5.xlarge"},
    "instances.analysis": {"instances.analysis": "ml.c5.xlarge"},
    "instances.transform": {"instances.transform": "ml.c5.xlarge"},
    "volume_gb": {"volume_gb": "60"},
    "endpoints.cpu.enabled": {"endpoints.cpu.enabled": "false"},
    "endpoints.cpu.instance_type": {"endpoints.cpu.instance_type": "ml.c5.xlarge"},
    "endpoints.cpu.instance_count": {"endpoints.cpu.instance_count": "2"},
    "endpoints.multi_model.enabled": {"endpoints.multi_model.enabled": "false"},
    "endpoints.multi_model.instance_type": {"endpoints.multi_model.instance_type": "ml.c5.xlarge"},
    "endpoints.multi_model.instance_count": {"endpoints.multi_model.instance_count": "2"},
    "endpoints.gpu.enabled": {"endpoints.gpu.enabled": "true"},
    "endpoints.gpu.instance_type": {"endpoints.gpu.instance_type": "ml.g5.xlarge"},
    "endpoints.gpu.instance_count": {"endpoints.gpu.instance_count": "2"},
    "debugger": {"debugger": "managed"},
    "clarify": {"clarify": "managed"},
    "approval": {"approval": "manual"},
    "spot_training": {"spot_training": "true"},
    **{f"max_runtime_minutes.{kind}": {f"max_runtime_minutes.{kind}": "77"}
       for kind in ("prepare", "tuning", "training", "analysis", "transform", "spot_wait")},
    "encryption": {"encryption": "kms"},
    "removal": {"removal": "retain"},
    **{f"lifecycle.{kind}": {f"lifecycle.{kind}": "44"}
       for kind in ("executions_days", "comparisons_days", "feature_cache_days", "old_versions_days", "access_logs_days")},
    "logs.retention_days": {"logs.retention_days": "30"},
    "logs.own_job_groups": {"logs.own_job_groups": "true"},
    # Both or neither.
    "network.subnets": {"network.subnets": "subnet-0a1b2c3d", "network.security_groups": "sg-0a1b2c3d"},
    "network.security_groups": {"network.subnets": "subnet-0a1b2c3d", "network.security_groups": "sg-0a1b2c3d,sg-1a2b3c4d"},
    "network.isolation": {"network.isolation": "false"},
    "network.encrypt_between_machines": {"network.encrypt_between_machines": "false"},
    "roles.permissions_boundary": {"roles.permissions_boundary": "no-more-than-this"},
    "readable_prefixes": {"readable_prefixes": "s3://someone-elses-bucket/photos/"},
    "tags": {"tags": "cost-center=42"},
}  # fmt: skip
TOGETHER: dict[str, dict[str, str]] = {
    "no endpoint": {"endpoints.cpu.enabled": "false", "endpoints.multi_model.enabled": "false"},
    "no endpoint, retained": {
        "endpoints.cpu.enabled": "false",
        "endpoints.multi_model.enabled": "false",
        "removal": "retain",
    },
    "a key, retained": {"encryption": "kms", "removal": "retain"},
}
# What holds something that a replacement would lose.
PRECIOUS = (
    "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SageMaker::ModelPackageGroup", "AWS::StepFunctions::StateMachine",
    "AWS::Logs::LogGroup",
)  # fmt: skip


def left_out() -> set[str]:
    """Settings that nobody walks."""
    return set(paths()) - set(OTHER) - set(IDENTITY) - set(AT_FIRST)


def exports(template: dict[str, Any]) -> set[str]:
    return {one["Export"]["Name"] for one in template.get("Outputs", {}).values() if "Export" in one}


def imports(template: dict[str, Any]) -> set[str]:
    return set(re.findall(r'"Fn::ImportValue": "([^"]+)"', json.dumps(template)))


def locked(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> set[str]:
    """Exports that deployed stacks still import when the stack that makes them stops making them."""
    made = set().union(*(exports(template) for template in new.values()))
    return set().union(*(imports(template) for template in old.values())) - made
