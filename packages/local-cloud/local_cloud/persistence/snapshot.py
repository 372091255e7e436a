"""moto's state on disk: one file, written whole before each change is acknowledged.

One pickle for all services keeps what they share (a role held by two services stays one role). Bulk lies elsewhere:
objects, log lines and metric values are rows of the database; AWS-managed policies are named, not stored. The file is
written under another name and renamed, so that a killed process leaves the old one or the new one.
"""

from __future__ import annotations

import copyreg
import hashlib
import importlib
import io
import os
import pickle
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from local_cloud.persistence.database import DamagedState
from local_cloud.persistence.disk import StorageFailed, explained, require_size, write_all
from local_cloud.persistence.pickling import RestrictedUnpickler

MAGIC = b"local-cloud-snapshot"
VERSION = 1
# Services whose backends are part of the snapshot, by moto's name. The others are refused at the door.
SNAPSHOT_SERVICES = (
    "s3", "iam", "sts", "kms", "ecr", "ssm", "logs", "cloudwatch", "events", "sns", "sqs", "secretsmanager",
)  # fmt: skip
ATTEMPTS = 50


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        kind = type(value)
        if kind.__name__ == "AWSManagedPolicy":
            return ("aws-managed-policy", value.arn)
        if kind in _UNSTORED:
            return ("fresh", kind.__name__)
        if kind is FunctionType and "<lambda>" in value.__qualname__ and value.__module__.startswith("moto."):
            return ("lambda", f"{value.__module__}:{value.__qualname__}:{value.__code__.co_firstlineno}")
        return None

    def reducer_override(self, value: Any) -> Any:
        if type(value).__module__ == "moto.logs.models" and type(value).__name__ == "LogStream":
            state = {**value.__dict__, "events": []}  # lines are rows of the database
            return copyreg.__newobj__, (type(value),), state
        if hasattr(value, "private_bytes"):
            return _private_key, (_pem(value),)
        if type(value).__name__ == "IAMBackend":
            own = {
                arn: policy
                for arn, policy in value.managed_policies.items()
                if "AWSManaged" not in type(policy).__name__
            }
            state = {**value.__dict__, "aws_managed_policies": [], "managed_policies": own}
            return copyreg.__newobj__, (type(value),), state
        if type(value).__name__ == "FakeBucket":
            # Uploads that nobody finished end with the process: their parts are not objects yet.
            return copyreg.__newobj__, (type(value),), {**value.__dict__, "multiparts": {}}
        if type(value).__name__ == "CloudWatchBackend":
            state = {**value.__dict__, "metric_data": _stored_metrics(value)}
            return copyreg.__newobj__, (type(value),), state
        if isinstance(value, dict) and type(value).__module__.startswith("moto."):
            # A dictionary with a constructor of its own: made without calling it.
            slots = {"default_factory": value.default_factory} if isinstance(value, defaultdict) else {}
            return copyreg.__newobj__, (type(value),), (value.__dict__, slots), None, iter(list(dict.items(value)))
        return NotImplemented


# Made anew instead of being stored.
_UNSTORED = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
    threading.Event: threading.Event,
    threading.Condition: threading.Condition,
}
_FRESH = {kind.__name__: make for kind, make in _UNSTORED.items()}


def _pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _private_key(pem: bytes) -> Any:
    """A KMS key's own material, which knows no pickle."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(pem, None)


def _stored_metrics(backend: Any) -> list[Any]:
    """Metric values that came through the API; those of jobs are rows of the database."""
    return [datum for datum in backend.metric_data if not getattr(datum, "in_database", False)]


class _Unpickler(RestrictedUnpickler):
    policies: dict[str, Any]

    def persistent_load(self, reference: Any) -> Any:
        kind, name = reference
        if kind == "fresh":
            return _FRESH[name]()
        if kind == "lambda":
            return _lambda(name)
        return self.policies[name]


def _lambda(reference: str) -> FunctionType:
    """The default of one of moto's defaultdicts: the same lambda, found in the code that made it."""
    module_name, qualified, line = reference.split(":")
    if not module_name.startswith("moto."):
        raise pickle.UnpicklingError(f"A snapshot must not hold {module_name}.{qualified}")
    module = importlib.import_module(module_name)
    owner: Any = module
    for part in qualified.split(".<locals>")[0].split("."):
        owner = getattr(owner, part)
    for constant in owner.__code__.co_consts:
        if isinstance(constant, CodeType) and constant.co_name == "<lambda>" and constant.co_firstlineno == int(line):
            return FunctionType(constant, vars(module), qualified.rpartition(".")[2])
    raise pickle.UnpicklingError(f"{module_name}.{qualified} is no longer there")


def _managed_policies(account_id: str) -> list[Any]:
    from moto.iam.models import IAMBackend

    blank = object.__new__(IAMBackend)
    blank.account_id, blank.region_name, blank.partition = account_id, "aws", "aws"
    return blank._init_aws_policies()


class Snapshot:
    """The snapshot file of one state directory."""

    def __init__(self, path: Path, account_id: str, after_load: Callable[[], None] = lambda: None):
        self.path = path
        self._account_id = account_id
        # Gives the services back what rows hold: objects, log lines, metric values.
        self._after_load = after_load
        self._lock = threading.Lock()
        self._wanted = 0
        self._written = 0
        # How often memory went back to the file: whoever changed something before has lost it, and must hear of it.
        self._returns = 0
        self._why = ""

    @contextmanager
    def change(self) -> Iterator[None]:
        """A change of the services' state: on disk when the block ends, or taken back with StorageFailed."""
        began = self._returns
        try:
            yield
        except StorageFailed as fault:  # some of it is changed, what its rows need is not written
            with self._lock:
                self._return(fault)
            raise
        self._save(began)

    def save(self) -> None:
        """Write the state as it is now, or let a save that begins after this call do it."""
        self._save(self._returns)

    def _save(self, began: int) -> None:
        self._wanted += 1
        ticket = self._wanted
        with self._lock:
            if self._returns != began:
                raise StorageFailed(
                    f"What this request changed was undone, because another could not be kept: {self._why}"
                )
            if self._written >= ticket:
                return
            covers = self._wanted
            try:
                self._write(self._pickled())
            except StorageFailed as fault:
                self._return(fault)
                raise
            self._written = covers

    def _return(self, fault: StorageFailed) -> None:
        """Memory as the file has it."""
        self._returns, self._why = self._returns + 1, fault.message
        live = self._live_objects()
        self._read()
        self._keep_objects(live)
        self._after_load()

    def load(self) -> None:
        """Bring the services to the state of the file; without one, write the first, so that there is a way back."""
        if not self.path.exists():
            with self._lock:
                self._write(self._pickled())
            return
        self._read()

    def _read(self) -> None:
        policies: dict[str, Any] = {}
        state = self._unpickled(self._payload(), policies)
        from moto.backends import get_backend

        for service in {*state["services"], *self._services()}:
            account, backends = get_backend(service)[self._account_id], state["services"].get(service, {})
            for region in set(account) - set(backends):
                dict.__delitem__(account, region)  # moto makes an empty one when it is asked for
            for region, backend in backends.items():
                if service == "iam":
                    backend.aws_managed_policies = list(policies.values())
                    backend.managed_policies = {**policies, **backend.managed_policies}
                dict.__setitem__(account, region, backend)

    def _services(self) -> dict[str, dict[str, Any]]:
        from moto.core.base_backend import BackendDict

        return {
            backends.service_name: dict(backends[self._account_id])
            for backends in list(BackendDict._instances)
            if backends.service_name in SNAPSHOT_SERVICES
        }

    def _pickled(self) -> bytes:
        for attempt in range(ATTEMPTS):
            try:
                buffer = io.BytesIO()
                _Pickler(buffer, protocol=5).dump({"version": VERSION, "services": self._services()})
                return buffer.getvalue()
            except RuntimeError:  # a dictionary grew while it was read: another request is at work
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.002)
        raise AssertionError("unreachable")

    def _write(self, payload: bytes) -> None:
        partial = self.path.with_suffix(".partial")
        header = MAGIC + b" %d " % VERSION + hashlib.sha256(payload).hexdigest().encode() + b"\n"
        size = len(header) + len(payload)
        try:
            with explained("The state of the cloud's services", self.path.parent, size):
                with open(partial, "wb", buffering=0, opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
                    write_all(out, header)
                    write_all(out, payload)
                require_size(partial, size)
                os.replace(partial, self.path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def _live_objects(self) -> dict[str, Any]:
        from moto.s3.models import s3_backends

        return dict(s3_backends[self._account_id]["aws"].buckets)

    def _keep_objects(self, live: dict[str, Any]) -> None:
        """Objects and unfinished uploads are no part of the file, and what their rows say is not undone."""
        from moto.s3.models import s3_backends

        backend = s3_backends[self._account_id]["aws"]
        for name, bucket in backend.buckets.items():
            if name in live:
                bucket.keys, bucket.multiparts = live[name].keys, live[name].multiparts
        s3_backends.bucket_accounts.clear()
        for name in backend.buckets:
            s3_backends.bucket_accounts[name] = (backend.partition, self._account_id)

    def _payload(self) -> bytes:
        header, _, payload = self.path.read_bytes().partition(b"\n")
        parts = header.split(b" ")
        # Earlier versions wrote a longer word that ends the same; the layout is the same.
        if len(parts) != 3 or not parts[0].endswith(MAGIC):
            raise self._damaged("it is not a snapshot of the local cloud")
        if int(parts[1]) != VERSION:
            raise self._damaged(f"it has layout {int(parts[1])}, this version reads layout {VERSION}")
        if hashlib.sha256(payload).hexdigest().encode() != parts[2]:
            raise self._damaged("its checksum is wrong, the file is damaged")
        return payload

    def _unpickled(self, payload: bytes, policies: dict[str, Any]) -> dict[str, Any]:
        unpickler = _Unpickler(io.BytesIO(payload))
        policies |= {policy.arn: policy for policy in _managed_policies(self._account_id)}
        unpickler.policies = policies
        try:
            return unpickler.load()
        except (pickle.UnpicklingError, AttributeError, ImportError, EOFError) as fault:
            raise self._damaged(str(fault)) from fault

    def _damaged(self, reason: str) -> DamagedState:
        return DamagedState(
            f"The snapshot {self.path} cannot be read: {reason}. Nothing was changed. Put back a copy of it, or move "
            f"the state directory {self.path.parent} away to start with an empty cloud."
        )
