"""`darkroom-docker`: the local cloud's stand-in for docker, in Darkroom's own words."""

from darkroom.local import COMMAND, DOCKER_COMMAND
from local_cloud.docker.cli import main as stand_in


def main() -> None:
    """The console script."""
    stand_in(command=COMMAND, docker_command=DOCKER_COMMAND)
