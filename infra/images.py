"""The images of the three rooms, built from the repository by the CDK CLI at deploy time.

Each image's build context holds only what it copies, so that a change elsewhere rebuilds nothing. Image URIs go into
other stacks as text, not as CloudFormation exports: an export in use cannot change, and an image changes often.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aws_cdk import CfnOutput, IgnoreMode, Stack
from aws_cdk import aws_ecr_assets as assets
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from contract.names import IMAGE_URIS
from infra.settings import Settings

CONTEXTS = {
    "training": ("training_code", "contract"),
    "analysis": ("analysis_code", "contract"),
    "inference": ("inference_code", "contract"),
}


class ImagesStack(Stack):
    """Images `training`, `training-torch`, `analysis`, `inference` and, when the GPU endpoint is wanted, `inference-gpu`."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, root: Path, **kwargs: Any) -> None:
        super().__init__(scope, id, description="Darkroom: container images", **kwargs)
        self.settings = settings
        self.root = root
        self.training = self._image("training", "training_code")
        self.training_torch = self._image("training", "training_code", variant="torch")
        self.analysis = self._image("analysis", "analysis_code")
        self.inference = self._image("inference", "inference_code")
        self.inference_gpu = self._gpu_image() if settings.endpoints.gpu.enabled else None

    def _gpu_image(self) -> assets.DockerImageAsset:
        return self._image("inference", "inference_code", variant="gpu")

    def _image(self, name: str, room: str, variant: str | None = None) -> assets.DockerImageAsset:
        title = f"{name}-{variant}" if variant else name
        image = assets.DockerImageAsset(
            self,
            title,
            directory=str(self.root),
            file=f"{room}/Dockerfile",
            build_args={"VARIANT": variant} if variant else None,
            exclude=excludes(self.root, CONTEXTS[name]),
            ignore_mode=IgnoreMode.DOCKER,
            # SageMaker's instances are x86-64; a build on an ARM laptop must say so.
            platform=assets.Platform.LINUX_AMD64,
            asset_name=f"darkroom-{title}",
        )
        # The parameter also gives this stack a resource: one without any cannot be deployed.
        ssm.StringParameter(
            self, f"{title}-uri", parameter_name=self.settings.parameter(f"{IMAGE_URIS}{title}"),
            string_value=image.image_uri,
        )  # fmt: skip
        CfnOutput(self, f"{title.title().replace('-', '')}Image", value=image.image_uri)
        return image


def excludes(root: Path, kept: tuple[str, ...]) -> list[str]:
    """`.dockerignore` lines that leave only these paths of the repository in the build context.

    They name what to leave out rather than `**` and exceptions: with an exception anywhere, CDK reads every file of every
    excluded folder, and the virtual environments alone have a hundred thousand. The lines are no part of the hash.
    """
    lines = []
    folders = {Path()} | {parent for path in kept for parent in Path(path).parents}
    for folder in sorted(folders):
        for entry in sorted((root / folder).iterdir()):
            path = entry.relative_to(root)
            if path not in folders and path.as_posix() not in kept:
                lines.append(f"/{path.as_posix()}")
    return [*lines, "**/__pycache__", "**/*.pyc", "**/.DS_Store", "**/README.md"]
