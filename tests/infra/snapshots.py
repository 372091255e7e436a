"""Where snapshots lie: in files whose names no shell has to quote."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

from syrupy.extensions.json import JSONSnapshotExtension

FOLDER = Path(__file__).parent / "__snapshots__"


def plain(name: str) -> str:
    """`test_state[Skip bias]` as `test_state-skip-bias`."""
    return re.sub(r"[^a-z0-9_.]+", "-", name.lower()).strip("-")


class PlainlyNamed(JSONSnapshotExtension):
    """JSON snapshots in files with plain names."""

    @classmethod
    def get_snapshot_name(cls, **known: Any) -> str:
        return plain(super().get_snapshot_name(**known))

    @classmethod
    def write_snapshot(cls, **known: Any) -> None:
        with warnings.catch_warnings():
            # syrupy looks for the test's own spelling in the file's name.
            warnings.filterwarnings("ignore", message=r"\s*Can not relate snapshot")
            super().write_snapshot(**known)


def stale(module: str, tests: set[str]) -> set[str]:
    """Snapshot files of a test module that none of these tests reads any more."""
    return {file.stem for file in (FOLDER / module).iterdir()} - {plain(test) for test in tests}
