"""Notices what changes in moto's objects, so that a write costs what it changed and not what there is.

moto keeps its state in objects, dictionaries and lists that it changes in place. Each object that is part of the state is a
node, whose class tells when an attribute is set; each container in it is of a class that tells when it is changed. A container
that has grown tells which of its items did. Reading tells nothing and costs nothing.

Refuses nothing; what it does not know (a class without attributes, a lock) it leaves as it is, part of whatever holds it.
"""

from __future__ import annotations

import copyreg
import itertools
import threading
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

# From so many items on, each item of a container is stored by itself.
LARGE = 32
DATA_PACKAGE = "moto."
# Objects that are named and made anew, not stored.
NAMED = {"AWSManagedPolicy"}

_marks = threading.local()
# What changed outside of a request: by jobs, alarms, or while the cloud started.
_loose: dict[Any, None] = {}
# The nodes of moto's objects, by their identity, for as long as they live.
NODES: dict[int, Node] = {}


def begin() -> dict[Any, None]:
    """From now on this thread's changes are noted in the result."""
    _marks.open = {}
    return _marks.open


def end() -> None:
    """This thread's changes are nobody's again."""
    _marks.open = None


def is_open() -> bool:
    """Whether this thread's changes are being noted for somebody."""
    return getattr(_marks, "open", None) is not None


def loose() -> dict[Any, None]:
    """What changed outside of a request since this was last asked."""
    found = dict(_loose)
    for node in found:
        _loose.pop(node, None)
    return found


class Node:
    """An object of the state, or a large container of it: what has a row of its own."""

    __slots__ = ("home", "number", "reference")

    def __init__(self, home: Any, number: int, value: Any):
        self.home, self.number = home, number
        key = id(value)
        self.reference = weakref.ref(value, lambda _: self._over(key))

    def _over(self, key: int) -> None:
        """The object is no more: nothing in the state holds it."""
        if NODES.get(key) is self:
            del NODES[key]
        self.home.over(self.number)

    def changed(self) -> None:
        """Note it for this thread; after the change, so that whoever stores it meanwhile does not hide it."""
        noted = getattr(_marks, "open", None)
        (_loose if noted is None else noted)[self] = None


class Item:
    """A place in a large container; `number` orders it. It has no container any more once it is gone."""

    __slots__ = ("container", "key", "number")

    def __init__(self, container: Items | None, number: int, key: Any = None):
        self.container, self.number, self.key = container, number, key

    def changed(self) -> None:
        if self.container is not None:
            self.container.due[self] = None
            self.container.changed()


class Items(Node):
    """What is to be stored of a large container: the places that changed, the numbers of those that are gone."""

    __slots__ = ("due", "fresh", "gone", "keys", "numbers", "places")

    def __init__(self, home: Any, number: int, value: Any):
        super().__init__(home, number, value)
        self.due: dict[Item, None] = {}
        self.gone: list[int] = []
        self.fresh = True
        self.numbers = itertools.count()
        # Of a dictionary or set the place of each key; of a list the places, as its values stand.
        self.keys: dict[Any, Item] = {}
        self.places: list[Item] = []

    def place(self, key: Any = None) -> Item:
        """A place after all others."""
        return Item(self, next(self.numbers), key)

    def put(self, key: Any) -> None:
        """The value of this key is another one."""
        item = self.keys.get(key)
        if item is None:
            item = self.keys[key] = self.place(key)
        item.changed()

    def take(self, key: Any) -> None:
        """The key is gone."""
        item = self.keys.pop(key, None)
        if item is not None:
            self._drop([item])

    def all_keys(self, container: Iterable[Any]) -> None:
        """Nobody knows which keys changed."""
        self._drop(list(self.keys.values()))
        self.keys = {key: self.place(key) for key in list(container)}
        self.due.update(dict.fromkeys(self.keys.values()))
        self.changed()

    def all_places(self, length: int) -> None:
        """Nobody knows which places changed."""
        self._drop(self.places)
        self.places = [self.place() for _ in range(length)]
        self.due.update(dict.fromkeys(self.places))
        self.changed()

    def _drop(self, items: list[Item]) -> None:
        for item in items:
            self.due.pop(item, None)
            self.gone.append(item.number)
            item.container = None
        self.changed()


class Tracked:
    """A container that tells its holder, or its own items, that it was changed."""

    holder: Any = None
    items_of: Items | None = None  # once it is large

    def _told(self, tell: Callable[[Items], None]) -> None:
        if self.items_of is not None:
            tell(self.items_of)
        elif self.holder is not None:
            self.holder.changed()

    def __copy__(self) -> Any:
        function, arguments, *rest = self.__reduce_ex__(None)
        made = function(*arguments)
        state, values, pairs_of = [*rest, None, None, None][:3]
        if state:
            made.__dict__.update(state)
        if values is not None:
            made.extend(values)
        for key, value in pairs_of or ():
            made[key] = value
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A copy, or a pickle for somebody else, is an ordinary container."""
        kind = UNTRACKED[type(self)]
        if kind is list:
            return list, (), None, list.__iter__(self)
        if kind is set:
            return set, (list(self),)
        arguments = (self.default_factory,) if kind is defaultdict else ()
        if kind in (dict, OrderedDict, defaultdict):
            return kind, arguments, None, None, iter(pairs(self))
        own = {name: value for name, value in self.__dict__.items() if name not in OWN}
        return copyreg.__newobj__, (kind,), own, None, iter(pairs(self))


def _everything(items: Items, container: Any) -> None:
    if isinstance(container, list):
        items.all_places(len(container))
    else:
        items.all_keys(set.__iter__(container) if isinstance(container, set) else dict.__iter__(container))


def _wholly(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method after which anything may be different."""

    def told(self: Any, *args: Any, **options: Any) -> Any:
        try:
            return method(self, *args, **options)
        finally:
            self._told(lambda items: _everything(items, self))

    return told


def _of_key(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method whose first argument is the key that may be there afterwards, or not."""

    def told(self: Any, key: Any, *args: Any) -> Any:
        try:
            return method(self, key, *args)
        finally:
            there = set.__contains__ if isinstance(self, set) else dict.__contains__
            self._told(lambda items: items.put(key) if there(self, key) else items.take(key))

    return told


def _dictionary(base: type) -> type:
    members: dict[str, Any] = {
        name: _of_key(getattr(base, name)) for name in ("__setitem__", "__delitem__", "pop", "setdefault")
    }
    members |= {name: _wholly(getattr(base, name)) for name in ("clear", "popitem", "__ior__")}

    def update(self: Any, *args: Any, **options: Any) -> None:
        for key, value in dict(*args, **options).items():
            members["__setitem__"](self, key, value)

    members["update"] = update
    if base is OrderedDict:
        members["move_to_end"] = _wholly(OrderedDict.move_to_end)
    return type(f"Tracked_{base.__name__}", (Tracked, base), members)


class TrackedSet(Tracked, set[Any]):
    """A set that tells."""

    add, discard, remove = _of_key(set.add), _of_key(set.discard), _of_key(set.remove)


for _name in ("clear", "pop", "update", "difference_update", "intersection_update", "symmetric_difference_update",
              "__ior__", "__iand__", "__isub__", "__ixor__"):  # fmt: skip
    setattr(TrackedSet, _name, _wholly(getattr(set, _name)))


class TrackedList(Tracked, list[Any]):
    """A list that tells. A single value that comes or goes costs nothing but itself."""

    def append(self, value: Any) -> None:
        list.append(self, value)
        self._told(lambda items: self._added(items, len(self) - 1))

    def _added(self, items: Items, start: int) -> None:
        added = [items.place() for _ in range(start, len(self))]
        items.places.extend(added)
        items.due.update(dict.fromkeys(added))
        items.changed()

    def extend(self, values: Iterable[Any]) -> None:
        start = len(self)
        list.extend(self, values)
        self._told(lambda items: self._added(items, start))

    def __iadd__(self, values: Iterable[Any]) -> Any:
        self.extend(values)
        return self

    def pop(self, index: int = -1) -> Any:
        value = list.pop(self, index)
        self._told(lambda items: items._drop([items.places.pop(index)]))
        return value

    def remove(self, value: Any) -> None:
        del self[self.index(value)]

    def __delitem__(self, index: Any) -> None:
        list.__delitem__(self, index)
        one = isinstance(index, int)
        self._told(lambda items: items._drop([items.places.pop(index)]) if one else items.all_places(len(self)))

    def __setitem__(self, index: Any, value: Any) -> None:
        list.__setitem__(self, index, value)
        one = isinstance(index, int)
        self._told(lambda items: items.places[index].changed() if one else items.all_places(len(self)))


for _name in ("clear", "insert", "reverse", "sort", "__imul__"):
    setattr(TrackedList, _name, _wholly(getattr(list, _name)))

TRACKED: dict[type, type] = {
    list: TrackedList, set: TrackedSet, dict: _dictionary(dict), OrderedDict: _dictionary(OrderedDict),
    defaultdict: _dictionary(defaultdict),
}  # fmt: skip
UNTRACKED = {tracked: base for base, tracked in TRACKED.items()}
# Attributes of this module's own on a container that has others.
OWN = ("holder", "items_of")


def tracked_class(kind: type) -> type | None:
    """The class that tells, for a kind of container; None for what is none."""
    found = TRACKED.get(kind)
    if found is None and issubclass(kind, dict) and kind.__module__.startswith(DATA_PACKAGE):
        base = next(base for base in kind.__mro__ if base in TRACKED)
        # Its own methods first: what reaches the tracked ones is what really happens to the dictionary.
        found = TRACKED[kind] = type(f"Tracked_{kind.__name__}", (kind, TRACKED[base]), {})
        UNTRACKED[found] = kind
    return found


def tracked(container: Any) -> Any:
    """The same values in a container that tells."""
    kind = tracked_class(type(container))
    made = kind.__new__(kind)
    if isinstance(made, list):
        list.extend(made, container)
    elif isinstance(made, set):
        set.update(made, container)
    else:
        _fill(made, container)
    return made


def _fill(made: Any, container: Any) -> None:
    if isinstance(made, defaultdict):
        made.default_factory = container.default_factory
    for key, value in pairs(container):
        raw_set(made, key, value)
    own = {name: value for name, value in getattr(container, "__dict__", {}).items() if name not in OWN}
    if own:
        made.__dict__.update(own)


def pairs(container: Any) -> list[tuple[Any, Any]]:
    """What a dictionary holds, whatever moto's class says of it."""
    return list((OrderedDict if isinstance(container, OrderedDict) else dict).items(container))


def raw_set(container: Any, key: Any, value: Any) -> None:
    """A value put into a dictionary without telling; an ordered one must not be passed by."""
    (OrderedDict if isinstance(container, OrderedDict) else dict).__setitem__(container, key, value)


def is_object(value: Any) -> bool:
    """Whether a value is one of moto's own objects with attributes."""
    kind = type(value)
    return (
        kind.__module__.startswith(DATA_PACKAGE)
        and kind.__name__ not in NAMED
        and hasattr(value, "__dict__")
        and not isinstance(value, type | Enum | dict | list | set | tuple | str | int | float | BaseException)
    )


def watch(kind: type) -> None:
    """Have objects of this class note each change of an attribute, once they are nodes."""
    if getattr(kind.__setattr__, "notices", False):
        return
    plain_set, plain_delete = kind.__setattr__, kind.__delattr__

    def set_attribute(self: Any, name: str, value: Any) -> None:
        plain_set(self, name, value)
        if node := NODES.get(id(self)):
            node.changed()

    def delete_attribute(self: Any, name: str) -> None:
        plain_delete(self, name)
        if node := NODES.get(id(self)):
            node.changed()

    set_attribute.notices = True
    kind.__setattr__, kind.__delattr__ = set_attribute, delete_attribute
