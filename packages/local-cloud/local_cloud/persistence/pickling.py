"""Pickle for the cloud's own snapshots, read by an unpickler that knows only plain values and moto's classes.

Why pickle: moto's services are hundreds of classes without any other written form, and they refer to each other
(a stack holds its bucket). Why that is safe here: the files are the cloud's own, in a directory of mode 0700, and the
unpickler refuses every class outside the list below, so that a tampered snapshot cannot name `os.system`.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

# Classes (never functions) that moto defines hold data. Of our own there are few, and of Python's only plain values.
DATA_PACKAGE = "moto."
TRUSTED_GLOBALS = {
    "builtins": {"set", "frozenset", "bytearray", "complex", "range", "slice", "object", "dict", "list", "tuple"},
    "collections": {"OrderedDict", "defaultdict", "deque", "Counter"},
    "copyreg": {"_reconstructor", "__newobj__"},
    "datetime": {"datetime", "date", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "uuid": {"UUID", "SafeUUID"},
    "zoneinfo": {"ZoneInfo"},
    "re": {"_compile"},
    "_codecs": {"encode"},
    "werkzeug.datastructures": {"Headers", "ImmutableMultiDict", "MultiDict"},
    "local_cloud.persistence.pickled": {"_private_key", "made_anew", "found_lambda"},
    "local_cloud.s3.content": {"StoredContent"},
    "local_cloud.s3.keys": {"DiskKey", "DiskMultipart", "RecordedKeyStore", "_empty_store"},
}


class RefusedPickle(pickle.UnpicklingError):
    """The data names something that a snapshot of this cloud never holds."""


class RestrictedUnpickler(pickle.Unpickler):
    """An unpickler that finds data classes only."""

    def find_class(self, module: str, name: str) -> Any:
        trusted = name in TRUSTED_GLOBALS.get(module, ()) or (
            module.startswith(DATA_PACKAGE) and "." not in name and _is_own_class(module, name)
        )
        if trusted:
            return super().find_class(module, name)
        raise RefusedPickle(f"A snapshot must not hold {module}.{name}")


_known: dict[tuple[str, str], bool] = {}


def _is_own_class(module: str, name: str) -> bool:
    """Whether `module` itself defines a class of that name: what it imported (os, subprocess) is not its own."""
    found = _known.get((module, name))
    if found is None:
        imported = __import__(module, fromlist=[name])
        value = getattr(imported, name, None)
        found = isinstance(value, type) and value.__module__ == module
        _known[(module, name)] = found
    return found


def restricted_loads(data: bytes) -> Any:
    """Unpickle `data`, refusing every class that a snapshot never holds."""
    return RestrictedUnpickler(io.BytesIO(data)).load()
