"""moto's state as it was last acknowledged: every change is in the database before its request is answered.

What a request changed is known (`tracking`), and only that is written (`graph`), so that a write costs the same whatever there is.
When the disk does not take it, memory goes back to what the database says.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from local_cloud.persistence import tracking
from local_cloud.persistence.database import DamagedState, Database
from local_cloud.persistence.disk import StorageFailed
from local_cloud.persistence.earlier import EarlierState
from local_cloud.persistence.graph import Graph, Part

# Services whose backends are part of the state, by moto's name. The others are refused at the door.
SNAPSHOT_SERVICES = (
    "s3", "iam", "sts", "kms", "ecr", "ssm", "logs", "cloudwatch", "events", "sns", "sqs", "secretsmanager",
)  # fmt: skip


def _managed_policies(account_id: str) -> dict[str, Any]:
    from moto.iam.models import IAMBackend

    blank = object.__new__(IAMBackend)
    blank.account_id, blank.region_name, blank.partition = account_id, "aws", "aws"
    return {policy.arn: policy for policy in blank._init_aws_policies()}


class Snapshot:
    """The state of moto's services for one account, in one database."""

    def __init__(self, database: Database, account_id: str, after_load: Callable[[], None] = lambda: None):
        self._database = database
        self._account_id = account_id
        # Gives the services back what other rows hold: objects, log lines, metric values.
        self._after_load = after_load
        self._graph = Graph(database)
        self._lock = threading.RLock()
        # How many requests are changing something just now.
        self._open = 0
        # How often memory went back: whoever changed something before has lost it, and must hear of it.
        self._returns = 0
        self._why = ""

    @contextmanager
    def change(self) -> Iterator[None]:
        """A change that a request makes: in the database when the block ends, or taken back with StorageFailed."""
        if tracking.is_open():  # part of a change of this thread
            yield
            return
        with self._lock:
            began = self._returns
            self._open += 1
        changed, undone = tracking.begin(), False
        try:
            yield
        except StorageFailed as fault:  # some of it is changed, what its rows need is not written
            undone = True
            with self._lock:
                self._return(fault)
            raise
        finally:
            tracking.end()
            with self._lock:
                self._open -= 1
                if not undone:
                    self._save(began, list(changed))

    def save(self) -> None:
        """Write what the cloud itself changed, outside of requests."""
        with self._lock:
            self._save(self._returns, [])

    def _save(self, began: int, changed: list[Any]) -> None:
        if self._returns != began:
            raise StorageFailed(f"What this request changed was undone, because another could not be kept: {self._why}")
        try:
            self._graph.save([*changed, *tracking.loose()], self._backends(), alone=self._open == 0)
        except StorageFailed as fault:
            self._return(fault)
            raise

    def _return(self, fault: StorageFailed) -> None:
        """Memory as the database has it."""
        self._returns, self._why = self._returns + 1, fault.message
        live = self._live_objects()
        self._read()
        self._keep_objects(live)
        self._after_load()

    def load(self) -> None:
        """Bring the services to the state of the database, or of an earlier version's files; then there is a way back."""
        if self._database.read("SELECT 1 FROM moto_root LIMIT 1"):
            self._read()
            return
        earlier = EarlierState(self._database.path.parent, self._backend, _managed_policies(self._account_id))
        files = earlier.load()
        self.save()
        earlier.remove(files)

    def _read(self) -> None:
        self._graph = Graph(self._database)
        tracking.loose()
        try:
            backends = self._graph.load(self._backend, _managed_policies(self._account_id))
        except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, LookupError, TypeError) as fault:
            path = self._database.path
            raise DamagedState(
                f"{path} cannot be read: a row of moto's state is damaged ({fault}). Nothing was changed. Put back a copy of "
                f"it, or move the state directory {path.parent} away to start with an empty cloud."
            ) from fault
        for service, region in set(self._backends()) - set(backends):
            dict.__delitem__(self._account(service), region)  # moto makes an empty one when it is asked for

    def _account(self, service: Any) -> Any:
        from moto.backends import get_backend

        return get_backend(service)[self._account_id]

    def _backend(self, service: str, region: str) -> Any:
        return self._account(service)[region]

    def _backends(self) -> dict[Part, Any]:
        from moto.core import base_backend

        kinds: Any = base_backend.BackendDict
        return {
            (backends.service_name, region): backend
            for backends in list(kinds._instances)
            if backends.service_name in SNAPSHOT_SERVICES
            for region, backend in list(backends[self._account_id].items())
        }

    def _live_objects(self) -> dict[str, Any]:
        from moto.s3.models import s3_backends

        return dict(s3_backends[self._account_id]["aws"].buckets)

    def _keep_objects(self, live: dict[str, Any]) -> None:
        """Objects and unfinished uploads are no part of this state, and what their rows say is not undone."""
        from moto.s3.models import s3_backends

        backend = s3_backends[self._account_id]["aws"]
        for name, bucket in backend.buckets.items():
            if name in live:
                bucket.keys, bucket.multiparts = live[name].keys, live[name].multiparts
        s3_backends.bucket_accounts.clear()
        for name in backend.buckets:
            s3_backends.bucket_accounts[name] = (backend.partition, self._account_id)
