"""The images of a cloud on disk, and how a process of an image is started.

An image is a JSON document with a content hash as its id, a Python environment and a folder of files. Names live in one
table: `tags` as `docker images` knows them, `registry` as ECR knows them after a push; jobs see only the latter.
The table is replaced atomically under a file lock, so builds, pushes and jobs may meet.
"""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from local_cloud.docker.build import Built, Config
from local_cloud.docker.deferred import AT_FIRST_USE, LABEL, Packages
from local_cloud.docker.dockerfile import BuildError
from local_cloud.docker.environment import Interpreter, exclusive
from local_cloud.environment import ACCOUNT_ID
from local_cloud.errors import AwsError
from local_cloud.frameworks.catalogue import REGISTRY, Framework, framework_of, repository_of
from local_cloud.settings import Settings

# An image with this label runs in the place of AWS's images of these repositories: `LABEL local-cloud.stands-for="a b"`.
STANDS_FOR = "local-cloud.stands-for"
HOST_PATH = ["/usr/local/bin", "/usr/bin", "/bin"]
CONTAINER_PATH = re.compile(r"(?<![\w.\-/])/[\w.+\-][\w.+\-/]*")


@dataclass(frozen=True)
class Process:
    """What to start: the program with its arguments, its whole environment, its folder."""

    argv: list[str]
    env: dict[str, str]
    cwd: str


@dataclass(frozen=True)
class Image:
    """One image: an id, its configuration, its environment and its files."""

    id: str
    config: Config
    packages: Packages
    rootfs: Path
    created: float

    @property
    def environment(self) -> Path:
        return self.packages.environment

    def install(self) -> None:
        """Its packages, where they wait for the first use; an AwsError says why they cannot be had."""
        try:
            self.packages.install()
        except BuildError as error:
            raise AwsError("ClientError", f"The packages of image {self.id} could not be installed: {error}") from None

    def process(
        self,
        arguments: list[str],
        base_dir: Path | str,
        port: int | None = None,
        entrypoint: list[str] | None = None,
        home: str | None = None,
    ) -> Process:
        """What `docker run IMAGE arguments` would start, with `base_dir` in the place of /opt/ml.

        Container paths in ENV, WORKDIR, ENTRYPOINT and CMD become paths of the image's files; in `arguments` only
        those below /opt/ml do. `port` is where a server binds (SAGEMAKER_BIND_TO_PORT). Paths inside scripts stay.
        `home` is a home of its own that the container has; without one it gets a folder in the tree.
        """
        self.install()
        base = Path(base_dir)
        own = entrypoint if entrypoint is not None else self.config.entrypoint or []
        default = self.config.cmd or [] if entrypoint is None else []
        given = [self._below_base(word, base) for word in arguments]
        argv = [self._mapped(word, base) for word in own] + (given or [self._mapped(word, base) for word in default])
        if not argv:
            raise AwsError(
                "ValidationException", f"Image {self.id} has neither ENTRYPOINT nor CMD, and no arguments were given."
            )
        if home is None:
            (base / "tmp").mkdir(parents=True, exist_ok=True)
        env = {"LANG": "C.UTF-8", "HOME": home or str(base / "tmp")}
        env |= {name: self._mapped(value, base) for name, value in self.config.env.items() if name != "PATH"}
        env["PATH"] = self._path(base)
        if home is None:  # the user's own home is near: packages must come from the image and nowhere else
            env["PYTHONNOUSERSITE"] = "1"
        env["SAGEMAKER_BASE_DIR"] = str(base)
        if port is not None:
            env["SAGEMAKER_BIND_TO_PORT"] = str(port)
        argv[0] = self._program(argv[0], env["PATH"])
        return Process(argv, env, str(self._real(self.config.workdir)))

    def version_of(self, distribution: str) -> str:
        """The version of a package in the image's environment, read from its folder's name."""
        found = next(
            iter(sorted(self.environment.glob(f"lib/python3*/site-packages/{distribution}-*.dist-info"))), None
        )
        return found.name.removesuffix(".dist-info").partition("-")[2] if found else "of an unknown version"

    def _real(self, path: str) -> Path:
        return self.rootfs / path.lstrip("/")

    def _below_base(self, word: str, base: Path) -> str:
        return re.sub(r"(\A|=|,|:)/opt/ml(?=/|\Z)", lambda match: f"{match[1]}{base}", word)

    def _mapped(self, text: str, base: Path) -> str:
        def one(match: re.Match[str]) -> str:
            path = match[0]
            if re.match(r"/opt/ml(?:/|\Z)", path):
                return str(base) + path.removeprefix("/opt/ml")
            if python := re.fullmatch(r"/usr(?:/local)?/bin/(python[\d.]*|pip[\d.]*)", path):
                return str(self.environment / "bin" / python[1])
            return str(self._real(path)) if path != "/" and os.path.lexists(self._real(path)) else path

        return CONTAINER_PATH.sub(one, text)

    def _path(self, base: Path) -> str:
        declared = self.config.env.get("PATH", "").split(":")
        mapped = [self._mapped(piece, base) for piece in declared if piece and piece not in HOST_PATH]
        return ":".join([str(self.environment / "bin"), *mapped, *HOST_PATH])

    def _program(self, name: str, path: str) -> str:
        if re.fullmatch(r"python(?:3(?:\.\d+)?)?", name):
            return str(self.environment / "bin" / "python")
        if found := shutil.which(
            name if "/" not in name else os.path.join(self._real(self.config.workdir), name), path=path
        ):
            return found
        raise AwsError(
            "ValidationException",
            f"The program {name!r} of image {self.id} is neither in its environment nor among its "
            "files, or is not executable. "
            "Install it with pip in the Dockerfile, or COPY it.",
        )


class ImageStore:
    """The images below `<state>/images`, their tags, and what has been pushed."""

    def __init__(self, state_dir: Path | str, settings: Settings):
        self.state_dir = Path(state_dir).absolute()
        self.folder = self.state_dir / "images"
        self._command = settings.docker_command
        self.environments = settings.environments or self.state_dir / "environments"

    @property
    def scratch(self) -> Path:
        """Where a build collects files: on the same file system, so that it ends with a rename."""
        return self.folder / "building"

    def add(self, built: Built) -> Image:
        """Keep a built image; the same content keeps its id."""
        described = {
            **dataclasses.asdict(built.config),
            "environment": built.packages.environment.name,
            "rootfs": built.rootfs_digest,
        }
        identity = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        rootfs = self.folder / "rootfs" / built.rootfs_digest
        with exclusive(self.folder / ".lock"):
            if rootfs.exists():
                shutil.rmtree(built.rootfs)
            else:
                rootfs.parent.mkdir(parents=True, exist_ok=True)
                _compile(built.packages.interpreter, built.rootfs, rootfs)
                built.rootfs.chmod(0o755)
                built.rootfs.rename(rootfs)
            document = {"id": f"sha256:{identity}", "config": dataclasses.asdict(built.config), "created": time.time()}
            document |= {"environment": str(built.packages.environment), "rootfs": str(rootfs)}
            document |= {"packages": built.packages.document(built.rootfs, rootfs)}
            _replace(self.folder / f"{identity}.json", document)
        return self._load(f"sha256:{identity}")

    def tag(self, source: str, target: str) -> None:
        """Give an image another name."""
        image = self.find(source)
        self._change(lambda table: table["tags"].__setitem__(normalise(target), image.id))

    def untag(self, name: str) -> str:
        """Forget a local name; files of an image that has no name left go. Returns the id."""
        image = self.find(name)

        def forget(table: dict[str, Any]) -> None:
            table["tags"].pop(normalise(name), None)
            if image.id not in [*table["tags"].values(), *table["registry"].values()]:
                (self.folder / f"{image.id.removeprefix('sha256:')}.json").unlink(missing_ok=True)
                others = [json.loads(path.read_text(encoding="utf-8")) for path in self.folder.glob("*.json")]
                if str(image.rootfs) not in [other.get("rootfs") for other in others]:
                    shutil.rmtree(image.rootfs, ignore_errors=True)

        self._change(forget)
        return image.id

    def published(self, uri: str, digest: str) -> None:
        """Record that the image tagged `uri` is in the registry, by its tag and by its digest."""
        image, name = self.find(uri), normalise(uri)
        repository = name.rpartition(":")[0]
        self._change(lambda table: table["registry"].update({name: image.id, f"{repository}@{digest}": image.id}))

    def tags(self) -> dict[str, str]:
        """All local names with their image ids."""
        return self._table()["tags"]

    def find(self, name: str) -> Image:
        """The image with this local name or id. Raises KeyError where there is none that can run."""
        table = self._table()
        identity = (
            name if name.startswith("sha256:") else table["tags"].get(normalise(name)) or table["registry"].get(name)
        )
        if identity is None:
            raise KeyError(name)
        return self._load(identity)

    def check(self, image_uri: str) -> None:
        """Raises AwsError where no job could run this image."""
        if self.framework(image_uri) is None:
            self.resolve(image_uri)

    def framework(self, image_uri: str) -> Framework | None:
        """What is built here for AWS's `image_uri`; None where it was pushed, or something else stands for it."""
        table = self._table()
        return None if self._pushed(image_uri, table) else framework_of(image_uri, ACCOUNT_ID)

    def framework_name(self, framework: Framework) -> str:
        """The local name of a framework's image; it changes with what the image is made from."""
        return f"local-cloud/{framework.folder}:{framework.digest}"

    def built_framework(self, framework: Framework) -> Image | None:
        """A framework's image, if it has been built."""
        try:
            return self.find(self.framework_name(framework))
        except KeyError:
            return None

    def alias(self, pattern: str, target: str) -> None:
        """Let the image `target` run wherever a URI matches `pattern` (`*` stands for anything)."""
        self.find(target)
        self._change(lambda table: table.setdefault("aliases", {}).__setitem__(pattern, normalise(target)))

    def unalias(self, pattern: str) -> bool:
        """Forget an alias; whether there was one."""
        there = pattern in self.aliases()
        self._change(lambda table: table.setdefault("aliases", {}).pop(pattern, None))
        return there

    def aliases(self) -> dict[str, str]:
        """Patterns of URIs with the names of the images that run in their place."""
        return self._table().get("aliases", {})

    def _pushed(self, image_uri: str, table: dict[str, dict[str, str]]) -> str | None:
        """The id of what was pushed under this URI, else of an alias, else of an image whose label says that it stands for it."""
        name = image_uri if "@" in image_uri else normalise(image_uri)
        if identity := table["registry"].get(name):
            return identity
        for pattern, target in table.get("aliases", {}).items():
            if fnmatchcase(image_uri, pattern) or fnmatchcase(repository_of(image_uri), pattern):
                return table["tags"].get(target) or table["registry"].get(target)
        match = REGISTRY.fullmatch(name)
        if match is None or match["account"] == ACCOUNT_ID:
            return None
        return self._labelled(STANDS_FOR, repository_of(image_uri))

    def _labelled(self, label: str, word: str | None = None) -> str | None:
        """The newest pushed image with this label (that holds this word); sooner one whose packages are there."""
        pushed = set(self._table()["registry"].values())
        images = [self._load(identity) for identity in pushed if self._there(identity)]
        fitting = [
            image
            for image in images
            if label in image.config.labels and (word is None or word in image.config.labels[label].split())
        ]
        return max(fitting, key=lambda image: (image.packages.are_there, image.created)).id if fitting else None

    def _there(self, identity: str) -> bool:
        try:
            self._load(identity)
        except KeyError:
            return False
        return True

    def labelled(self, label: str) -> Image | None:
        """The newest image in the registry with this label."""
        identity = self._labelled(label)
        return self._load(identity) if identity else None

    def resolve(self, image_uri: str) -> Image:
        """The pushed image for `ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG` or `…@sha256:…`, or what stands for it."""
        name = image_uri if "@" in image_uri else normalise(image_uri)
        table = self._table()
        identity = self._pushed(image_uri, table)
        if identity is None:
            raise AwsError("ValidationException", self._missing(image_uri, name, table))
        try:
            return self._load(identity)
        except KeyError:
            raise AwsError(
                "ValidationException",
                f"The image {image_uri} is registered, but its files were deleted. Build and push it again.",
            ) from None

    def _missing(self, image_uri: str, name: str, table: dict[str, dict[str, str]]) -> str:
        match = REGISTRY.fullmatch(name)
        known = ", ".join(sorted(key for key in table["registry"] if "@" not in key)) or "none"
        if match and match["account"] != ACCOUNT_ID:
            return (
                f"The image {image_uri} is one of another account, and nothing here stands for it. Build one with "
                f"`{self._command} build`, then name it: `{self._command} alias '{repository_of(image_uri)}' IMAGE`. "
                f"Images in the registry: {known}."
            )
        reason = "is tagged here but was never pushed" if name in table["tags"] else "is not in the local registry"
        return (
            f"The image {image_uri} {reason}. Build and push it with `{self._command} build`, `tag`, `push`. "
            f"Images in the registry: {known}."
        )

    def _load(self, identity: str) -> Image:
        try:
            document = json.loads(
                (self.folder / f"{identity.removeprefix('sha256:')}.json").read_text(encoding="utf-8")
            )
        except FileNotFoundError:
            raise KeyError(identity) from None
        environment, rootfs = Path(document["environment"]), Path(document["rootfs"])
        config, packages = Config(**document["config"]), Packages.read(environment, document.get("packages"))
        waits = config.labels.get(LABEL) == AT_FIRST_USE
        if not (packages.are_there or waits) or not rootfs.is_dir():
            raise KeyError(identity)
        return Image(identity, config, packages, rootfs, document["created"])

    def _table(self) -> dict[str, dict[str, str]]:
        try:
            return json.loads((self.folder / "names").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"tags": {}, "registry": {}}

    def _change(self, change: Callable[[dict[str, dict[str, str]]], object]) -> None:
        with exclusive(self.folder / ".lock"):
            table = self._table()
            change(table)
            _replace(self.folder / "names", table)


def normalise(name: str) -> str:
    """A name with its tag: Docker's default tag is `latest`."""
    return name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"


def _replace(path: Path, document: dict[str, Any]) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".new", delete=False, encoding="utf-8") as handle:
        json.dump(document, handle, indent=1)
    os.replace(handle.name, path)


def _compile(interpreter: Interpreter, source: Path, final: Path) -> None:
    """Byte-compile the image's own modules once, with the paths that tracebacks should name."""
    command = [interpreter.executable, "-m", "compileall", "-q", "-s", source, "-p", final, source]
    subprocess.run(
        [str(word) for word in command], capture_output=True, check=False
    )  # Broken modules fail when imported.
