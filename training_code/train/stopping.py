"""SIGTERM: finish the step, save, leave. SageMaker sends it on StopTrainingJob, at the time limit and before it takes a spot
instance back, and kills after 120 s. https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

STOP_FILE = "observations/stop.json"  # below output/data; written by the health rule that sends the signal


class Stopped(Exception):
    """Training ended early because it was asked to; a checkpoint has been written."""


@dataclass(frozen=True)
class StopReason:
    """Who asked: a health rule (`stop_on`), or, with `rule` empty, whoever runs the job."""

    rule: str = ""
    seen: str = ""

    def facts(self, epoch: int, step: int, best: Mapping[str, Any] | None) -> dict[str, Any]:
        """What `training.json` says of the stop."""
        who = {"by": "rule", "rule": self.rule, "seen": self.seen} if self.rule else {"by": "signal"}
        kept = best["epoch"] if best else None
        said = f"stopped by rule {self.rule}: {self.seen}" if self.rule else "stopped as asked"
        print(f"{said} (epoch {epoch}, step {step}; the best epoch so far is {kept})", flush=True)
        return {"stopped": {**who, "epoch": epoch, "step": step, "kept_epoch": kept}}


def stop_reason(output_data: Path) -> StopReason:
    """Why SIGTERM came, as far as this job can know."""
    try:
        said = json.loads((output_data / STOP_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return StopReason()
    return StopReason(said["name"], said["seen"])


class StopRequest:
    """Whether SIGTERM has come. The handler only notes it: a step is never torn apart."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> StopRequest:
        signal.signal(signal.SIGTERM, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
