"""The functions of a cloud on disk: one JSON file for each, written whole before a change is acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from local_cloud.documents import read_json, write_json
from local_cloud.functions.names import LATEST, Reference, failure


@dataclass
class Function:
    """One function: the configurations of its versions, its aliases, and the policies of each of them."""

    name: str
    arn: str
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)  # by qualifier; "" is the function itself
    tags: dict[str, str] = field(default_factory=dict)
    published: int = 0

    def version_of(self, qualifier: str | None) -> str:
        """The version that a qualifier means. Raises ResourceNotFoundException."""
        if qualifier in self.aliases:
            return str(self.aliases[qualifier]["FunctionVersion"])
        version = qualifier or LATEST
        if version not in self.versions:
            raise failure("ResourceNotFoundException", f"Function not found: {self.qualified(qualifier)}", 404)
        return version

    def qualified(self, qualifier: str | None) -> str:
        """The ARN with a version or an alias."""
        return f"{self.arn}:{qualifier}" if qualifier else self.arn


class Store:
    """All functions and event source mappings; `change` writes what it changed, or nothing of it."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.RLock()
        self._functions: dict[str, Function] = {}
        self._mappings: dict[str, dict[str, Any]] = {}

    def load(self) -> None:
        """Read what earlier processes wrote."""
        for path in sorted((self._folder / "functions").glob("*.json")):
            function = Function(**read_json(path))
            self._functions[function.name] = function
        for path in sorted((self._folder / "mappings").glob("*.json")):
            self._mappings[path.stem] = read_json(path)

    def all(self) -> list[Function]:
        """Copies of all functions, by name."""
        with self._lock:
            return [deepcopy(self._functions[name]) for name in sorted(self._functions)]

    def find(self, name: str) -> Function | None:
        """A copy of one function."""
        with self._lock:
            return deepcopy(self._functions.get(name))

    def require(self, named: Reference, arn: str) -> Function:
        """The same, or ResourceNotFoundException with this ARN."""
        found = self.find(named.name)
        if found is None:
            raise failure("ResourceNotFoundException", f"Function not found: {arn}", 404)
        return found

    @contextmanager
    def change(self, name: str, arn: str) -> Iterator[Function]:
        """A function to change; what was changed counts when the block ends well."""
        with self._lock:
            function = self.require(Reference(name, None), arn)
            yield function
            self.put(function)

    def put(self, function: Function) -> None:
        """Keep a function, new or changed."""
        with self._lock:
            _write(self._folder / "functions" / f"{function.name}.json", asdict(function))
            self._functions[function.name] = deepcopy(function)

    def drop(self, name: str) -> None:
        """Forget a function."""
        with self._lock:
            (self._folder / "functions" / f"{name}.json").unlink(missing_ok=True)
            self._functions.pop(name, None)

    def mappings(self) -> list[dict[str, Any]]:
        """Copies of all event source mappings."""
        with self._lock:
            return [deepcopy(self._mappings[key]) for key in sorted(self._mappings)]

    def put_mapping(self, mapping: dict[str, Any]) -> None:
        """Keep an event source mapping."""
        with self._lock:
            _write(self._folder / "mappings" / f"{mapping['UUID']}.json", mapping)
            self._mappings[mapping["UUID"]] = deepcopy(mapping)

    def drop_mapping(self, key: str) -> None:
        """Forget an event source mapping."""
        with self._lock:
            (self._folder / "mappings" / f"{key}.json").unlink(missing_ok=True)
            self._mappings.pop(key, None)

    def packages_in_use(self) -> set[str]:
        """The keys of all packages that some version has."""
        with self._lock:
            return {str(config["_package"]) for one in self._functions.values() for config in one.versions.values()}


def _write(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, value)
