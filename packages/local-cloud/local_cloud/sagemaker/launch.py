"""Starts a container: the image's own process and the job's variables, confined where the machine can."""

import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic

from local_cloud.access.actions import Needed, Place
from local_cloud.access.authority import acting
from local_cloud.docker.store import Image
from local_cloud.sagemaker.containers import Container, plain_process
from local_cloud.sagemaker.namespaces import (
    HOME,
    PLAIN,
    UNCUT,
    Room,
    environment_places,
    has_opt,
    hidden_places,
)
from local_cloud.sagemaker.paths import OPT_ML, relocated
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.support import invalid

# What keeps a job from the user's profiles where it is a process of theirs.
PROFILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


def literal_base(runtime: Runtime, base: Path) -> Path:
    """The path under which a container sees its tree: /opt/ml, or the tree itself where nothing can be mounted."""
    wanted = runtime.settings.mount_opt_ml
    possible = runtime.confines and has_opt()
    if wanted is False or (wanted is None and not possible):
        return base
    if not possible:
        raise invalid(
            "LOCAL_CLOUD_MOUNT_OPT_ML is set, but this machine gives containers no namespaces of their own, or has no folder "
            f"{OPT_ML.parent}. Unset it; images then find their folder through SAGEMAKER_BASE_DIR."
        )
    return Path(OPT_ML)


def launch(
    runtime: Runtime,
    image: Image,
    base: Path,
    environment: Mapping[str, str],
    *,
    on_lines: Callable[[list[str]], None],
    on_exit: Callable[[], None] = lambda: None,
    arguments: Sequence[str] = (),
    entrypoint: Sequence[str] | None = None,
    port: int | None = None,
    hosts_file: Path | None = None,
    read_only: Sequence[Path] = (),
    isolated: bool = False,
    peer: Container | None = None,
    door: socket.socket | None = None,
) -> Container:
    """A running container whose /opt/ml is `base`.

    `isolated` cuts its network but for loopback; `peer` is the host of its cluster that it may reach, and `door` the end of
    a pair through which the cloud asks for connections to the server inside.
    """
    seen = literal_base(runtime, base)
    mounted = seen != base
    if not image.packages.are_there:
        on_lines(["The packages of this image are installed now, at its first use. Later jobs find them."])
        began = monotonic()
        image.install()
        on_lines([f"Installed in {monotonic() - began:.0f} s."])
    process = image.process(
        [relocated(argument, base) for argument in arguments],
        base,
        port=port,
        entrypoint=[relocated(word, base) for word in entrypoint] if entrypoint else None,
        home=HOME if mounted else None,
    )
    own, there = str(base), str(seen)
    argv = [word.replace(own, there) for word in process.argv] if mounted else list(process.argv)
    image_env = dict(process.env)
    if mounted:
        image_env = {
            key: value.replace(own, there) for key, value in process.env.items() if key != "SAGEMAKER_BASE_DIR"
        }
        # There is no home with profiles to keep it from.
        environment = {key: value for key, value in environment.items() if key not in PROFILES or value != os.devnull}
    env = {"PATH": os.defpath, **image_env, **environment}
    if not runtime.confines:
        on_lines([UNCUT if isolated else PLAIN])
        return Container(plain_process(argv, env, process.cwd), runtime.watchdog, on_lines, on_exit)
    hidden = hidden_places(runtime.context.state_dir, runtime.settings.hidden)
    kept, links = environment_places(image.environment, hidden)
    room = Room(
        base=base,
        hidden=hidden,
        kept=[*kept, image.rootfs],
        links=links,
        read_only=read_only,
        hosts_file=hosts_file,
        opt_ml=mounted,
        isolated=isolated,
        joined=peer.pid if peer and isolated else None,
    )
    started = runtime.launchers.start(argv, env, process.cwd, room, door)
    return Container(started, runtime.watchdog, on_lines, on_exit)


def _pull(image: str, place: Place) -> list[Needed]:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html: what a role needs to pull an image."""
    found = re.fullmatch(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.[^/]+/([^:@]+)(?:[:@].*)?", image)
    if not found:
        return []
    repository = place.arn("ecr", f"repository/{found[3]}", found[2], found[1])
    pulls = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
    return [Needed("ecr:GetAuthorizationToken", "*"), *(Needed(f"ecr:{action}", repository) for action in pulls)]


def role_environment(runtime: Runtime, role_arn: str, isolated: bool, image: str) -> dict[str, str]:
    """Region and credentials of the job's role; a job in network isolation gets no credentials, as on AWS."""
    variables = runtime.context.job_environment(role_arn)
    with acting(role_arn, "SageMaker"):
        runtime.context.authority.check_here("ecr", _pull(image, runtime.context.authority.place))
    if not isolated:
        return variables
    return {key: value for key, value in variables.items() if key == "AWS_REGION"}
