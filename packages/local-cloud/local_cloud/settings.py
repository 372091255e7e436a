"""What a user may set about a cloud: one object, handed in. Nothing else in this package reads a variable.

`Settings.from_environment` is called where a process begins (`python -m local_cloud`, `local-cloud-docker`). It refuses a
value that it cannot read, and names variables that look like settings and are none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

PREFIX = "LOCAL_CLOUD_"
# Set by the cloud or for its docker command, and no settings.
OTHERS = ("LOCAL_CLOUD_STATE", "LOCAL_CLOUD_SERVER_SECRET", "LOCAL_CLOUD_OUTER_PROXY")
YES, NO = ("1", "true", "yes"), ("0", "false", "no")


class SettingRefused(ValueError):
    """A variable has a value that cannot be used; one sentence for a person."""


def _from(read: Callable[[str], Any], means: str) -> dict[str, Any]:
    return {"read": read, "means": means}


def _number(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError
    return number


def _flag(text: str) -> bool:
    if text.lower() not in YES + NO:
        raise ValueError
    return text.lower() in YES


def _folder(text: str) -> Path:
    return Path(text).absolute()


def _folders(text: str) -> tuple[Path, ...]:
    return tuple(Path(name).absolute() for name in text.split(os.pathsep) if name)


READERS = {
    _number: "a number of seconds, 0 or more",
    _flag: f"one of {', '.join(YES + NO)}",
    _folders: f"folders with {os.pathsep!r} between them",
    _folder: "a folder",
    str: "a text",
}


@dataclass(frozen=True)
class Settings:
    """Each field is the variable LOCAL_CLOUD_ and its name in capitals."""

    stop_grace_seconds: float = field(default=120.0, metadata=_from(_number, "between SIGTERM and SIGKILL, as on AWS"))
    sync_seconds: float = field(
        default=2.0, metadata=_from(_number, "how often checkpoints, debug output and continuous outputs are uploaded")
    )
    keep_job_folders: bool = field(default=False, metadata=_from(_flag, "leave a finished job's folder for inspection"))
    mount_opt_ml: bool | None = field(
        default=None,
        metadata=_from(
            _flag,
            "0: `SAGEMAKER_BASE_DIR` names a job's folder; 1: `/opt/ml`, and no job where that cannot be; unset: where it can be",
        ),
    )
    confine: bool = field(default=True, metadata=_from(_flag, "0 starts containers as plain processes"))
    hidden: tuple[Path, ...] = field(default=(), metadata=_from(_folders, "more folders that containers must not see"))
    proxy: bool = field(
        default=True, metadata=_from(_flag, "0: no proxy for programs that write AWS's hosts into their code")
    )
    environments: Path | None = field(
        default=None, metadata=_from(_folder, "where images' Python environments lie; unset: in the state's folder")
    )
    node_modules: Path | None = field(
        default=None,
        metadata=_from(
            _folder, "a `node_modules` with what AWS's Node.js runtime brings (`@aws-sdk/…`): Node.js functions find it"
        ),
    )
    command: str = field(
        default="local-cloud", metadata=_from(str, "what messages tell a person to type: a command with `up` and `env`")
    )
    docker_command: str = field(
        default="local-cloud-docker",
        metadata=_from(str, "the same for images: a command with `build`, `tag` and `push`"),
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """The settings in these variables; an empty one is not set."""
        chosen = {}
        for one in fields(cls):
            text = environment.get(variable(one.name), "")
            if text:
                try:
                    chosen[one.name] = one.metadata["read"](text)
                except ValueError:
                    raise SettingRefused(
                        f"{variable(one.name)} is {text!r}; it must be {READERS[one.metadata['read']]}. Correct it, or unset it."
                    ) from None
        home = environment.get("HOME", "")
        return cls(**chosen | {"hidden": (*((Path(home),) if home else ()), *chosen.get("hidden", ()))})


def variable(name: str) -> str:
    """The variable of a field."""
    return PREFIX + name.upper()


def unknown(environment: Mapping[str, str]) -> list[str]:
    """Variables that look like settings and are none."""
    known = {variable(one.name) for one in fields(Settings)} | set(OTHERS)
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)


def table() -> str:
    """The settings as a table for the documentation."""
    lines = ["| variable | default | what it does |", "| --- | --- | --- |"]
    for one in fields(Settings):
        default: Any = one.default
        default = {True: "1", False: "0", None: "unset", (): "none", "": "none"}.get(default, default)
        default = f"{default:g}" if isinstance(default, float) else default
        lines.append(f"| `{variable(one.name)}` | {default} | {one.metadata['means']} |")
    return "\n".join(lines)
