"""SIGTERM: finish the step, save, leave. SageMaker sends it on StopTrainingJob, at the time limit and before it takes a spot
instance back, and kills after 120 s. https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import signal
from types import FrameType


class Stopped(Exception):
    """Training ended early because it was asked to; everything worth keeping has been written."""


class StopRequest:
    """Whether SIGTERM has come. The handler only notes it: a step is never torn apart."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> StopRequest:
        signal.signal(signal.SIGTERM, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
