"""`local-cloud-docker`: the part of the docker command that the CDK CLI calls (CDK_DOCKER), and people who bring an image.

Flags that it does not know are refused, as is every build feature without a meaning here. Exit codes are Docker's:
1 for an error (the CDK CLI reads 1 from `inspect` as "must be built").
"""

import json
import os
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from local_cloud.docker.build import build as build_image
from local_cloud.docker.build import docker_architecture
from local_cloud.docker.dockerfile import BuildError
from local_cloud.docker.store import Image, ImageStore
from local_cloud.settings import SettingRefused, Settings


def _settings() -> Settings:
    return click.get_current_context().obj


def _store() -> ImageStore:
    state = os.environ.get("LOCAL_CLOUD_STATE")
    if not state:
        raise BuildError(
            "LOCAL_CLOUD_STATE is not set: which cloud should hold the image? "
            f'What to do: eval "$({_settings().command} env)".'
        )
    return ImageStore(Path(state), _settings())


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", hidden=True, help="Accepted for the CDK CLI; there is nothing to configure.")
def docker(config: str | None) -> None:
    pass  # what it says of itself names the command: see `main`


HELP = """Build images for the local cloud without Docker.

\b
eval "$({settings.command} env)"
aws ecr create-repository --repository-name my-training
{settings.docker_command} build --tag my-training:1 .
{settings.docker_command} tag my-training:1 000000000000.dkr.ecr.us-east-1.amazonaws.com/my-training:1
{settings.docker_command} push 000000000000.dkr.ecr.us-east-1.amazonaws.com/my-training:1
"""


def _pairs(values: tuple[str, ...]) -> dict[str, str]:
    # Docker: --build-arg NAME without a value takes it from the environment.
    split = (value.partition("=") for value in values)
    return {name: value if equals else os.environ.get(name, "") for name, equals, value in split}


@docker.command()
@click.option("-t", "--tag", "tags", multiple=True, help="Name of the image, as NAME:TAG.")
@click.option("-f", "--file", "file", help="The Dockerfile (default: PATH/Dockerfile).")
@click.option("--build-arg", "arguments", multiple=True, help="NAME=value for an ARG.")
@click.option("--label", "labels", multiple=True, help="NAME=value.")
@click.option("--target", help="The stage to build (default: the last).")
@click.option("--platform", help="Noted, not obeyed: an image is built for this machine.")
@click.option("--output", "outputs", multiple=True, hidden=True)
@click.option("--cache-from", multiple=True, hidden=True)
@click.option("--cache-to", hidden=True)
@click.option("--network", type=click.Choice(["default", "host"]), hidden=True)
@click.argument("path")
def build(
    tags: tuple[str, ...], file: str | None, arguments: tuple[str, ...], labels: tuple[str, ...], target: str | None,
    platform: str | None, outputs: tuple[str, ...], cache_from: tuple[str, ...], cache_to: str | None, network: str | None,
    path: str,
) -> None:  # fmt: skip
    """Build the image in folder PATH."""
    if any(output != "type=docker" for output in outputs):
        raise BuildError(
            f"--output={outputs[0]} is not supported; images stay in the local store. What to do: remove it."
        )
    context, store = Path(path), _store()
    dockerfile = Path(file) if file else context / "Dockerfile"
    if file and not dockerfile.exists() and (context / file).exists():
        dockerfile = context / file
    built = build_image(
        context, dockerfile, store.environments, store.scratch, target, _pairs(arguments), _pairs(labels)
    )
    image = store.add(built)
    for tag in tags:
        store.tag(image.id, tag)
    notes = list(built.notes)
    if platform and not platform.endswith(docker_architecture()):
        notes.append(f"--platform {platform}: built for this machine, linux/{docker_architecture()}.")
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"Built {image.id}" + "".join(f"\nTagged {tag}" for tag in tags))


@docker.command()
@click.argument("source")
@click.argument("target")
def tag(source: str, target: str) -> None:
    """Give image SOURCE the further name TARGET."""
    store = _store()
    _existing(store, source)
    store.tag(source, target)


@docker.command()
@click.argument("uri")
def push(uri: str) -> None:
    """Register the image tagged URI in the local ECR."""
    from local_cloud.docker.push import push as push_image

    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    click.echo(f"{uri}: digest: {push_image(_store(), uri, endpoint, _settings().command, _settings().docker_command)}")


@docker.command()
@click.option("--remove", is_flag=True, help="Forget the alias PATTERN.")
@click.argument("pattern", required=False)
@click.argument("image", required=False)
def alias(remove: bool, pattern: str | None, image: str | None) -> None:
    """Let IMAGE run wherever a program names an image that matches PATTERN.

    PATTERN is a whole URI or the name of a repository; * stands for anything: `alias 'huggingface-pytorch-training' mine:1`.
    Without arguments: lists the aliases.
    """
    store = _store()
    if pattern is None:
        for known, target in sorted(store.aliases().items()):
            click.echo(f"{known}\t{target}")
    elif remove:
        if not store.unalias(pattern):
            raise BuildError(f"There is no alias {pattern}. What to do: {_settings().docker_command} alias lists them.")
        click.echo(f"Removed: {pattern}")
    elif image is None:
        raise BuildError(
            f"Which image should run for {pattern}? What to do: {_settings().docker_command} alias '{pattern}' IMAGE"
        )
    else:
        _existing(store, image)
        store.alias(pattern, image)
        click.echo(f"{pattern} runs {image}")


@docker.command()
@click.option("-u", "--username", help="Accepted: the local registry asks for AWS keys at push.")
@click.option("--password-stdin", is_flag=True)
@click.option("-p", "--password", hidden=True)
@click.argument("server", default="")
def login(username: str | None, password_stdin: bool, password: str | None, server: str) -> None:
    """Answer as docker does; a push authenticates with AWS keys instead."""
    if password_stdin:
        sys.stdin.read()
    click.echo("Login Succeeded")


@docker.command()
@click.argument("names", nargs=-1, required=True)
def inspect(names: tuple[str, ...]) -> None:
    """Describe images as JSON; exit code 1 where one is not there."""
    store = _store()
    click.echo(json.dumps([_described(_existing(store, name), store) for name in names], indent=2))


@docker.command()
@click.option("--format", "form", default="{{.Repository}}:{{.Tag}}\t{{.ID}}", help="Fields: .Repository, .Tag, .ID.")
@click.option("--filter", "filters", multiple=True, help="reference=PATTERN")
def images(form: str, filters: tuple[str, ...]) -> None:
    """List the images of the local store."""
    from local_cloud.docker.dockerignore import glob_expression

    patterns = []
    for text in filters:
        if not text.startswith("reference="):
            raise BuildError(f"--filter {text} is not supported. What to do: use reference=PATTERN.")
        patterns.append(re.compile(glob_expression(text.removeprefix("reference="))))
    for name, identity in sorted(_store().tags().items()):
        repository, _, tag_name = name.rpartition(":")
        if all(pattern.fullmatch(name) or pattern.fullmatch(repository) for pattern in patterns):
            fields = {"Repository": repository, "Tag": tag_name, "ID": identity.removeprefix("sha256:")[:12]}
            click.echo(re.sub(r"\{\{\s*\.(\w+)\s*\}\}", lambda match, known=fields: _field(match[1], known), form))


def _field(name: str, known: dict[str, str]) -> str:
    if name not in known:
        raise BuildError(f"--format: there is no field .{name}. What to do: use .{', .'.join(known)}.")
    return known[name]


@docker.command()
@click.argument("names", nargs=-1, required=True)
def rmi(names: tuple[str, ...]) -> None:
    """Remove local names; what was pushed stays in the registry."""
    store = _store()
    for name in names:
        _existing(store, name)
        store.untag(name)
        click.echo(f"Untagged: {name}")


def _existing(store: ImageStore, name: str) -> Image:
    try:
        return store.find(name)
    except KeyError:
        raise BuildError(
            f"No such image: {name}. What to do: {_settings().docker_command} images lists what is there."
        ) from None


def _described(image: Image, store: ImageStore) -> dict[str, Any]:
    config = image.config
    return {
        "Id": image.id,
        "RepoTags": sorted(name for name, identity in store.tags().items() if identity == image.id),
        "Created": datetime.fromtimestamp(image.created, UTC).isoformat(),
        "Architecture": docker_architecture(),
        "Os": "linux",
        "Config": {
            "Env": [f"{name}={value}" for name, value in config.env.items()],
            "Entrypoint": config.entrypoint,
            "Cmd": config.cmd,
            "WorkingDir": config.workdir,
            "User": config.user,
            "Labels": config.labels,
            "ExposedPorts": {port if "/" in port else f"{port}/tcp": {} for port in config.exposed_ports},
        },
        "Environment": str(image.environment),
        "RootFS": {"Type": "folder", "Path": str(image.rootfs)},
    }


def main(**words: Any) -> None:
    """The console script; a host gives the words that its users type, as fields of Settings (`command`, `docker_command`)."""
    try:
        settings = replace(Settings.from_environment(os.environ), **words)
        docker.help = HELP.format(settings=settings)
        docker(obj=settings, prog_name=settings.docker_command)
    except (BuildError, SettingRefused) as error:
        click.echo(f"{words.get('docker_command', Settings.docker_command)}: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
