"""moto's objects as rows of the database: one for each object, one for each item of a large container.

A row names other objects by their numbers, so that it holds what the object itself has and no more. Rows of one change are
committed together. Left out are AWS's own policies, and what has rows of another kind: objects of S3, log lines, metrics of jobs.
"""

from __future__ import annotations

import io
import itertools
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from local_cloud.persistence import tracking
from local_cloud.persistence.database import Database
from local_cloud.persistence.pickled import Pickler, Reader
from local_cloud.persistence.tracking import NODES, UNTRACKED, Item, Items, Node, Tracked

# What other rows hold, or nothing does, and what stands there instead: by class and attribute.
LEFT_OUT = {
    ("FakeBucket", "multiparts"): dict,
    ("LogStream", "events"): list,
    ("IAMBackend", "aws_managed_policies"): list,
}
# Containers of which some values are left out.
PARTLY = {
    ("IAMBackend", "managed_policies"): lambda value: type(value).__name__ == "AWSManagedPolicy",
    ("CloudWatchBackend", "metric_data"): lambda value: getattr(value, "in_database", False),
}
ATTEMPTS = 50
# So few places of a list are looked for one by one.
FEW = 8
# A service by moto's name, and a region of it.
Part = tuple[str, str]


class Rows:
    """What one change writes."""

    def __init__(self) -> None:
        self.nodes: dict[int, tuple[int, str, bytes]] = {}
        self.items: dict[tuple[int, int], tuple[int, int, bytes]] = {}
        self.gone_items: dict[tuple[int, int], None] = {}
        self.roots: list[tuple[str, str, int]] = []


class Graph:
    """The objects that are reachable from moto's backends, and what of them is still to be written."""

    def __init__(self, database: Database):
        self._database = database
        self._numbers = itertools.count(1)
        self._roots: dict[Part, Any] = {}
        self._over: list[int] = []
        self._due: list[Node] = []
        self._without: dict[int, Any] = {}
        self._lock = threading.RLock()
        # Ordinary containers of the change that is being written, and what stands in their places: two may hold one.
        self._replaced: dict[int, tuple[Any, Any]] = {}

    def over(self, number: int) -> None:
        """An object is no more; called whenever Python frees one."""
        self._over.append(number)

    def save(self, changed: list[Node], backends: dict[Part, Any], alone: bool) -> None:
        """Write what changed; `alone` when nobody else is in the middle of a change, so that what is gone may go."""
        with self._lock:
            rows = Rows()
            for part, backend in backends.items():
                if self._roots.get(part) is not backend:
                    self._roots[part] = backend
                    rows.roots.append((*part, self.node_of(backend).number))
            self._due.extend(node for node in changed if node.home is self)
            while self._due:
                self._write(self._due.pop(), rows)
            self._replaced.clear()
            over = []
            if alone:
                over, self._over = self._over, []
            if rows.nodes or rows.items or rows.gone_items or rows.roots or over:
                self._commit(rows, over)

    def _commit(self, rows: Rows, over: list[int]) -> None:
        with self._database.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO moto_root VALUES (?,?,?)", rows.roots)
            connection.executemany("INSERT OR REPLACE INTO moto_node VALUES (?,?,?)", list(rows.nodes.values()))
            connection.executemany("INSERT OR REPLACE INTO moto_item VALUES (?,?,?)", list(rows.items.values()))
            connection.executemany("DELETE FROM moto_item WHERE node=? AND number=?", list(rows.gone_items))
            gone = [(number,) for number in over]
            connection.executemany("DELETE FROM moto_node WHERE number=?", gone)
            connection.executemany("DELETE FROM moto_item WHERE node=?", gone)

    def _write(self, node: Node, rows: Rows) -> None:
        value = node.reference()
        if value is None:
            return
        for attempt in range(ATTEMPTS):
            try:
                if isinstance(node, Items):
                    self._write_items(node, value, rows)
                else:
                    rows.nodes[node.number] = (node.number, _name(type(value)), self._state(node, value))
                return
            except RuntimeError:  # a dictionary grew while it was read: another request is at work
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.002)

    def _state(self, node: Node, value: Any) -> bytes:
        """An object's attributes."""
        kind, state = type(value).__name__, {}
        for name, found in list(value.__dict__.items()):
            if left_out := LEFT_OUT.get((kind, name)):
                state[name] = left_out()
                continue
            state[name] = kept = self._adopt(kind, name, found, node)
            if kept is not found:
                value.__dict__[name] = kept
        return self._dumped(state)

    def _adopt(self, kind: str, name: str, found: Any, node: Node) -> Any:
        kept = self.adopted(found, node)
        if without := PARTLY.get((kind, name)):
            if kept.items_of is None:
                self._enlarge(kept)
            self._without[kept.items_of.number] = without
        return kept

    def _write_items(self, items: Items, container: Any, rows: Rows) -> None:
        if items.fresh:
            factory = getattr(container, "default_factory", None)
            own = {n: v for n, v in getattr(container, "__dict__", {}).items() if n not in tracking.OWN}
            rows.nodes[items.number] = (items.number, _name(UNTRACKED[type(container)]), self._dumped((factory, own)))
        gone, items.gone = items.gone, []
        for number in gone:
            rows.items.pop((items.number, number), None)
            rows.gone_items[items.number, number] = None
        due, items.due = items.due, {}
        without = self._without.get(items.number)
        try:
            self._write_due(items, container, due, without, rows)
        except RuntimeError:
            items.due = due | items.due
            raise
        items.fresh = False

    def _write_due(self, items: Items, container: Any, due: dict[Item, None], without: Any, rows: Rows) -> None:
        for item, key, value in _places(items, container, due):
            if without and without(value):
                continue
            kept = self.adopted(value, item)
            if kept is not value:
                _put(container, key, kept)
            stored = kept if isinstance(container, list) else (key, kept)
            rows.items[items.number, item.number] = (items.number, item.number, self._dumped(stored))

    def adopted(self, value: Any, holder: Any) -> Any:
        """The value as it is part of the state: containers that tell, objects that are nodes."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if isinstance(value, Tracked):
            return self._held(value, holder)
        if tracking.tracked_class(kind) is not None:
            if id(value) not in self._replaced:
                self._replaced[id(value)] = value, tracking.tracked(value)
            return self._held(self._replaced[id(value)][1], holder)
        if kind is tuple:
            parts = [self.adopted(part, holder) for part in value]
            return value if all(a is b for a, b in zip(parts, value, strict=True)) else tuple(parts)
        if tracking.is_object(value):
            self.node_of(value)
        return value

    def _held(self, container: Any, holder: Any) -> Any:
        if container.items_of is not None:
            if container.items_of.home is self:
                return container
            container.items_of = container.holder = None  # of a state that was taken back
        if container.holder is None or getattr(container.holder, "container", self) is None:
            container.holder, before = holder, container.holder
            for _, child in _children(container):
                _pass_on(child, before, holder)
        elif container.holder is not holder:  # two hold it: from now on it has rows of its own
            self._again(container.holder)
            return self._enlarge(container)
        if len(container) > tracking.LARGE or UNTRACKED[type(container)] not in _INLINE:
            return self._enlarge(container)
        for key, child in _children(container):
            if (kept := self.adopted(child, holder)) is not child:
                _put(container, key, kept)
        return container

    def _again(self, holder: Any) -> None:
        if isinstance(holder, Item):
            if holder.container is None:
                return
            holder.container.due[holder] = None
            holder = holder.container
        self._due.append(holder)

    def _enlarge(self, container: Any) -> Any:
        """Give each of its items a row."""
        items, old = Items(self, next(self._numbers), container), container.holder
        for key, child in _children(container):
            item = items.place(key)
            if isinstance(container, list):
                items.places.append(item)
            else:
                items.keys[key] = item
            _pass_on(child, old, item)
            items.due[item] = None
        container.items_of, container.holder = items, None
        self._due.append(items)
        return container

    def node_of(self, value: Any) -> Node:
        """The node of an object, made when it has none."""
        node = NODES.get(id(value))
        if node is None or node.home is not self:
            node = NODES[id(value)] = Node(self, next(self._numbers), value)
            tracking.watch(type(value))
            self._due.append(node)
        return node

    def _dumped(self, value: Any) -> bytes:
        buffer = io.BytesIO()
        pickler = Pickler(buffer, protocol=5)
        pickler.number_of = self._number_of
        pickler.dump(value)
        return buffer.getvalue()

    def _number_of(self, value: Any) -> int | None:
        kind = type(value)
        if kind in UNTRACKED:
            return value.items_of.number if value.items_of is not None else None
        return self.node_of(value).number if tracking.is_object(value) else None

    def load(self, backend_of: Any, policies: dict[str, Any]) -> dict[Part, Any]:
        """Fill the backends from the rows; which they are."""
        rows = self._database.read("SELECT number, class, state FROM moto_node")
        self._numbers = itertools.count(max((number for number, _, _ in rows), default=0) + 1)
        roots = {(s, r): n for s, r, n in self._database.read("SELECT service, region, node FROM moto_root")}
        if missing := set(roots.values()) - {number for number, _, _ in rows}:
            raise LookupError(f"rows {sorted(missing)} are not there")
        backends = {part: backend_of(*part) for part in roots}
        known: dict[int, Any] = {number: backends[part] for part, number in roots.items()}
        reader = Reader(known, policies)
        for number, name, _ in rows:
            kind: Any = reader.class_named(name)
            if number not in known:
                kind = tracking.tracked_class(kind) or kind
                known[number] = kind.__new__(kind)
            elif type(known[number]) is not kind:
                raise LookupError(f"row {number} is no {type(known[number]).__name__}")
        items: dict[int, list[tuple[int, bytes]]] = {}
        for node, number, value in self._database.read(
            "SELECT node, number, value FROM moto_item ORDER BY node, number"
        ):
            items.setdefault(node, []).append((number, value))
        for number, _, state in rows:
            value = known[number]
            if isinstance(value, Tracked):
                self._fill_container(value, number, reader.loads(state), items.get(number, []), reader)
            else:
                self._fill_object(value, number, reader.loads(state))
        self._roots = dict(backends)
        for part in backends:
            self._finish(backends[part], policies)
        self._hold_all(known, rows)
        self._replaced.clear()
        return backends

    def _fill_object(self, value: Any, number: int, state: dict[str, Any]) -> None:
        NODES[id(value)] = Node(self, number, value)
        tracking.watch(type(value))
        value.__dict__.clear()
        value.__dict__.update(state)

    def _fill_container(
        self, container: Any, number: int, head: Any, rows: list[tuple[int, bytes]], reader: Reader
    ) -> None:
        factory, own = head
        if factory is not None:
            container.default_factory = factory
        container.__dict__.update(own)
        items = container.items_of = Items(self, number, container)
        items.fresh = False
        items.numbers = itertools.count(rows[-1][0] + 1 if rows else 0)
        for place, blob in rows:
            stored = reader.loads(blob)
            item = Item(items, place)
            if isinstance(container, list):
                items.places.append(item)
                list.append(container, stored)
                continue
            item.key = stored[0]
            items.keys[item.key] = item
            if isinstance(container, set):
                set.add(container, item.key)
            else:
                tracking.raw_set(container, *stored)

    def _hold_all(self, known: dict[int, Any], rows: list[Any]) -> None:
        """Have every container tell, without anything to write."""
        for number, _, _ in rows:
            value = known[number]
            if isinstance(value, Tracked):
                items: Any = value.items_of
                for item, key, child in _places(items, value, items.places or items.keys.values()):
                    if (kept := self.adopted(child, item)) is not child:
                        _put(value, key, kept)
            else:
                node, kind = NODES[id(value)], type(value).__name__
                for name, child in list(value.__dict__.items()):
                    if (kind, name) not in LEFT_OUT:
                        value.__dict__[name] = self._adopt(kind, name, child, node)

    def _finish(self, backend: Any, policies: dict[str, Any]) -> None:
        if type(backend).__name__ == "IAMBackend":
            backend.__dict__["aws_managed_policies"] = list(policies.values())
            known = backend.managed_policies
            own = dict(dict.items(known))
            dict.clear(known)
            dict.update(known, {**policies, **own})


_PLAIN = {str, int, float, bool, type(None), bytes}
_INLINE = {list, set, dict, OrderedDict, defaultdict}


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _children(container: Any) -> list[tuple[Any, Any]]:
    """What a container holds, with the index or key; a set's values are its keys."""
    if isinstance(container, list):
        return list(enumerate(list.__iter__(container)))
    if isinstance(container, set):
        return [(value, value) for value in list(set.__iter__(container))]
    return tracking.pairs(container)


def _put(container: Any, key: Any, value: Any) -> None:
    """The value as it tells, in place of the one that did not. What a set holds never changes."""
    if isinstance(container, list):
        list.__setitem__(container, key, value)
    else:
        tracking.raw_set(container, key, value)


def _places(items: Items, container: Any, due: Iterable[Item]) -> Iterator[tuple[Item, Any, Any]]:
    """These places with their index or key, and what is there now."""
    if not isinstance(container, list):
        for item in list(due):
            if isinstance(container, set):
                yield item, item.key, item.key
            elif dict.__contains__(container, item.key):
                yield item, item.key, dict.__getitem__(container, item.key)
        return
    due = list(due)
    where = {}
    if len(due) > FEW:
        where = {item: index for index, item in enumerate(items.places)}
    for item in due:
        last = len(items.places) - 1
        index = last if last >= 0 and items.places[last] is item else where.get(item)
        if index is None:
            index = items.places.index(item)
        yield item, index, list.__getitem__(container, index)


def _pass_on(child: Any, old: Any, item: Node | Item) -> None:
    """What lies within an item tells the item now."""
    if isinstance(child, Tracked) and child.items_of is None and child.holder is old:
        child.holder = item
        for _, inner in _children(child):
            _pass_on(inner, old, item)
