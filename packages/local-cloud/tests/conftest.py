"""What all tests of the local cloud share: clouds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from local_cloud.testing import RunningCloud

# No time limits: a busy machine is no fault of the code.
settings.register_profile("patient")
settings.load_profile("patient")
ROOT = Path(__file__).parents[1]
# The CDK CLI is an npm package: it is installed at the top of the repository.
CDK = Path(__file__).parents[3] / "node_modules/.bin/cdk"


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A cloud shared by the whole test session: use names of your own in it."""
    running = RunningCloud(tmp_path_factory.mktemp("cloud"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[RunningCloud]:
    """A cloud of this test alone, not yet started: for tests that kill it or damage its state."""
    running = RunningCloud(tmp_path / "own-cloud")
    yield running
    if running.process and running.process.poll() is None:
        running.kill()
