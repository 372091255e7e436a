"""Results that an earlier command has fetched into `runs/`: read where no local cloud runs that could be asked.

Only an execution whose summary.json lies there counts; a folder without one (a comparison, a fetch that was cut off) does not.
"""

from pathlib import Path
from typing import Any

from contract.state_file import read_state_file
from contract.validation import InvalidField, did_you_mean
from darkroom.failure import DarkroomError
from darkroom.target import Target

SUMMARY = "summary.json"


def find(target: Target, execution: str | None) -> Path:
    """The summary.json of an execution given by name, ARN, or not at all: then the one that was written last."""
    runs = target.home.path / "runs"
    summaries = sorted(runs.glob(f"*/{SUMMARY}"), key=lambda path: path.stat().st_mtime, reverse=True)
    names = [path.parent.name for path in summaries]
    if execution is None and summaries:
        return summaries[0]
    name = (execution or "").rpartition(":")[2]
    if name in names:
        return summaries[names.index(name)]
    hint = did_you_mean(name, names) if execution else ""
    known = f"What lies there, newest first: {', '.join(names[:5]) or 'nothing'}."
    raise DarkroomError(
        f"No local cloud runs in {target.home.path}, and {runs} holds no results{f' of {name}' if execution else ''}.",
        " ".join(part for part in (hint, known, "To ask the cloud: darkroom up") if part),
    )


def read(path: Path) -> dict[str, Any]:
    """A summary as it was written; its report is where it lies now, though the home may have moved."""
    try:
        summary = read_state_file(str(path), path.read_bytes())
    except (OSError, InvalidField) as error:
        raise DarkroomError(str(error), "Fetch it again: darkroom up, then darkroom follow EXECUTION") from None
    if missing := [name for name in ("status", "steps", "error") if name not in summary]:
        raise DarkroomError(f"{path} lacks {', '.join(missing)}: it is not a summary of `darkroom run`.", "Remove it.")
    page = path.parent / "report" / "index.html"
    return {**summary, "report": str(page) if page.is_file() else None}
