"""Where a failed job leaves its one message for a person, and what that message says.

SageMaker shows the first 1,024 characters of `output/failure` as FailureReason of a training job, and of `output/message`
as ExitMessage of a processing job.
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-output.html
https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

from __future__ import annotations

import os
from pathlib import Path

from contract.whole_file import write_text

LONGEST_MESSAGE = 1024


class JobFailure(Exception):
    """A failure whose text is already for a person: what was wrong, the value received, what is allowed, what to do."""


def base_directory() -> Path:
    """The `/opt/ml` of this job."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")


def message_of(error: BaseException) -> str:
    """The message of a failure; an error that nobody foresaw is named with its type."""
    if isinstance(error, JobFailure):
        return str(error)
    return f"{type(error).__name__}: {error}. This is not an expected failure; the log has the traceback."


def leave_message(kind: str, error: BaseException, base: Path | None = None) -> None:
    """Write `output/<kind>` (kind: failure or message), never half of it."""
    message = message_of(error)
    if len(message) > LONGEST_MESSAGE:
        message = message[: LONGEST_MESSAGE - 1] + "…"
    write_text((base or base_directory()) / "output" / kind, message)
