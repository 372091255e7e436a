"""Write-through of S3 objects: one row per object name, holding all its versions without their bytes."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import Any

from local_cloud.persistence.database import Database
from local_cloud.persistence.pickling import restricted_loads


class ObjectRows:
    """Collects which object names changed and writes their rows."""

    def __init__(self, database: Database, versions_of: Callable[[str, str], list[Any]]):
        self._database = database
        self._versions_of = versions_of
        self._changed: dict[tuple[str, str], None] = {}
        self._lock = threading.Lock()
        # Held while the versions of an object change: moto reads and writes their list in two steps.
        self.changing = threading.RLock()

    def touch(self, bucket: str, name: str) -> None:
        """The versions of this object changed; `flush` writes them."""
        self._changed[(bucket, name)] = None

    def flush(self) -> None:
        """Write all changed objects; when this returns they survive a killed process."""
        if not self._changed:
            return
        with self._lock:
            changed = list(self._changed)
            for entry in changed:
                self._changed.pop(entry, None)
            with self._database.transaction() as connection:
                for bucket, name in changed:
                    versions = self._versions_of(bucket, name)
                    if versions:
                        row = (bucket, name, pickle.dumps(versions, protocol=5))
                        connection.execute("INSERT OR REPLACE INTO s3_object VALUES (?,?,?)", row)
                    else:
                        connection.execute("DELETE FROM s3_object WHERE bucket=? AND name=?", (bucket, name))

    def load(self) -> list[tuple[str, str, list[Any]]]:
        """All objects that were written: bucket, name, versions."""
        rows = self._database.read("SELECT bucket, name, versions FROM s3_object")
        return [(bucket, name, restricted_loads(blob)) for bucket, name, blob in rows]
