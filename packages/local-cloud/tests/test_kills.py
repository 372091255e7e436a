"""Everything acknowledged survives random kills: a few of them here, sixty of each kind with `make kills` and a table."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from local_cloud.testing import RunningCloud
from tests.kills import KINDS, kill_randomly
from tests.sagemaker.platform import quick_settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0 if "LOCAL_CLOUD_KILLS" in os.environ else 600)]
# Kills of each kind of work; the kinds cost very different times.
SHORT = {"s3": 3, "runs": 1}


@pytest.mark.parametrize("kind", sorted(KINDS if "LOCAL_CLOUD_KILLS" in os.environ else SHORT))
def test_what_was_acknowledged_survives_random_kills(own_cloud: RunningCloud, kind: str):
    kills = int(os.environ.get("LOCAL_CLOUD_KILLS", SHORT.get(kind, 1)))
    seed = int(os.environ.get("LOCAL_CLOUD_KILLS_SEED", time.time()))
    own_cloud.start(**quick_settings())
    tally = kill_randomly(own_cloud, KINDS[kind], kills, seed)
    print(f"\n{tally.row()}")
    if "LOCAL_CLOUD_KILLS" in os.environ:
        with Path("build/kills.md").open("a") as table:  # `make kills` makes the folder
            table.write(tally.row() + "\n")
    assert tally.wrong == [], f"seed {seed}"
