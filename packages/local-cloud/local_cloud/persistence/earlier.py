"""States of earlier versions, which were files: one for all services (layout 1), or one for each service and region (layout 2).

They are read and replaced by rows of the database. A damaged one is refused with its name.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_cloud.persistence.database import DamagedState
from local_cloud.persistence.pickled import FRESH, Unpickler, found_lambda

MAGIC = b"local-cloud-snapshot"
ONE_FILE, A_FILE_EACH = 1, 2
FOLDER = "services"


class _Earlier(Unpickler):
    def persistent_load(self, reference: Any) -> Any:
        """What layout 1 named."""
        kind, name = reference
        if kind == "fresh":
            return FRESH[name]()
        return found_lambda(name) if kind == "lambda" else self.named["named_policy"](name)


class EarlierState:
    """The files of a state directory, if it has any."""

    def __init__(self, state: Path, backend_of: Callable[[str, str], Any], policies: dict[str, Any]):
        self._one, self._folder = state / "services.snapshot", state / FOLDER
        self._backend_of, self._policies = backend_of, policies

    def load(self) -> list[Path]:
        """Bring moto's services to what the files say; which files these are. None: there are none."""
        if self._one.exists():
            for service, backends in self._read(self._one, ONE_FILE)["services"].items():
                for region, backend in backends.items():
                    self._put(service, region, backend.__dict__)
            return [self._one]
        found = sorted(self._folder.glob("*.state"))
        states = {tuple(path.stem.split(".", 1)): self._read(path, A_FILE_EACH) for path in found}
        for (service, region), state in states.items():
            self._put(service, region, state)
        return found

    def remove(self, files: list[Path]) -> None:
        """Their content is elsewhere now."""
        for path in files:
            path.unlink()
        if self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _put(self, service: str, region: str, state: dict[str, Any]) -> None:
        """The state into the service that is there: others may hold it."""
        if service == "iam":
            own = state["managed_policies"]
            everything = {**self._policies, **own}
            state |= {"aws_managed_policies": list(self._policies.values()), "managed_policies": everything}
        backend = self._backend_of(service, region)
        backend.__dict__.clear()
        backend.__dict__.update(state)

    def _read(self, path: Path, version: int) -> Any:
        header, _, payload = path.read_bytes().partition(b"\n")
        parts = header.split(b" ")
        # The first versions wrote a longer word that ends the same; the layout is the same.
        if len(parts) != 3 or not parts[0].endswith(MAGIC):
            raise self._damaged(path, "it is not a snapshot of the local cloud")
        if int(parts[1]) != version:
            raise self._damaged(path, f"it has layout {int(parts[1])}, this version reads layout {version}")
        if hashlib.sha256(payload).hexdigest().encode() != parts[2]:
            raise self._damaged(path, "its checksum is wrong, the file is damaged")
        unpickler = _Earlier(io.BytesIO(payload))
        unpickler.named = {"named_backend": self._backend_of, "named_policy": self._policies.__getitem__}
        try:
            return unpickler.load()
        except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, LookupError) as fault:
            raise self._damaged(path, str(fault)) from fault

    def _damaged(self, path: Path, reason: str) -> DamagedState:
        return DamagedState(
            f"The snapshot {path} cannot be read: {reason}. Nothing was changed. Put back a copy of it, or move "
            f"the state directory {path.parent.parent if path.parent.name == FOLDER else path.parent} away to start "
            "with an empty cloud."
        )
