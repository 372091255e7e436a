"""The resource types: importing this package makes all of them known."""

from local_cloud.cloudformation.resources import custom, functions, identity, messaging, platform, sagemaker, storage
from local_cloud.cloudformation.resources.kinds import TYPES, Aws, Made, Naming, ResourceType, known_type
from local_cloud.cloudformation.resources.without_effect import REFUSED, WITHOUT_EFFECT, refusal

__all__ = [
    "REFUSED", "TYPES", "WITHOUT_EFFECT", "Aws", "Made", "Naming", "ResourceType", "custom", "functions", "identity", "known_type",
    "messaging", "platform",
    "refusal", "sagemaker", "storage",
]  # fmt: skip
