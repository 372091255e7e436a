"""How one of moto's objects is written down, and read: other objects by their numbers, policies of AWS's by name, locks made anew.

Refuses (through `pickling`) whatever names a class that a state never holds.
"""

from __future__ import annotations

import importlib
import io
import pickle
import threading
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from local_cloud.persistence.pickling import RestrictedUnpickler

# Where the functions below stood when the state was files; those files are read still.
EARLIER = "local_cloud.persistence.snapshot"


class Pickler(pickle.Pickler):
    """Writes one object's own values."""

    number_of: Callable[[Any], int | None]

    def reducer_override(self, value: Any) -> Any:
        """How an instance, a function or a class is written. (`persistent_id` would be asked for every text and number.)"""
        number = self.number_of(value)
        if number is not None:
            return named_object, (number,)
        kind = type(value)
        if kind.__name__ == "AWSManagedPolicy":
            return named_policy, (value.arn,)
        if kind in _UNSTORED:
            return made_anew, (kind.__name__,)
        if kind is FunctionType and "<lambda>" in value.__qualname__ and value.__module__.startswith("moto."):
            return found_lambda, (f"{value.__module__}:{value.__qualname__}:{value.__code__.co_firstlineno}",)
        if hasattr(value, "private_bytes"):
            return _private_key, (_pem(value),)
        return NotImplemented


# Made anew instead of being stored.
_UNSTORED = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
    threading.Event: threading.Event,
    threading.Condition: threading.Condition,
}
FRESH = {kind.__name__: make for kind, make in _UNSTORED.items()}


def _pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _private_key(pem: bytes) -> Any:
    """A KMS key's own material, which knows no pickle."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(pem, None)


def named_object(number: int) -> Any:
    """In a row: an object with a row of its own, which the reader has."""
    raise AssertionError("only a reader knows")


def named_policy(arn: str) -> Any:
    """In a row: a policy of AWS's."""
    raise AssertionError("only a reader knows")


def made_anew(kind: str) -> Any:
    """In a row: a lock."""
    return FRESH[kind]()


def found_lambda(reference: str) -> FunctionType:
    """In a row: the default of one of moto's dictionaries, found in the code that made it."""
    module_name, qualified, line = reference.split(":")
    if not module_name.startswith("moto."):
        raise pickle.UnpicklingError(f"A state must not hold {module_name}.{qualified}")
    module = importlib.import_module(module_name)
    owner: Any = module
    for part in qualified.split(".<locals>")[0].split("."):
        owner = getattr(owner, part)
    for constant in owner.__code__.co_consts:
        if isinstance(constant, CodeType) and constant.co_name == "<lambda>" and constant.co_firstlineno == int(line):
            return FunctionType(constant, vars(module), qualified.rpartition(".")[2])
    raise pickle.UnpicklingError(f"{module_name}.{qualified} is no longer there")


class Reader:
    """Reads rows; `objects` by their numbers and `policies` by their ARNs are what they name."""

    def __init__(self, objects: dict[int, Any], policies: dict[str, Any]):
        self._named: dict[str, Callable[..., Any]] = {
            "named_object": objects.__getitem__,
            "named_policy": policies.__getitem__,
        }

    def loads(self, blob: bytes) -> Any:
        """What a row holds."""
        return self._unpickler(blob).load()

    def class_named(self, name: str) -> type:
        """The class of a row."""
        module, _, qualified = name.partition(":")
        return self._unpickler(b"").find_class(module, qualified)

    def _unpickler(self, blob: bytes) -> Unpickler:
        unpickler = Unpickler(io.BytesIO(blob))
        unpickler.named = self._named
        return unpickler


class Unpickler(RestrictedUnpickler):
    """An unpickler that asks `named` for what a row, or a file of an earlier version, names."""

    named: dict[str, Callable[..., Any]]

    def find_class(self, module: str, name: str) -> Any:
        if module in (__name__, EARLIER):
            if name in self.named:
                return self.named[name]
            module = __name__
        return super().find_class(module, name)
