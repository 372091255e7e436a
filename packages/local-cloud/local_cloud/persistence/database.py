"""Rows that come by the thousand: objects, log lines, metric values, executions. Each is written before it is acknowledged.

SQLite in WAL mode with `synchronous=OFF`: a killed process loses nothing that was committed (the operating system has
it); only a power failure may lose the last moments, which a laptop's development cloud accepts for 20 times the speed.
Refuses a file that is damaged or of another version, and says what to do; nothing is dropped silently.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from local_cloud.persistence import disk

SCHEMA_VERSION = 2
# What one commit may need: some pages of 4,096 bytes in the log.
SQLITE_LEAST_BYTES = 64 * 1024

SCHEMA = """
CREATE TABLE s3_object (bucket TEXT, name TEXT, versions BLOB, PRIMARY KEY (bucket, name)) WITHOUT ROWID;
CREATE TABLE log_event (
  log_group TEXT, stream TEXT, timestamp INTEGER, ingested INTEGER, message TEXT);
CREATE INDEX log_event_stream ON log_event (log_group, stream);
CREATE TABLE metric (namespace TEXT, name TEXT, value REAL, moment REAL, dimensions TEXT);
CREATE TABLE state_machine (arn TEXT PRIMARY KEY, record TEXT) WITHOUT ROWID;
CREATE TABLE execution (arn TEXT PRIMARY KEY, record TEXT) WITHOUT ROWID;
CREATE TABLE stack (id TEXT PRIMARY KEY, record TEXT) WITHOUT ROWID;
CREATE TABLE stack_resource (stack TEXT, name TEXT, record TEXT, PRIMARY KEY (stack, name)) WITHOUT ROWID;
CREATE TABLE stack_event (stack TEXT, number INTEGER, record TEXT, PRIMARY KEY (stack, number)) WITHOUT ROWID;
CREATE TABLE execution_event (arn TEXT, id INTEGER, event TEXT, PRIMARY KEY (arn, id)) WITHOUT ROWID;
"""
# Tables that came later; a state directory of before gets them, and an older version leaves them alone.
LATER = """
CREATE TABLE IF NOT EXISTS execution_note (arn TEXT, line TEXT, note TEXT, PRIMARY KEY (arn, line)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS task_answer (token TEXT PRIMARY KEY, answer TEXT) WITHOUT ROWID;
"""
# moto's objects: `persistence/graph.py`. With layout 1 they were files.
ADDED_BY_2 = """
CREATE TABLE moto_root (service TEXT, region TEXT, node INTEGER, PRIMARY KEY (service, region)) WITHOUT ROWID;
CREATE TABLE moto_node (number INTEGER PRIMARY KEY, class TEXT, state BLOB);
CREATE TABLE moto_item (node INTEGER, number INTEGER, value BLOB, PRIMARY KEY (node, number)) WITHOUT ROWID;
"""


class DamagedState(Exception):
    """The state directory cannot be read; the message says which file and what the user can do."""


class Database:
    """One SQLite file; every method commits before it returns and may be called from any thread."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._prepare()
        except sqlite3.OperationalError as refused:
            raise DamagedState(
                f"{path} cannot be opened ({refused}). Make the state directory {path.parent} writable for you and "
                "free some space there, or use another one."
            ) from refused
        except sqlite3.DatabaseError as damage:
            raise DamagedState(
                f"{path} cannot be read ({damage}). Move the state directory {path.parent} away and start again with "
                "an empty one, or put back a copy of it."
            ) from damage

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version in (0, 1):
            missing = (SCHEMA if version == 0 else "") + ADDED_BY_2
            self._connection.executescript(f"BEGIN; {missing} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise DamagedState(
                f"{self.path} has layout {version}; this version of the local cloud reads layout {SCHEMA_VERSION}. "
                f"Use the version that wrote it, or start with an empty state directory instead of {self.path.parent}."
            )
        self._connection.executescript(LATER)
        (state,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One atomic group of changes; StorageFailed when the disk does not take it, and then nothing of it is kept."""
        with self._lock, self._explained():
            self._connection.execute("BEGIN")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                    self._connection.execute("ROLLBACK")
                raise

    def write(self, statement: str, values: Iterable[object] = ()) -> None:
        """One committed change; StorageFailed when the disk does not take it."""
        with self._lock, self._explained():
            self._connection.execute(statement, tuple(values))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with explained_sqlite("A row", self.path):
            yield

    def write_many(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        """The same change for many rows, committed together."""
        with self.transaction() as connection:
            connection.executemany(statement, rows)

    def read(self, query: str, values: Iterable[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(query, tuple(values)).fetchall()

    def append_metric(self, namespace: str, name: str, value: float, moment: float, dimensions: str) -> None:
        """One metric value; `moment` in seconds since the epoch, `dimensions` as JSON."""
        self.write("INSERT INTO metric VALUES (?,?,?,?,?)", (namespace, name, value, moment, dimensions))

    def metrics(self) -> list[tuple[str, str, float, float, str]]:
        """All metric values in the order of writing."""
        return self.read("SELECT namespace, name, value, moment, dimensions FROM metric ORDER BY rowid")

    def close(self) -> None:
        """Fold the log into the file and close it."""
        with self._lock:
            with suppress(sqlite3.OperationalError):  # a full disk: the next start reads the log
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()


@contextmanager
def explained_sqlite(what: str, path: Path) -> Iterator[None]:
    """Turn SQLite's refusal to write `what` into the file `path` into StorageFailed."""
    try:
        yield
    except sqlite3.OperationalError as fault:
        if fault.sqlite_errorcode == sqlite3.SQLITE_FULL:
            # A commit writes whole pages; the least is a few of them.
            raise disk.full(f"{what} of {path.name}", path.parent, SQLITE_LEAST_BYTES) from fault
        if fault.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            raise disk.StorageFailed(
                f"{what} of {path.name} could not be written in {path.parent}: {fault}. Nothing was changed; see "
                "whether the disk is full or the folder is read-only, and try again."
            ) from fault
        raise
