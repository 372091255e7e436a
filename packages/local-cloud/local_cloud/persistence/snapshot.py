"""moto's state on disk: a file for each service and region, written whole before each change of it is acknowledged.

Which services a change may have touched is known, because moto asks for their state by name; only these are written. What a
service holds of another one's state is named, not stored. Bulk lies elsewhere: objects, log lines and metric values are
rows of the database; AWS-managed policies are named, too. A file is written under another name and renamed, so that a
killed process leaves the old one or the new one.
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
# Layout 1 was one file with the state of all services; it is read, and replaced by these files.
VERSION, ALL_IN_ONE = 2, 1
FOLDER = "services"
# Services whose backends are part of the snapshot, by moto's name. The others are refused at the door.
SNAPSHOT_SERVICES = (
    "s3", "iam", "sts", "kms", "ecr", "ssm", "logs", "cloudwatch", "events", "sns", "sqs", "secretsmanager",
)  # fmt: skip
ATTEMPTS = 50


# A service by moto's name, and a region of it.
Part = tuple[str, str]


class _Pickler(pickle.Pickler):
    backends: dict[int, Part]

    def reducer_override(self, value: Any) -> Any:
        """How an instance, a function or a class is written. (`persistent_id` would be asked for every text and number.)"""
        kind = type(value)
        if part := self.backends.get(id(value)):
            return named_backend, part
        if kind.__name__ == "AWSManagedPolicy":
            return named_policy, (value.arn,)
        if kind in _UNSTORED:
            return made_anew, (kind.__name__,)
        if kind is FunctionType and "<lambda>" in value.__qualname__ and value.__module__.startswith("moto."):
            return found_lambda, (f"{value.__module__}:{value.__qualname__}:{value.__code__.co_firstlineno}",)
        if type(value).__module__ == "moto.logs.models" and type(value).__name__ == "LogStream":
            state = {**value.__dict__, "events": []}  # lines are rows of the database
            return copyreg.__newobj__, (type(value),), state
        if hasattr(value, "private_bytes"):
            return _private_key, (_pem(value),)
        if type(value).__name__ == "FakeBucket":
            # Uploads that nobody finished end with the process: their parts are not objects yet.
            return copyreg.__newobj__, (type(value),), {**value.__dict__, "multiparts": {}}
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


def _state_of(backend: Any) -> dict[str, Any]:
    """What is stored of a service."""
    state = dict(backend.__dict__)
    if type(backend).__name__ == "IAMBackend":
        own = {
            arn: policy
            for arn, policy in list(backend.managed_policies.items())
            if "AWSManaged" not in type(policy).__name__
        }
        state |= {"aws_managed_policies": [], "managed_policies": own}
    if type(backend).__name__ == "CloudWatchBackend":
        state["metric_data"] = _stored_metrics(backend)
    return state


def _stored_metrics(backend: Any) -> list[Any]:
    """Metric values that came through the API; those of jobs are rows of the database."""
    return [datum for datum in backend.metric_data if not getattr(datum, "in_database", False)]


def named_backend(service: str, region: str) -> Any:
    """In a file: the state of a service, which the reader has. So are the three below."""
    raise AssertionError("only a reader knows")


def named_policy(arn: str) -> Any:
    """In a file: a policy of AWS's."""
    raise AssertionError("only a reader knows")


def made_anew(kind: str) -> Any:
    """In a file: a lock."""
    return _FRESH[kind]()


def found_lambda(reference: str) -> FunctionType:
    """In a file: the default of one of moto's dictionaries."""
    return _lambda(reference)


class _Unpickler(RestrictedUnpickler):
    policies: dict[str, Any]
    backend: Callable[[str, str], Any]

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__ and name in ("named_backend", "named_policy"):
            return self.backend if name == "named_backend" else self.policies.__getitem__
        return super().find_class(module, name)

    def persistent_load(self, reference: Any) -> Any:
        """What layout 1 named."""
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


# The services whose state this thread has asked for since its change began; None outside of changes.
_asked = threading.local()


def _watch() -> None:
    """Note which service and region moto asks for, whoever asks."""
    from moto.core.base_backend import AccountSpecificBackend

    plain = AccountSpecificBackend.__getitem__
    if getattr(plain, "notes", False):
        return

    def getitem(self: Any, region: str) -> Any:
        found = getattr(_asked, "parts", None)
        if found is not None:
            found.add((self.service_name, "aws" if region == "global" else region))
        return plain(self, region)

    getitem.notes = True
    AccountSpecificBackend.__getitem__ = getitem


class Snapshot:
    """The snapshot files of one state directory."""

    def __init__(self, path: Path, account_id: str, after_load: Callable[[], None] = lambda: None):
        """`path` is where the one file of layout 1 was; the files lie in a folder beside it."""
        self.path = path
        self.folder = path.parent / FOLDER
        self._account_id = account_id
        # Gives the services back what rows hold: objects, log lines, metric values.
        self._after_load = after_load
        self._lock = threading.Lock()
        # How often memory went back to the files: whoever changed something before has lost it, and must hear of it.
        self._returns = 0
        self._why = ""
        _watch()

    @contextmanager
    def change(self, service: str) -> Iterator[None]:
        """A change that a request to `service` makes: on disk when the block ends, or taken back with StorageFailed."""
        began, outer = self._returns, getattr(_asked, "parts", None)
        touched: set[Part] = set()
        _asked.parts = touched
        try:
            yield
        except StorageFailed as fault:  # some of it is changed, what its rows need is not written
            with self._lock:
                self._return(fault)
            raise
        finally:
            _asked.parts = outer
        # At each request, moto asks IAM whose key it is.
        self._save(began, touched if service == "iam" else {part for part in touched if part[0] != "iam"})

    def save(self, *services: str) -> None:
        """Write the state of these services, or of all, as it is now."""
        self._save(self._returns, {part for part in self._backends() if not services or part[0] in services})

    def _save(self, began: int, touched: set[Part]) -> None:
        with self._lock:
            if self._returns != began:
                raise StorageFailed(
                    f"What this request changed was undone, because another could not be kept: {self._why}"
                )
            try:
                backends = self._backends()
                for part in sorted(touched & set(backends)):
                    self._write(part, self._pickled(part, backends))
            except StorageFailed as fault:
                self._return(fault)
                raise

    def _return(self, fault: StorageFailed) -> None:
        """Memory as the files have it."""
        self._returns, self._why = self._returns + 1, fault.message
        live = self._live_objects()
        self._read()
        self._keep_objects(live)
        self._after_load()

    def load(self) -> None:
        """Bring the services to the state of the files; without any, write the first, so that there is a way back."""
        if self.path.exists():
            self._read_all_in_one()
            self.save()
            self.path.unlink()
        elif self.folder.is_dir() and any(self.folder.glob("*.state")):
            self._read()
        else:
            self.save()

    def _read(self) -> None:
        policies = {policy.arn: policy for policy in _managed_policies(self._account_id)}
        states = {}
        for path in sorted(self.folder.glob("*.state")):
            service, _, region = path.stem.partition(".")
            states[service, region] = self._unpickled(path, self._payload(path, VERSION), policies)
        for part in set(self._backends()) - set(states):
            service, region = part
            dict.__delitem__(self._account(service), region)  # moto makes an empty one when it is asked for
        for (service, region), state in states.items():
            self._put(service, region, state, policies)

    def _read_all_in_one(self) -> None:
        """Layout 1, in which services lay whole."""
        policies = {policy.arn: policy for policy in _managed_policies(self._account_id)}
        state = self._unpickled(self.path, self._payload(self.path, ALL_IN_ONE), policies)
        for service, backends in state["services"].items():
            for region, backend in backends.items():
                self._put(service, region, backend.__dict__, policies)

    def _put(self, service: str, region: str, state: dict[str, Any], policies: dict[str, Any]) -> None:
        """The state into the service that is there: others may hold it."""
        if service == "iam":
            own = state["managed_policies"]
            state |= {"aws_managed_policies": list(policies.values()), "managed_policies": {**policies, **own}}
        backend = self._account(service)[region]
        backend.__dict__.clear()
        backend.__dict__.update(state)

    def _account(self, service: str) -> Any:
        from moto.backends import get_backend

        return get_backend(service)[self._account_id]

    def _backends(self) -> dict[Part, Any]:
        from moto.core.base_backend import BackendDict

        return {
            (backends.service_name, region): backend
            for backends in list(BackendDict._instances)
            if backends.service_name in SNAPSHOT_SERVICES
            for region, backend in list(backends[self._account_id].items())
        }

    def _pickled(self, part: Part, backends: dict[Part, Any]) -> bytes:
        named = {id(backend): other for other, backend in backends.items()}
        for attempt in range(ATTEMPTS):
            try:
                buffer = io.BytesIO()
                pickler = _Pickler(buffer, protocol=5)
                pickler.backends = named
                pickler.dump(_state_of(backends[part]))
                return buffer.getvalue()
            except RuntimeError:  # a dictionary grew while it was read: another request is at work
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.002)
        raise AssertionError("unreachable")

    def _write(self, part: Part, payload: bytes) -> None:
        path = self.folder / f"{part[0]}.{part[1]}.state"
        partial = path.with_suffix(".partial")
        header = MAGIC + b" %d " % VERSION + hashlib.sha256(payload).hexdigest().encode() + b"\n"
        size = len(header) + len(payload)
        try:
            with explained(f"The state of {part[0]}", self.path.parent, size):
                self.folder.mkdir(mode=0o700, exist_ok=True)
                with open(partial, "wb", buffering=0, opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
                    write_all(out, header)
                    write_all(out, payload)
                require_size(partial, size)
                os.replace(partial, path)
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

    def _payload(self, path: Path, version: int) -> bytes:
        header, _, payload = path.read_bytes().partition(b"\n")
        parts = header.split(b" ")
        # Earlier versions wrote a longer word that ends the same; the layout is the same.
        if len(parts) != 3 or not parts[0].endswith(MAGIC):
            raise self._damaged(path, "it is not a snapshot of the local cloud")
        if int(parts[1]) != version:
            raise self._damaged(path, f"it has layout {int(parts[1])}, this version reads layout {version}")
        if hashlib.sha256(payload).hexdigest().encode() != parts[2]:
            raise self._damaged(path, "its checksum is wrong, the file is damaged")
        return payload

    def _unpickled(self, path: Path, payload: bytes, policies: dict[str, Any]) -> dict[str, Any]:
        unpickler = _Unpickler(io.BytesIO(payload))
        unpickler.policies = policies
        unpickler.backend = lambda service, region: self._account(service)[region]
        try:
            return unpickler.load()
        except (pickle.UnpicklingError, AttributeError, ImportError, EOFError) as fault:
            raise self._damaged(path, str(fault)) from fault

    def _damaged(self, path: Path, reason: str) -> DamagedState:
        return DamagedState(
            f"The snapshot {path} cannot be read: {reason}. Nothing was changed. Put back a copy of it, or move "
            f"the state directory {self.path.parent} away to start with an empty cloud."
        )
