"""Kills the process groups of jobs when the cloud dies, however it dies. Run as a script, by `containers.py` alone.

The cloud holds the other end of its standard input. `+PGID` and `-PGID` lines say which groups are alive; end of file
means that the cloud is gone. (PR_SET_PDEATHSIG would reach only the first process of a job, and would fire when the
thread that started it ends.)
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        (groups.add if line[0] == "+" else groups.discard)(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
