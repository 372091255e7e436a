"""Where the command line prints, and text that others wrote made fit for it.

A pipe or a file has no width: a table that is cut at 80 columns there cannot be read by grep, nor by a person. A job's log line must
not retitle a terminal's window or overwrite what stands there.

As `less -R` and git do it: escape sequences and control characters are dropped; tab and end of line stay.
"""

import re

from rich.console import Console

NO_LIMIT = 100_000  # columns; rich knows no "none"

# Sequences first (OSC up to its end, CSI, two-character ones), then any control character of C0 and C1 that is left.
_SEQUENCES = re.compile(r"\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]", re.S)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """The text without what a terminal would obey."""
    return _CONTROLS.sub("", _SEQUENCES.sub("", text))


def console(stderr: bool = False) -> Console:
    """The one kind of console: as wide as the terminal, and without one as wide as what is printed."""
    terminal = Console(stderr=stderr, highlight=False)
    if not terminal.is_terminal:
        terminal.width = NO_LIMIT
    return terminal
