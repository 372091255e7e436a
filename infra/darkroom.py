"""The stacks of one environment and the order in which they deploy."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Stack, Tags

from infra import settings
from infra.comparison.stack import ComparisonStack
from infra.endpoints import EndpointsStack
from infra.images import ImagesStack
from infra.pipeline import PipelineStack
from infra.storage import StorageStack


class Darkroom:
    """Reads the settings of the app once and builds its stacks; raises SettingError."""

    def __init__(self, app: App, root: Path) -> None:
        self.settings = settings.read(app.node.get_all_context())
        name = self.settings.stack_prefix
        self.storage = StorageStack(app, f"{name}-Storage", settings=self.settings)
        self.images = ImagesStack(app, f"{name}-Images", settings=self.settings, root=root)
        self.pipeline = PipelineStack(
            app, f"{name}-Pipeline", settings=self.settings, storage=self.storage, images=self.images
        )
        self.endpoints = EndpointsStack(
            app, f"{name}-Endpoints", settings=self.settings, storage=self.storage, images=self.images,
            pipeline=self.pipeline,
        )  # fmt: skip
        self.comparison = ComparisonStack(app, f"{name}-Comparison", settings=self.settings, pipeline=self.pipeline)
        for stack in self.stacks:
            for key, value in self.settings.all_tags.items():
                Tags.of(stack).add(key, value)

    @property
    def stacks(self) -> list[Stack]:
        return [self.storage, self.images, self.pipeline, self.endpoints, self.comparison]
