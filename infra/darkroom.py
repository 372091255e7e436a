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
        names, tags = self.settings.names, self.settings.all_tags
        self.storage = StorageStack(app, names.stack("Storage"), settings=self.settings, tags=tags)
        self.images = ImagesStack(app, names.stack("Images"), settings=self.settings, root=root, tags=tags)
        self.pipeline = PipelineStack(
            app, names.stack("Pipeline"), settings=self.settings, storage=self.storage, images=self.images, tags=tags
        )
        self.endpoints = EndpointsStack(
            app, names.stack("Endpoints"), settings=self.settings, storage=self.storage, images=self.images,
            pipeline=self.pipeline, tags=tags,
        )  # fmt: skip
        self.comparison = ComparisonStack(
            app, names.stack("Comparison"), settings=self.settings, pipeline=self.pipeline, tags=tags
        )
        for stack in self.stacks:
            for key, value in tags.items():
                Tags.of(stack).add(key, value)

    @property
    def stacks(self) -> list[Stack]:
        return [self.storage, self.images, self.pipeline, self.endpoints, self.comparison]
