"""Text that others wrote, made fit for a terminal: a job's log line must not retitle the window or overwrite what stands there.

As `less -R` and git do it: escape sequences and control characters are dropped; tab and end of line stay.
"""

import re

# Sequences first (OSC up to its end, CSI, two-character ones), then any control character of C0 and C1 that is left.
_SEQUENCES = re.compile(r"\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]", re.S)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """The text without what a terminal would obey."""
    return _CONTROLS.sub("", _SEQUENCES.sub("", text))
