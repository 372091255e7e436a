"""Which image here stands for which of AWS's names.

AWS's names: https://docs.aws.amazon.com/sagemaker/latest/dg-ecr-paths/sagemaker-algo-docker-registry-paths.html. The account is
another one in each region; the name of the repository decides, in any account but the cloud's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from local_cloud.docker.build import tree_digest

IMAGES = Path(__file__).parent / "images"
REGISTRY = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<repository>[^:@]+)(?P<version>[:@].+)?"
)


@dataclass(frozen=True)
class Framework:
    """One image of `images/`."""

    folder: str
    title: str
    distribution: str  # the package whose version is told
    names: re.Pattern[str]

    @property
    def digest(self) -> str:
        """What the image is made from."""
        return "".join(tree_digest(IMAGES / name)[:12] for name in ("script_mode", "cures", self.folder))


FRAMEWORKS = (
    Framework("pytorch", "PyTorch", "torch", re.compile(r"pytorch-(training|inference)")),
    Framework(
        "scikit-learn",
        "scikit-learn",
        "scikit_learn",
        re.compile(r"sagemaker-scikit-learn|sagemaker-base-python(-\d+)?"),
    ),
    Framework("xgboost", "XGBoost", "xgboost_cpu", re.compile(r"sagemaker-xgboost|xgboost")),
)


def framework_of(uri: str, own_account: str) -> Framework | None:
    """The image that stands for AWS's `uri`; None where there is none, or where the image is one of this cloud."""
    name = REGISTRY.fullmatch(uri)
    if name is None or name["account"] == own_account:
        return None
    return next((each for each in FRAMEWORKS if each.names.fullmatch(name["repository"])), None)


def repository_of(uri: str) -> str:
    """The repository that an image URI names; the URI itself where it is none of ECR's."""
    name = REGISTRY.fullmatch(uri)
    return name["repository"] if name else uri
