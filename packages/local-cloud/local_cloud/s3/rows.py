"""Write-through of S3 objects: one row per object name, holding all its versions without their bytes.

A change is made in three steps: new content files are written, the rows are committed, and only then others see it and the
old files may go. When the second step fails, the change was never made: not in memory, not on disk.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_cloud.persistence.database import Database
from local_cloud.persistence.pickling import restricted_loads

Name = tuple[str, str]


@dataclass
class Change:
    """What one S3 operation has done so far."""

    touched: dict[Name, None] = field(default_factory=dict)
    # New lists of versions, seen by the thread that makes the change only: the store that takes them, and the list.
    pending: dict[Name, tuple[Any, list[Any]]] = field(default_factory=dict)
    written: list[Path] = field(default_factory=list)  # content files of versions made in this change
    replaced: list[Any] = field(default_factory=list)  # versions that go, with their files
    undo: list[Callable[[], None]] = field(default_factory=list)


class Abandoned(Exception):
    """Raised inside a change to leave it without a trace; `answer` is what the client gets."""

    def __init__(self, answer: Any):
        super().__init__("the change was abandoned")
        self.answer = answer


class ObjectRows:
    """Collects which object names changed and writes their rows."""

    def __init__(
        self,
        database: Database,
        versions_of: Callable[[str, str], list[Any]],
        put_back: Callable[[str, str, list[Any]], None] = lambda bucket, name, versions: None,
        discard: Callable[[list[Path]], None] = lambda paths: None,
    ):
        self._database = database
        self._versions_of = versions_of
        self._put_back = put_back
        self._discard = discard
        self._changed: dict[Name, None] = {}
        self._table = threading.Lock()
        # One change at a time, up to and with its commit: so a row is committed before any `flush` that wants it returns.
        self._changing = threading.RLock()
        self._open: Change | None = None
        self._owner = 0

    @contextmanager
    def change(self) -> Iterator[Change]:
        """One change of objects: committed when the block ends, undone when it raises or the commit fails."""
        with self._changing:
            if self._open is not None:  # part of a change of this thread
                yield self._open
                return
            change = self._open = Change()
            self._owner = threading.get_ident()
            try:
                yield change
                self.flush()
                for (_, name), (store, versions) in change.pending.items():
                    store.publish(name, versions)
            except BaseException:
                self._take_back(change)
                raise
            finally:
                self._open, self._owner = None, 0
        self._discard([path for version in change.replaced for path in version.dispose_now()])

    def current(self) -> Change | None:
        """The change that this thread is making."""
        return self._open if self._owner == threading.get_ident() else None

    def touch(self, bucket: str, name: str) -> None:
        """The versions of this object changed; `flush` writes them."""
        with self._table:
            self._changed[(bucket, name)] = None
        if change := self.current():
            change.touched[(bucket, name)] = None

    def flush(self) -> None:
        """Write all changed objects; when this returns their rows are committed. What could not be written stays due."""
        with self._changing:
            with self._table:
                due, self._changed = self._changed, {}
            if not due:
                return
            try:
                with self._database.transaction() as connection:
                    for bucket, name in due:
                        versions = self._versions_of(bucket, name)
                        if versions:
                            row = (bucket, name, pickle.dumps(versions, protocol=5))
                            connection.execute("INSERT OR REPLACE INTO s3_object VALUES (?,?,?)", row)
                        else:
                            connection.execute("DELETE FROM s3_object WHERE bucket=? AND name=?", (bucket, name))
            except BaseException:
                with self._table:
                    self._changed = {**due, **self._changed}
                raise

    def load(self) -> list[tuple[str, str, list[Any]]]:
        """All objects that were written: bucket, name, versions."""
        rows = self._database.read("SELECT bucket, name, versions FROM s3_object")
        return [(bucket, name, restricted_loads(blob)) for bucket, name, blob in rows]

    def _take_back(self, change: Change) -> None:
        """Memory as the rows have it, and no file that only this change knew."""
        with self._table:
            for entry in change.touched:
                self._changed.pop(entry, None)
        for step in reversed(change.undo):
            step()
        for bucket, name in change.touched:
            rows = self._database.read("SELECT versions FROM s3_object WHERE bucket=? AND name=?", (bucket, name))
            self._put_back(bucket, name, restricted_loads(rows[0][0]) if rows else [])
        self._discard(change.written)
