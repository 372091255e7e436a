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
from contract.validation import a_boolean, a_choice, an_integer

DEFAULT_BASE: Final = Path("/opt/ml")
ENGINES: Final = ("auto", "openvino", "onnxruntime")


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
        """Read the settings; an unusable value is an InvalidField that names the variable."""
        engine = environment.get("DARKROOM_ENGINE", "").strip().lower() or "auto"
        return cls(
            base=Path(environment.get("SAGEMAKER_BASE_DIR") or DEFAULT_BASE),
            port=_integer(environment, "SAGEMAKER_BIND_TO_PORT", 8080, 0, 65535),
            multi_model=_flag(environment, "SAGEMAKER_MULTI_MODEL"),
            cores=_integer(environment, "SAGEMAKER_MODEL_SERVER_WORKERS", available_cores(), 1, 1024),
            max_payload_bytes=_integer(environment, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 25, 1, 1000) * MEGABYTE,
            model_memory_bytes=_megabytes(environment, "DARKROOM_MODEL_MEMORY_MB", 1),
            photo_memory_bytes=_megabytes(environment, "DARKROOM_PHOTO_MEMORY_MB", 64),
            header_seconds=_integer(environment, "DARKROOM_HEADER_SECONDS", 20, 1, 3600),
            body_seconds=_integer(environment, "DARKROOM_BODY_SECONDS", 20, 1, 3600),
            visitor_secret=environment.get("LOCAL_CLOUD_SERVER_SECRET", ""),
            engine=a_choice("DARKROOM_ENGINE", engine, ENGINES),
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


def _integer(environment: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    return an_integer(name, environment.get(name, "").strip() or default, least, most)


def _megabytes(environment: Mapping[str, str], name: str, least: int) -> int | None:
    """In bytes; None where nothing is said."""
    text = environment.get(name, "").strip()
    return an_integer(name, text, least, 16_000_000) * MEGABYTE if text else None


def _flag(environment: Mapping[str, str], name: str) -> bool:
    return a_boolean(name, environment.get(name, "").strip() or "false")
