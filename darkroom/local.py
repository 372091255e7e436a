"""Starts and stops the local cloud's process: the only module that knows how. All else speaks to it through AWS APIs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from darkroom.failure import DarkroomError
from darkroom.home import Home
from local_cloud import process
from local_cloud.process import LivingCloud as LivingCloud
from local_cloud.process import ProcessFault

# What the cloud and its docker command tell a person to type.
COMMAND, DOCKER_COMMAND = "darkroom", "darkroom-docker"


@contextmanager
def _in_our_words(home: Home, advice: str = "") -> Iterator[None]:
    try:
        yield
    except ProcessFault as fault:
        log = home.path / "logs" / "cloud.log"
        raise DarkroomError(str(fault), advice or f"Log: {log}; another home: DARKROOM_HOME") from None


def find(home: Home) -> LivingCloud | None:
    """The cloud of this home, None when none lives; one that is just starting or stopping is waited for."""
    with _in_our_words(home):
        return process.find(home.state)


def require(home: Home) -> LivingCloud:
    """The running cloud, or an error that says how to start it."""
    cloud = find(home)
    if cloud is None:
        raise DarkroomError(f"No local cloud runs in {home.path}.", f"Start it: {COMMAND} up")
    return cloud


def interrupt(home: Home, job: str) -> None:
    """Take the spot instance away from a running training job, as AWS may at any moment; DarkroomError when there is none."""
    advice = f"Spot training is the setting spot_training: {COMMAND} deploy -c spot_training=true"
    cloud = require(home)
    with _in_our_words(home, advice):
        process.interrupt(cloud, job)


def permissions(cloud: LivingCloud, mode: str | None = None, unused: bool = False) -> dict[str, Any]:
    """What was asked of the cloud in the name of roles and how IAM judges it; with `mode`, judged so from now on.

    `unused` adds each action and resource of the roles' policies, and whether a call needed it.
    """
    try:
        return process.permissions(cloud, mode, unused)
    except ProcessFault as fault:
        raise DarkroomError(str(fault)) from None


def start(home: Home, port: int = 0, region: str = "us-east-1") -> tuple[LivingCloud, bool]:
    """The cloud of this home, started unless it runs; and whether it was started now."""
    settings = {
        "LOCAL_CLOUD_ENVIRONMENTS": str(home.environments), "LOCAL_CLOUD_HIDDEN": str(home.path),
        "LOCAL_CLOUD_COMMAND": COMMAND, "LOCAL_CLOUD_DOCKER_COMMAND": DOCKER_COMMAND,
    }  # fmt: skip
    with _in_our_words(home):
        return process.start(home.folder("cloud"), home.folder("logs") / "cloud.log", port, region, settings)


def stop(home: Home) -> bool:
    """Stop the cloud and wait until it has ended; False when none ran. Its state stays."""
    with _in_our_words(home):
        return process.stop(home.state)
