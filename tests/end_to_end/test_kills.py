"""The pipeline ends as if there had been no kill: two kills of a small run here; `make kills` kills the demo a hundred times."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from rich.console import Console

from darkroom import demo_data
from darkroom.commands.demo import DEMO_INPUT
from darkroom.home import Home
from tests.end_to_end.pipeline_kills import Pipeline

LONG = "DARKROOM_KILLS" in os.environ
pytestmark = [pytest.mark.slow, pytest.mark.timeout(0 if LONG else 900)]
# What makes an execution long and does not matter here.
QUICK = {"tuning": {"ranges": {"depths": [1, 2]}}, "explain": {"enabled": False}, "quality_gate": {"minimum": 0.3}}


def test_a_pipeline_that_is_killed_at_random_moments_ends_with_the_same_model_and_figures(
    deployed_with, photos, tmp_path
):
    command = deployed_with("endpoints.cpu.enabled=false")
    given = tmp_path / "input.json"
    # Without a name: an execution gets the one that it is started with.
    given.write_text(json.dumps({k: v for k, v in DEMO_INPUT.items() if k != "name"} if LONG else QUICK))
    data = demo_data.provide(Home(command.home), Console(stderr=True)) if LONG else photos
    kills, seed = int(os.environ.get("DARKROOM_KILLS", 2)), int(os.environ.get("DARKROOM_KILLS_SEED", time.time()))
    tally = Pipeline(command, data, given).kill_randomly(kills, seed, "the demo's pipeline" if LONG else "a small run")
    if LONG:
        with Path("build/pipeline_kills.md").open("a") as table:  # `make kills` makes the folder
            table.write(tally.row() + "\n")
    assert tally.wrong == [], f"seed {seed}"
    assert (tally.kills, tally.orphans) == (kills, 0)
