"""One cloud for all SageMaker tests; every test uses names of its own in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sagemaker.platform import Platform, started_platform


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    shared = started_platform(tmp_path_factory.mktemp("sagemaker"))
    yield shared
    shared.cloud.stop()
