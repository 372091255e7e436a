"""What all tests of the local cloud share: clouds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from local_cloud.testing import RunningCloud
from tests.sagemaker.platform import Platform, quick_settings

# No time limits: a busy machine is no fault of the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """One cloud for a whole test process: use names of your own in it, and do not kill it or change how it works."""
    running = RunningCloud(tmp_path_factory.mktemp("cloud"))
    running.start(**quick_settings())
    yield running
    running.stop()


@pytest.fixture(scope="session")
def platform(cloud: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The same cloud, with a role, a bucket and images."""
    return Platform(cloud, tmp_path_factory.mktemp("platform"))


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[RunningCloud]:
    """A cloud of this test alone, not yet started: for tests that kill it or damage its state."""
    running = RunningCloud(tmp_path / "own-cloud")
    yield running
    if running.process and running.process.poll() is None:
        running.kill()
