"""Starts a container: the image's own process, the job's variables, and private mounts where they are needed."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from local_cloud.sagemaker.containers import Container
from local_cloud.sagemaker.namespaces import Mounts, available, wrapped
from local_cloud.sagemaker.paths import OPT_ML, relocated
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.support import invalid


def literal_base(runtime: Runtime, base: Path) -> Path:
    """The path under which a container sees its tree: the tree itself, or /opt/ml when that is mounted."""
    if not runtime.settings.mount_opt_ml:
        return base
    if not available():
        raise invalid(
            "LOCAL_CLOUD_MOUNT_OPT_ML is set, but this kernel gives no user namespaces to ordinary processes. "
            "Unset it; images then find their folder through SAGEMAKER_BASE_DIR."
        )
    return Path(OPT_ML)


def launch(
    runtime: Runtime,
    image: Any,
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
) -> Container:
    """A running container whose /opt/ml is `base`."""
    seen = literal_base(runtime, base)
    process = image.process(
        [relocated(argument, base) for argument in arguments],
        base,
        port=port,
        entrypoint=[relocated(word, base) for word in entrypoint] if entrypoint else None,
    )
    mounted = seen != base
    own, there = str(base), str(seen)
    argv = [word.replace(own, there) for word in process.argv] if mounted else list(process.argv)
    image_env = {key: value.replace(own, there) for key, value in process.env.items()} if mounted else process.env
    argv = wrapped(argv, base, Mounts(mounted, hosts_file, read_only))
    env = {"PATH": os.defpath, "HOME": there, **image_env, **environment}
    return Container(argv, env, Path(process.cwd), runtime.watchdog, on_lines, on_exit)


def role_environment(runtime: Runtime, role_arn: str, isolated: bool) -> dict[str, str]:
    """Region and credentials of the job's role; a job in network isolation gets no credentials, as on AWS."""
    variables = runtime.context.job_environment(role_arn)
    if not isolated:
        return variables
    return {key: value for key, value in variables.items() if key in ("AWS_REGION", "AWS_DEFAULT_REGION")}
