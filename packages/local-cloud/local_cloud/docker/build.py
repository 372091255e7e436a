"""`docker build` without a container engine: a Dockerfile becomes an isolated Python environment and a folder of files.

Every instruction is honoured or refused with its line, the reason and what to do. Two meanings differ from Docker's and
are documented: USER (and useradd, chown) has no effect, because processes run as the user of the cloud; the operating
system is this machine's, not the base image's.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from local_cloud.docker import environment, run_command
from local_cloud.docker.deferred import AT_FIRST_USE, LABEL, Packages
from local_cloud.docker.dockerfile import BuildError, Instruction, read_dockerfile, stage_chain, substitute
from local_cloud.docker.dockerignore import Ignore, glob_expression

BASE_IMAGE = re.compile(
    r"(?:(?:docker\.io/|public\.ecr\.aws/docker/)?library/)?python:(?P<version>\d+(?:\.\d+){0,2})"
    r"(?P<variant>-[a-z0-9.-]+)?(?:@sha256:[0-9a-f]{64})?"
)
# pip settings that change nothing about what gets installed; any other PIP_* would be lost on uv.
HARMLESS_PIP = frozenset(
    [
        "PIP_NO_CACHE_DIR",
        "PIP_DISABLE_PIP_VERSION_CHECK",
        "PIP_ROOT_USER_ACTION",
        "PIP_DEFAULT_TIMEOUT",
        "PIP_NO_COLOR",
        "PIP_PROGRESS_BAR",
        "PIP_NO_INPUT",
        "PIP_RETRIES",
    ]
)
REFUSED = {
    "HEALTHCHECK": ("SageMaker does not run health checks of images: it calls /ping.", "remove the line."),
    "ONBUILD": ("Triggers for derived images are not supported.", "move the instruction into the derived Dockerfile."),
    "SHELL": ("Only /bin/sh is supported.", "remove the line, or call the other shell in the command."),
    "VOLUME": ("SageMaker mounts /opt/ml and nothing else.", "remove the line; write below /opt/ml."),
}


@dataclass
class Config:
    """What an image says about how to run it, as in Docker's image configuration."""

    env: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    workdir: str = "/"
    labels: dict[str, str] = field(default_factory=dict)
    exposed_ports: list[str] = field(default_factory=list)
    user: str = ""
    python: str = ""


@dataclass(frozen=True)
class Built:
    """A build without a name yet: configuration, environment, files (in a temporary folder) and their hash."""

    config: Config
    packages: Packages
    rootfs: Path
    rootfs_digest: str
    notes: tuple[str, ...]


class Build:
    """One build: walks the instructions, collects files into `rootfs` and installs into an environment."""

    def __init__(self, context: Path, ignore: Ignore, rootfs: Path, arguments: dict[str, str]):
        self.context, self.ignore, self.rootfs, self.arguments = context, ignore, rootfs, arguments
        self.config = Config()
        self.installs: list[environment.Install] = []
        self.declared: dict[str, str] = {}
        self.notes: list[str] = []
        self.interpreter: environment.Interpreter | None = None

    def apply(self, instruction: Instruction) -> None:
        """Honour one instruction, or raise BuildError."""
        if instruction.name in REFUSED:
            raise instruction.refuse(*REFUSED[instruction.name])
        getattr(self, f"_{instruction.name.lower()}")(instruction)

    def _text(self, instruction: Instruction, text: str | None = None) -> str:
        return substitute(
            instruction, instruction.value if text is None else text, {**self.declared, **self.config.env}
        )

    def locate(self, path: str) -> Path:
        """The real path of a container path; relative ones start at WORKDIR. Never outside the image's files."""
        inside = os.path.normpath(os.path.join("/", self.config.workdir, path))
        return self.rootfs / inside.lstrip("/")

    def _from(self, instruction: Instruction) -> None:
        match = BASE_IMAGE.fullmatch(instruction.value)
        if not match:
            raise instruction.refuse(
                "Only the public Python images can be a base here: there is no container engine for another.",
                "use FROM python:3.11-slim (or another python:X.Y tag), with the packages in a requirements file.",
            )
        if re.search("alpine|windows", match["variant"] or ""):
            raise instruction.refuse("This variant runs other binary wheels than this machine.", "use a -slim tag.")
        asked = instruction.flags.get("platform", "")
        self.interpreter = environment.find_interpreter(match["version"], instruction)
        self.config.python = self.interpreter.version
        if self.interpreter.stands_for:
            self.notes.append(
                f"Python {self.interpreter.stands_for} is not installed on this machine: here the image runs on Python "
                f"{self.interpreter.version}. To have its own: uv python install {self.interpreter.stands_for}."
            )
        if asked and not asked.endswith(docker_architecture()):
            self.notes.append(f"FROM asks for {asked}; built for this machine, linux/{docker_architecture()}.")

    def _arg(self, instruction: Instruction) -> None:
        for word in _words(instruction, instruction.value):
            name, _, default = word.partition("=")
            self.declared[name] = self.arguments.get(name, self._text(instruction, default))

    def _pairs(self, instruction: Instruction) -> dict[str, str]:
        if not re.match(r"[^\s=]+=", instruction.value):
            name, _, value = instruction.value.partition(" ")  # the old form: ENV NAME value with spaces
            return {name: self._text(instruction, value.strip())}
        words = _words(instruction, self._text(instruction))
        if any("=" not in word for word in words):
            raise instruction.refuse("Expected NAME=value pairs.", "write NAME=value, quoted if it holds spaces.")
        return dict(word.split("=", 1) for word in words)

    def _env(self, instruction: Instruction) -> None:
        pairs = self._pairs(instruction)
        for name in pairs:
            if name.startswith("PIP_") and name not in HARMLESS_PIP:
                raise instruction.refuse(
                    f"{name} would not reach uv, which installs here.", "pass it as an option of pip."
                )
        self.config.env.update(pairs)

    def _label(self, instruction: Instruction) -> None:
        self.config.labels.update(self._pairs(instruction))

    def _maintainer(self, instruction: Instruction) -> None:
        self.config.labels["maintainer"] = instruction.value

    def _workdir(self, instruction: Instruction) -> None:
        self.config.workdir = os.path.normpath(os.path.join("/", self.config.workdir, self._text(instruction)))
        self.locate(".").mkdir(parents=True, exist_ok=True)

    def _user(self, instruction: Instruction) -> None:
        self.config.user = self._text(instruction)

    def _expose(self, instruction: Instruction) -> None:
        self.config.exposed_ports += self._text(instruction).split()

    def _stopsignal(self, instruction: Instruction) -> None:
        if self._text(instruction) not in ("SIGTERM", "15"):
            raise instruction.refuse("SageMaker stops containers with SIGTERM.", "remove the line and handle SIGTERM.")

    def _entrypoint(self, instruction: Instruction) -> None:
        self.config.entrypoint = instruction.exec_form() or ["/bin/sh", "-c", instruction.value]
        self.config.cmd = None  # Docker: a new ENTRYPOINT drops the CMD of the stages below.

    def _cmd(self, instruction: Instruction) -> None:
        words = instruction.exec_form()
        self.config.cmd = ["/bin/sh", "-c", instruction.value] if words is None else words

    def _add(self, instruction: Instruction) -> None:
        if re.search(r"(?:^|\s|\")(?:https?|git|ssh|ftp)[:@]", instruction.value):
            raise instruction.refuse("Nothing is downloaded during a build.", "put the file into the build context.")
        if re.search(r"\.(?:tar|tgz|tbz2|txz|tar\.\w+)(?:\s|\"|$)", instruction.value):
            raise instruction.refuse(
                "Archives are not unpacked.", "unpack it before the build, or COPY and unpack at start."
            )
        self._copy(instruction)

    def _copy(self, instruction: Instruction) -> None:
        for flag in instruction.flags:
            if flag not in ("chown", "chmod", "link"):
                raise instruction.refuse(
                    f"--{flag} is not supported." + (" Stages cannot copy from one another." if flag == "from" else ""),
                    "copy from the build context.",
                )
        words = [
            self._text(instruction, word) for word in instruction.exec_form() or _words(instruction, instruction.value)
        ]
        if len(words) < 2:
            raise instruction.refuse("A source and a destination are needed.", "write COPY SOURCE... DESTINATION.")
        *sources, destination = words
        into_folder = destination.endswith(("/", "/.")) or destination == "." or len(sources) > 1
        for source in sources:
            self._copy_source(instruction, source, self.locate(destination), into_folder)

    def _copy_source(self, instruction: Instruction, source: str, target: Path, into_folder: bool) -> None:
        pattern = os.path.normpath(source.lstrip("/")) if source.strip("./") else "."
        if pattern.startswith(".."):
            raise instruction.refuse(f"{source} lies outside the build context.", "move the file into the context.")
        whole, expression = pattern == ".", re.compile(glob_expression(pattern) + r"(?P<below>/.*)?", re.DOTALL)
        found = 0
        wildcard = bool(re.search(r"[*?\[]", pattern))
        for path in self.ignore.files(self.context, "" if whole or wildcard else _start(self.context, pattern)):
            match = expression.fullmatch(path)
            if whole:
                relative: str | None = path
            elif match:
                # A folder's contents are copied, not the folder: that is Docker's rule.
                relative = match["below"].lstrip("/") if match["below"] else None
            else:
                continue
            found += 1
            place = (
                target / relative
                if relative
                else target / Path(path).name
                if self._is_folder(target, into_folder)
                else target
            )
            self._place(instruction, self.context / path, place)
        if not found and not (self.context / pattern).is_dir():
            raise instruction.refuse(
                f"{source} is not in the build context {self.context}, or .dockerignore leaves it out.",
                "check the name, the context folder, and .dockerignore.",
            )
        if not found:
            target.mkdir(parents=True, exist_ok=True)

    def _is_folder(self, target: Path, into_folder: bool) -> bool:
        return into_folder or target.is_dir()

    def _place(self, instruction: Instruction, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink() and not source.resolve().is_relative_to(self.context.resolve()):
            raise instruction.refuse(f"The link {source} leads out of the build context.", "copy the file itself.")
        if not source.resolve().is_file():
            raise instruction.refuse(f"{source} is no regular file.", "remove it, or name it in .dockerignore.")
        shutil.copy2(source, target)
        if mode := instruction.flags.get("chmod"):
            if not re.fullmatch("[0-7]{3,4}", mode):
                raise instruction.refuse(f"--chmod={mode} is not octal.", "write --chmod=755.")
            target.chmod(int(mode, 8))

    def _run(self, instruction: Instruction) -> None:
        for flag in instruction.flags:
            if flag != "mount" or not instruction.flags[flag].startswith("type=cache"):
                raise instruction.refuse(f"--{flag}={instruction.flags[flag]} is not supported.", "remove it.")
        words = instruction.exec_form()
        commands = [words] if words else run_command.split_commands(instruction, self._text(instruction))
        for command in commands:
            self._run_command(instruction, command)

    def _run_command(self, instruction: Instruction, command: list[str]) -> None:
        program = os.path.basename(command[0])
        plain = [word for word in command[1:] if not word.startswith("-")]
        if (words := run_command.pip_arguments(command)) is not None:
            install = run_command.pip_install(instruction, words, self.locate("."), self.locate)
            self.installs += [install] if install else []
        elif program == "mkdir":
            for path in plain:
                self.locate(path).mkdir(parents=True, exist_ok=True)
        elif program == "chmod" and len(plain) >= 2:
            targets = [str(self.locate(path)) for path in plain[1:]]
            done = subprocess.run([*command[: command.index(plain[0]) + 1], *targets], capture_output=True, text=True)
            if done.returncode:
                raise instruction.refuse(done.stderr.strip(), "check the path: it must be COPY'd before.")
        elif (
            program in run_command.IDENTITY
            or program == "true"
            or (program == "rm" and plain and all(run_command.CACHES.match(path) for path in plain))
        ):
            pass
        elif re.fullmatch(r"python[\d.]*", program) and command[1:3] == ["-m", "compileall"]:
            pass  # Every image's files are byte-compiled at the end of the build anyway.
        else:
            raise instruction.refuse(
                f"{program} cannot be run here: there is no container to run it in.",
                "install Python packages with pip install; take system libraries from wheels, such as "
                "opencv-python-headless; "
                "prepare other files before the build and COPY them.",
            )


def _start(context: Path, pattern: str) -> str:
    return pattern if (context / pattern).is_dir() else os.path.dirname(pattern)


def _words(instruction: Instruction, text: str) -> list[str]:
    import shlex

    try:
        return shlex.split(text)
    except ValueError as error:
        raise instruction.refuse(f"The line cannot be read: {error}.", "check the quotes.") from None


def docker_architecture() -> str:
    """This machine's architecture in Docker's words."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def tree_digest(folder: Path) -> str:
    """A hash over names, executable bits and contents of a tree."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(os.fsencode(path.relative_to(folder)) + b"\0")
        if path.is_file():
            digest.update(b"x" if os.access(path, os.X_OK) and path.stat().st_mode & 0o111 else b"-")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def build(
    context: Path,
    dockerfile: Path,
    environments: Path,
    scratch: Path,
    target: str | None = None,
    arguments: dict[str, str] | None = None,
    extra_labels: dict[str, str] | None = None,
) -> Built:
    """Build an image's parts. `scratch` receives the files; the caller moves or deletes it. Raises BuildError."""
    arguments = dict(arguments or {})
    if not context.is_dir():
        raise BuildError(
            f"The build context {context} is not a folder. What to do: name the folder that the image is built from."
        )
    chain = stage_chain(read_dockerfile(dockerfile), target, arguments)
    scratch.mkdir(parents=True, exist_ok=True)
    rootfs = Path(tempfile.mkdtemp(prefix="rootfs-", dir=scratch))
    try:
        walk = Build(context, Ignore.of(context, dockerfile), rootfs, arguments)
        for instruction in chain:
            walk.apply(instruction)
        for install in walk.installs:
            if _reread(install, walk) != install.content:
                raise install.instruction.refuse(
                    "A later line changes the files installed here.", "COPY them once, before."
                )
        walk.config.labels.update(extra_labels or {})
        used = {name: value for name, value in arguments.items() if name in walk.declared}
        unused = sorted(set(arguments) - set(used))
        if unused:
            walk.notes.append(f"Build arguments that no ARG declares: {', '.join(unused)}.")
        digest = tree_digest(rootfs)
        address = environments / environment.content_key(walk.interpreter, walk.installs, used)
        packages = Packages(address, walk.interpreter, tuple(walk.installs))
        if walk.config.labels.get(LABEL) != AT_FIRST_USE:
            packages.install()
        elif not packages.are_there:
            walk.notes.append(f"Its packages are installed when something first runs in it: {LABEL}={AT_FIRST_USE}.")
        return Built(walk.config, packages, rootfs, digest, tuple(walk.notes))
    except BaseException:
        shutil.rmtree(rootfs, ignore_errors=True)
        raise


def _reread(install: environment.Install, walk: Build) -> str:
    again = run_command.pip_install(install.instruction, list(install.words), install.folder, _at(install.folder, walk))
    return again.content if again else install.content


def _at(folder: Path, walk: Build) -> Callable[[str], Path]:
    def locate(path: str) -> Path:
        inside = os.path.normpath(os.path.join("/", os.path.relpath(folder, walk.rootfs), path))
        return walk.rootfs / inside.lstrip("/")

    return locate
