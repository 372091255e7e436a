"""What AWS brings itself, for accounts that still have it: Debugger rules, Profiler and Clarify's image.

AWS closed Debugger and Clarify to new customers, so these are settings and nothing here is loaded otherwise: the
SageMaker SDK takes seconds to import. Each region has an account of AWS with these images; the templates carry the
SDK's table and so stay good for every region.
"""

from __future__ import annotations

import warnings
from typing import Any

from aws_cdk import Aws, CfnMapping
from constructs import Construct

from infra.settings import SettingError
from infra.workflow.requests import in_execution

# Those of Darkroom's own health rules that AWS has for PyTorch under the same name.
# https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html
RULES = (
    "LossNotDecreasing", "VanishingGradient", "ExplodingTensor", "Overfit", "Overtraining", "PoorWeightInitialization",
    "DeadRelu", "SaturatedActivation", "ClassImbalance",
)  # fmt: skip
COLLECTIONS = ("losses", "gradients", "weights", "relu_output")
SAVE_INTERVAL = "100"
PROFILING_INTERVAL_MS = 500


def image_uri(scope: Construct, framework: str) -> str:
    """The image of `clarify` or `debugger` in whatever region the stack is deployed to."""
    try:
        with warnings.catch_warnings():
            # Some of the SDK's own sources are not clean Python any more.
            warnings.simplefilter("ignore")
            from sagemaker.core import image_uris
    except ImportError as error:
        raise SettingError(
            framework, "managed", "open, while the SageMaker Python SDK is not installed, which knows AWS's image of each region",
            "Install it with: pip install sagemaker-core",
        ) from error  # fmt: skip
    config = image_uris.config_for_framework(framework)
    (version, image), *_ = config.get("processing", config)["versions"].items()
    accounts = {region: {"account": account} for region, account in image["registries"].items()}
    table = CfnMapping(scope, f"{framework.title()}Registry", mapping=accounts)
    account = table.find_in_map(Aws.REGION, "account")
    return f"{account}.dkr.ecr.{Aws.REGION}.{Aws.URL_SUFFIX}/{image['repository']}:{version}"


def debugger(rules_image: str) -> dict[str, Any]:
    """Hook, rules and profiler of a CreateTrainingJob request."""
    return {
        "DebugHookConfig": {
            "S3OutputPath.$": in_execution("debugger/"),
            "HookParameters": {"save_interval": SAVE_INTERVAL},
            "CollectionConfigurations": [{"CollectionName": name} for name in COLLECTIONS],
        },
        "DebugRuleConfigurations": [rule(name, rules_image) for name in RULES],
        "ProfilerConfig": {
            "S3OutputPath.$": in_execution("profiler/"),
            "ProfilingIntervalInMilliseconds": PROFILING_INTERVAL_MS,
        },
        "ProfilerRuleConfigurations": [rule("ProfilerReport", rules_image)],
    }


def rule(name: str, rules_image: str) -> dict[str, Any]:
    return {
        "RuleConfigurationName": name,
        "RuleEvaluatorImage": rules_image,
        "RuleParameters": {"rule_to_invoke": name},
    }
