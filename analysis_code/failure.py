"""Where a processing job is, and how it tells a person that it failed.

SageMaker shows `output/message` below the base folder as the job's ExitMessage (first 1,024 characters).
https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

import os
from pathlib import Path
from typing import Final

from contract.whole_file import whole_file

_LONGEST: Final = 1024


class JobFailure(Exception):
    """A failure whose text is for a person: what was wrong, the value received, what is allowed, what to do."""


def base_directory() -> Path:
    """The `/opt/ml` of this job."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")


def leave_message(text: str) -> None:
    """Write the job's exit message, whole or not at all."""
    folder = base_directory() / "output"
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "message") as temporary:
        temporary.write_text(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…", encoding="utf-8")
