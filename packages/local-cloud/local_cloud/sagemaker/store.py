"""Every SageMaker resource, one SQLite row each, so that `kill -9` of the cloud loses nothing.

Documents live in memory and are written through in the calling thread; a change wakes whoever waits for it, so that
nothing polls. Private fields start with an underscore and never leave through `public`.
"""

import copy
import json
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

from local_cloud.clock import Clock
from local_cloud.errors import AwsError
from local_cloud.persistence.database import DamagedState, explained_sqlite
from local_cloud.sagemaker.kinds import FINAL_STATUSES, KINDS, arn

Document = dict[str, Any]


def public(document: Document) -> Document:
    """What a client may see of a document: no private fields and no empty ones."""
    return {key: value for key, value in document.items() if not key.startswith("_") and value is not None}


class Store:
    """Resources by kind and name."""

    def __init__(
        self,
        path: Path,
        region: str,
        account_id: str,
        clock: Clock,
        on_change: Callable[[str, Document | None, Document | None], None] = lambda noun, before, after: None,
    ):
        """`on_change` hears of each document that was written or removed: its noun, what it was, what it is."""
        self._clock, self._on_change = clock, on_change
        path.parent.mkdir(parents=True, exist_ok=True)
        self._region, self._account_id = region, account_id
        self._changed = threading.Condition(threading.RLock())
        self._path = path
        self._documents: dict[str, dict[str, Document]] = {}
        try:
            self._open()
        except (sqlite3.DatabaseError, ValueError) as damage:
            raise DamagedState(
                f"{path} cannot be read ({damage}). Put back a copy of it, or move it away: the local SageMaker then "
                "starts without its jobs, models and endpoints."
            ) from damage

    def _open(self) -> None:
        self._database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS resources (kind TEXT, name TEXT, document TEXT NOT NULL, "
            "PRIMARY KEY (kind, name)) WITHOUT ROWID"
        )
        for kind, name, text in self._database.execute("SELECT kind, name, document FROM resources"):
            self._documents.setdefault(kind, {})[name] = json.loads(text, object_hook=_read_time)

    def arn(self, noun: str, name: str) -> str:
        return arn(self._region, self._account_id, noun, name)

    def add(self, noun: str, name: str, document: Document) -> None:
        """A new resource; raises what AWS raises when the name is taken."""
        with self._changed:
            if name in self._documents.get(noun, {}):
                raise self.error(noun, name, KINDS[noun].exists)
            self._write(noun, name, copy.deepcopy(document))

    def put(self, noun: str, name: str, document: Document) -> None:
        """Writes a document whether or not it was there."""
        with self._changed:
            self._write(noun, name, copy.deepcopy(document))

    def find(self, noun: str, name: str) -> Document | None:
        with self._changed:
            return copy.deepcopy(self._documents.get(noun, {}).get(name))

    def get(self, noun: str, name: str) -> Document:
        """The document; raises what AWS raises when it is not there."""
        document = self.find(noun, name)
        if document is None:
            raise self.error(noun, name, KINDS[noun].missing)
        return document

    def all(self, noun: str, where: Callable[[Document], bool] = lambda _: True) -> list[Document]:
        with self._changed:
            return [copy.deepcopy(d) for d in self._documents.get(noun, {}).values() if where(d)]

    def change(self, noun: str, name: str, **fields: Any) -> Document:
        """Sets fields (None removes one) and wakes those who wait for this resource."""
        with self._changed:
            document = self._documents.get(noun, {}).get(name)
            if document is None:
                raise self.error(noun, name, KINDS[noun].missing)
            changed = {**document, **fields, "LastModifiedTime": self.now()}
            self._write(noun, name, {key: value for key, value in changed.items() if value is not None})
            return copy.deepcopy(self._documents[noun][name])

    def change_while(self, noun: str, name: str, statuses: tuple[str, ...], **fields: Any) -> bool:
        """Sets fields if the resource still has one of these statuses: a job may end at any moment."""
        with self._changed:
            if self.get(noun, name).get(KINDS[noun].status_field or "") not in statuses:
                return False
            self.change(noun, name, **fields)
            return True

    def delete(self, noun: str, name: str) -> None:
        with self._changed:
            if name not in self._documents.get(noun, {}):
                raise self.error(noun, name, KINDS[noun].missing)
            self.remove(noun, name)

    def remove(self, noun: str, name: str) -> None:
        """Deletes a document if it is there."""
        with self._changed:
            self._execute("DELETE FROM resources WHERE kind=? AND name=?", (noun, name))
            before = self._documents.get(noun, {}).pop(name, None)
            self._changed.notify_all()
            self._on_change(noun, before, None)

    def wait_for_change(self, noun: str, name: str, timeout: float) -> None:
        """Returns when the resource's status changed, at once when it is final or gone, else after `timeout`."""
        deadline = monotonic() + timeout
        with self._changed:
            before = self._state(noun, name)
            while self._state(noun, name) == before and before is not None and before[0] not in FINAL_STATUSES:
                remaining = deadline - monotonic()
                if remaining <= 0:
                    return
                self._changed.wait(remaining)

    def now(self) -> datetime:
        """The current time as AWS reports it: UTC with a zone, whole milliseconds."""
        moment = self._clock.moment()
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def close(self) -> None:
        with self._changed:
            self._database.close()

    def error(self, noun: str, name: str, wording: tuple[str, str]) -> AwsError:
        code, text = wording
        return AwsError(code, text.format(name=name, arn=self.arn(noun, name)))

    def _execute(self, statement: str, values: tuple[Any, ...]) -> None:
        """Always before memory changes: what the disk does not take must not be known."""
        with explained_sqlite("A row", self._path):
            self._database.execute(statement, values)

    def _state(self, noun: str, name: str) -> tuple[Any, ...] | None:
        document = self._documents.get(noun, {}).get(name)
        field = KINDS[noun].status_field
        if document is None:
            return None
        return document.get(field) if field else None, document.get("SecondaryStatus")

    def _write(self, noun: str, name: str, document: Document) -> None:
        text = json.dumps(document, default=_write_time)
        self._execute("INSERT OR REPLACE INTO resources VALUES (?, ?, ?)", (noun, name, text))
        before = self._documents.setdefault(noun, {}).get(name)
        self._documents[noun][name] = document
        self._changed.notify_all()
        self._on_change(noun, before, document)


def _write_time(value: Any) -> dict[str, Any]:
    if isinstance(value, datetime):
        return {"__time__": value.isoformat()}
    raise TypeError(f"{type(value).__name__} cannot be stored")


def _read_time(value: dict[str, Any]) -> Any:
    return datetime.fromisoformat(value["__time__"]) if value.keys() == {"__time__"} else value
