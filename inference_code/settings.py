"""What the platform tells the server through its environment, read once and validated; defaults are SageMaker's.

Every name here is listed in docs/serving.md; a test holds the two together.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contract.machine import usable_cores
from contract.memory_budget import MEGABYTE

DEFAULT_BASE: Final = Path("/opt/ml")
_TRUE: Final = ("true", "1", "yes")
_FALSE: Final = ("false", "0", "no", "")


class InvalidSetting(ValueError):
    """An environment variable whose value cannot be used."""


@dataclass(frozen=True)
class Settings:
    """Where the model is, what to bind, how much to accept."""

    base: Path = DEFAULT_BASE
    port: int = 8080
    multi_model: bool = False
    cores: int = 1
    max_payload_bytes: int = 25 * MEGABYTE
    model_memory_bytes: int | None = None
    photo_memory_bytes: int | None = None
    header_seconds: int = 20
    body_seconds: int = 20
    visitor_secret: str = ""
    engine: str = "auto"

    @property
    def model_directory(self) -> Path:
        """Where SageMaker unpacks the artifact of a single-model endpoint."""
        return self.base / "model"

    @property
    def in_container(self) -> bool:
        """Whether the network is the server's own, as SageMaker's mounts tell; a local cloud that mounts /opt/ml names a secret."""
        return self.base == DEFAULT_BASE and not self.visitor_secret

    @property
    def host(self) -> str:
        """All interfaces inside a container, whose network is its own; elsewhere this machine only."""
        return "0.0.0.0" if self.in_container else "127.0.0.1"  # noqa: S104

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings; an unusable value is an error that names the variable."""
        memory = _number(environment, "DARKROOM_MODEL_MEMORY_MB", None, 1, 16_000_000)
        photos = _number(environment, "DARKROOM_PHOTO_MEMORY_MB", None, 64, 16_000_000)
        return cls(
            base=Path(environment.get("SAGEMAKER_BASE_DIR") or DEFAULT_BASE),
            port=_number(environment, "SAGEMAKER_BIND_TO_PORT", 8080, 0, 65535),
            multi_model=_flag(environment, "SAGEMAKER_MULTI_MODEL"),
            cores=_number(environment, "SAGEMAKER_MODEL_SERVER_WORKERS", None, 1, 1024) or available_cores(),
            max_payload_bytes=_number(environment, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 25, 1, 1000) * MEGABYTE,
            model_memory_bytes=memory * MEGABYTE if memory else None,
            photo_memory_bytes=photos * MEGABYTE if photos else None,
            header_seconds=_number(environment, "DARKROOM_HEADER_SECONDS", 20, 1, 3600),
            body_seconds=_number(environment, "DARKROOM_BODY_SECONDS", 20, 1, 3600),
            visitor_secret=environment.get("LOCAL_CLOUD_SERVER_SECRET", ""),
            engine=_choice(environment, "DARKROOM_ENGINE", "auto", ("auto", "openvino", "onnxruntime")),
        )


def available_cores() -> int:
    """The cores this process may use: its affinity, and the container's CPU quota where there is one."""
    cores = usable_cores()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2, or "max": no quota
        pass
    return cores


def _number(environment: Mapping[str, str], name: str, default: int | None, least: int, most: int) -> int | None:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19 and least <= int(text) <= most):
        raise InvalidSetting(f"{name} is {text!r}; allowed: a whole number from {least} to {most}")
    return int(text)


def _flag(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "").strip().lower()
    if text not in _TRUE + _FALSE:
        raise InvalidSetting(f"{name} is {text!r}; allowed: true, false")
    return text in _TRUE


def _choice(environment: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    text = environment.get(name, "").strip().lower() or default
    if text not in allowed:
        raise InvalidSetting(f"{name} is {text!r}; allowed: {', '.join(allowed)}")
    return text
