"""Decides what a RUN instruction means without a container: which commands can be honoured, and which cannot.

Honoured: `pip install` (through uv, into the image's own environment), `mkdir`, `chmod`, byte-compilation.
Accepted without effect, because processes here run as the user of the cloud: `useradd` and the like, `chown`;
and the removal of caches that lie outside an image here. Everything else is refused by name.
"""

import hashlib
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

from local_cloud.docker.dockerfile import Instruction
from local_cloud.docker.environment import Install

# pip options that name where or what, and exist in uv with the same meaning and an argument.
WITH_ARGUMENT = {
    "-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c",
    "-i": "--index-url", "--index-url": "--index-url",
    "--extra-index-url": "--extra-index-url", "-f": "--find-links", "--find-links": "--find-links",
    "--only-binary": "--only-binary", "--no-binary": "--no-binary",
}  # fmt: skip
PLAIN = frozenset(
    [
        "--require-hashes",
        "--no-deps",
        "--upgrade",
        "-U",
        "--pre",
        "--no-index",
        "--no-build-isolation",
        "--quiet",
        "-q",
        "--force-reinstall",
    ]
)
# About pip's own behaviour, not about what gets installed: without meaning for uv, whose cache lies outside the image.
WITHOUT_EFFECT = frozenset(
    [
        "--no-cache-dir",
        "--no-cache",
        "--disable-pip-version-check",
        "--no-warn-script-location",
        "--no-input",
        "--compile",
        "--no-compile",
        "--prefer-binary",
        "--no-color",
        "--root-user-action=ignore",
    ]
)
WITHOUT_EFFECT_WITH_ARGUMENT = frozenset(
    ["--root-user-action", "--progress-bar", "--timeout", "--default-timeout", "--retries"]
)
IDENTITY = frozenset(["useradd", "adduser", "groupadd", "addgroup", "usermod", "chown"])
CACHES = re.compile(r"(/root/\.cache|~/\.cache|/tmp|/var/lib/apt/lists|/var/cache)(/|\Z)")


def split_commands(instruction: Instruction, shell: str) -> list[list[str]]:
    """The commands of `a && b && c`, as words. Pipes, `;`, redirection, and substitution are refused."""
    if "`" in shell or "$(" in shell:
        raise instruction.refuse(
            "Command substitution is not supported.", "compute the value before the build; pass ARG."
        )
    lexer = shlex.shlex(shell, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    commands: list[list[str]] = [[]]
    try:
        words = list(lexer)
    except ValueError as error:
        raise instruction.refuse(f"The command cannot be read: {error}.", "check the quotes.") from None
    for word in words:
        if word == "&&":
            commands.append([])
        elif word and set(word) <= set("();<>|&"):
            raise instruction.refuse(f"The shell operator {word} is not supported.", "join simple commands with &&.")
        else:
            commands[-1].append(word)
    return [command for command in commands if command]


def pip_arguments(command: list[str]) -> list[str] | None:
    """What follows `pip install`, or None if the command is not one."""
    if re.fullmatch(r"(\S*/)?python[\d.]*", command[0]) and command[1:3] == ["-m", "pip"]:
        command = command[2:]
    if re.fullmatch(r"(\S*/)?pip[\d.]*", command[0]):
        rest = command[1:]
        while rest and rest[0] in WITHOUT_EFFECT | {"--quiet", "-q"}:
            rest = rest[1:]
        if rest[:1] == ["install"]:
            return rest[1:]
    return None


def pip_install(
    instruction: Instruction, words: list[str], folder: Path, locate: Callable[[str], Path]
) -> Install | None:
    """The Install for pip's words; `locate` maps a container path to a real one. None when only pip itself is named."""
    arguments: list[str] = []
    read: list[Path] = []
    sources: list[Path] = []
    requirements = 0
    queue = list(words)
    while queue:
        word = queue.pop(0)
        name, equals, value = word.partition("=")
        if word in WITHOUT_EFFECT or word in PLAIN:
            arguments += [word] if word in PLAIN else []
        elif name in WITHOUT_EFFECT_WITH_ARGUMENT:
            queue = queue if equals else queue[1:]
        elif name in WITH_ARGUMENT and name.startswith("-"):
            if not equals:
                if not queue:
                    raise instruction.refuse(f"{name} needs an argument.", "give it one.")
                value = queue.pop(0)
            if WITH_ARGUMENT[name] in ("-r", "-c"):
                path = _existing(instruction, locate(value), value)
                read.append(path)
                value, requirements = str(path), requirements + (WITH_ARGUMENT[name] == "-r")
            elif WITH_ARGUMENT[name] == "--find-links" and "://" not in value:
                path = _existing(instruction, locate(value), value)
                read, value = [*read, path], str(path)
            arguments += [WITH_ARGUMENT[name], value]
        elif word.startswith("-"):
            raise instruction.refuse(
                f"pip's option {name} is not supported.",
                f"use {', '.join(sorted(WITH_ARGUMENT))}, {', '.join(sorted(PLAIN))}.",
            )
        elif re.match(r"(\.|/)", word):
            path_text, bracket, extras = word.partition("[")
            path = _existing(instruction, locate(path_text), path_text)
            read, sources = [*read, path], [*sources, path]
            arguments.append(str(path) + bracket + extras)
            requirements += 1
        else:
            arguments.append(word)
            requirements += 1
    packages = [word for word in words if not word.startswith("-")]
    if packages == ["pip"]:
        return None  # The environment has no pip of its own to upgrade: uv installs.
    if not requirements:
        raise instruction.refuse("pip install names nothing to install.", "add -r FILE or a requirement.")
    return Install(instruction, tuple(words), tuple(arguments), folder, content_hash(read), tuple(sources))


def _existing(instruction: Instruction, path: Path, name: str) -> Path:
    if not path.exists():
        raise instruction.refuse(
            f"{name} is not among the image's files at this line.", "COPY it in an earlier line; check .dockerignore."
        )
    return path


def content_hash(paths: list[Path]) -> str:
    """One hash over files, requirements that they include, and folders."""
    digest, queue, seen = hashlib.sha256(), list(paths), set()
    while queue:
        path = queue.pop(0)
        if path in seen:
            continue
        seen.add(path)
        if path.is_dir():
            queue += sorted(Path(folder, name) for folder, _, names in os.walk(path) for name in names)
            continue
        data = path.read_bytes() if path.exists() else b"missing"
        digest.update(hashlib.sha256(data).digest())
        if path.suffix in (".txt", ".in"):
            included = re.findall(rb"^\s*(?:-r|--requirement|-c|--constraint)[\s=]+(\S+)", data, re.MULTILINE)
            queue += [path.parent / name.decode() for name in included]
    return digest.hexdigest()
