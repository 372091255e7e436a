"""A write costs what it changed, and what it changed is all there afterwards, however moto changes its objects."""

from __future__ import annotations

import copy
import json
import pickle
import random
import uuid
from collections import OrderedDict, defaultdict

import pytest
from moto.backends import get_backend
from moto.sqs.models import Message

from local_cloud import moto_adjustments
from local_cloud.persistence import tracking
from local_cloud.persistence.database import Database
from local_cloud.persistence.pickling import restricted_loads
from local_cloud.persistence.snapshot import Snapshot
from local_cloud.persistence.tracking import LARGE

ACCOUNT = "333333333333"


@pytest.fixture
def database(tmp_path):
    opened = Database(tmp_path / "rows.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def queues():
    """A service of moto's in which the tests put what they like."""
    moto_adjustments._forget_instances()  # else moto holds all that there ever was
    backend = get_backend("sqs")[ACCOUNT]["us-east-1"]
    backend.__dict__["queues"] = {}
    yield backend
    get_backend("sqs")[ACCOUNT].clear()


def _as_read(database, backend) -> dict:
    """What a new process finds; the backend is as it was afterwards."""
    before = dict(backend.__dict__)
    Snapshot(database, ACCOUNT).load()
    found = copy.deepcopy(backend.__dict__["queues"]), copy.deepcopy(backend.__dict__.get("extra"))
    backend.__dict__.clear()
    backend.__dict__.update(before)
    return found


def _random_step(chance: random.Random, values) -> None:
    """One of the ways in which Python code changes a container."""
    new = lambda: chance.choice([chance.randrange(100), "text", [chance.randrange(9)], {"a": [1]}, OrderedDict(b=2)])  # noqa: E731
    if isinstance(values, list):
        steps = [
            lambda: values.append(new()), lambda: values.extend([new(), new()]), lambda: values.insert(0, new()),
            lambda: values.pop(chance.randrange(len(values))) if values else None, lambda: values.pop() if values else None,
            lambda: values.remove(chance.choice(values)) if values else None, lambda: values.reverse(),
            lambda: values.__setitem__(0, new()) if values else None, lambda: values.__delitem__(slice(0, 2)),
            lambda: values.__iadd__([new()]), lambda: values.sort(key=repr),
        ]  # fmt: skip
    elif isinstance(values, set):
        steps = [
            lambda: values.add(chance.randrange(99)), lambda: values.discard(chance.randrange(99)),
            lambda: values.update({chance.randrange(99), 7}), lambda: values.difference_update({1, 2, 3}),
        ]  # fmt: skip
    else:
        key = chance.choice([*list(values), "new", chance.randrange(99)])
        steps = [
            lambda: values.__setitem__(key, new()), lambda: values.pop(key, None), lambda: values.setdefault(key, new()),
            lambda: values.update({key: new()}, other=new()), lambda: values.__ior__({key: new()}),
            lambda: values.popitem() if values else None,
            lambda: values.__delitem__(key) if key in values else None,
        ]  # fmt: skip
    inner = [v for v in (values.values() if isinstance(values, dict) else values) if isinstance(v, dict | list)]
    if inner and chance.random() < 0.4:
        _random_step(chance, chance.choice(inner))
    else:
        chance.choice(steps)()


@pytest.mark.parametrize("size", [3, LARGE + 20])
@pytest.mark.parametrize("kind", [list, dict, set, OrderedDict, "defaultdict"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_any_change_the_rows_say_what_memory_says(database, queues, size, kind, seed):
    chance = random.Random(seed)
    made = defaultdict(list) if kind == "defaultdict" else kind()
    for number in range(size):
        made.append([number]) if kind is list else made.add(number) if kind is set else made.update({number: [number]})
    snapshot = Snapshot(database, ACCOUNT)
    queues.extra = made
    snapshot.save()
    for _ in range(60):
        with snapshot.change():
            for _ in range(chance.randrange(3)):
                _random_step(chance, queues.extra)
        assert _as_read(database, queues)[1] == queues.extra
    if kind in (list, dict):
        assert repr(_as_read(database, queues)[1]) == repr(copy.deepcopy(queues.extra)), "in the same order"


def test_two_that_hold_one_container_hold_one_container_afterwards(database, queues):
    snapshot = Snapshot(database, ACCOUNT)
    queues.create_queue("a"), queues.create_queue("b")
    snapshot.save()
    shared = {"k": "v"}
    with snapshot.change():
        queues.queues["a"].tags = shared
        queues.queues["b"].tags = shared
    with snapshot.change():
        queues.queues["a"].tags["k"] = "w"
    Snapshot(database, ACCOUNT).load()
    assert queues.queues["a"].tags == queues.queues["b"].tags == {"k": "w"}
    queues.queues["a"].tags["k"] = "x"
    assert queues.queues["b"].tags == {"k": "x"}


def test_objects_that_refer_to_each_other_do_so_afterwards(database, queues):
    snapshot = Snapshot(database, ACCOUNT)
    queues.create_queue("dead")
    target = json.dumps({"deadLetterTargetArn": queues.queues["dead"].queue_arn, "maxReceiveCount": "2"})
    queues.create_queue("q", RedrivePolicy=target)
    snapshot.save()
    Snapshot(database, ACCOUNT).load()
    assert queues.queues["q"].dead_letter_queue is queues.queues["dead"]


def _written(database, change) -> int:
    """How many characters of statements a change takes."""
    writes = []
    database._connection.set_trace_callback(writes.append)
    try:
        change()
    finally:
        database._connection.set_trace_callback(None)
    return sum(map(len, writes))


def test_a_write_among_many_writes_no_more_than_among_few(database, queues):
    snapshot = Snapshot(database, ACCOUNT)
    queues.create_queue("q")
    snapshot.save()

    def send() -> None:
        with snapshot.change():
            queues.queues["q"].add_message(Message(str(uuid.uuid4()), "a message"))

    for _ in range(LARGE * 2):
        send()
    few = _written(database, send)
    for _ in range(2000):
        queues.queues["q"].add_message(Message(str(uuid.uuid4()), "a message"))
    snapshot.save()
    assert _written(database, send) == pytest.approx(few, rel=0.1)


def test_what_is_deleted_leaves_no_rows(database, queues):
    snapshot = Snapshot(database, ACCOUNT)
    queues.create_queue("q")
    snapshot.save()
    before = database.read("SELECT count(*) FROM moto_node")
    with snapshot.change():
        queues.create_queue("gone")
        for _ in range(LARGE * 2):
            queues.send_message("gone", "a message")
    assert database.read("SELECT count(*) FROM moto_node") > before
    with snapshot.change():
        queues.delete_queue("gone")
    snapshot.save()
    assert database.read("SELECT count(*) FROM moto_node") == before
    assert database.read("SELECT count(*) FROM moto_item") == [(0,)]


def test_what_nobody_acknowledged_is_not_written_by_somebody_else_in_between(database, queues):
    """A request that is at work sees its own containers; another one's write must not take them out of its hands."""
    snapshot, other = Snapshot(database, ACCOUNT), get_backend("ssm")[ACCOUNT]["us-east-1"]
    queues.create_queue("q")
    assert other is not None
    snapshot.save()
    mine = tracking.begin()
    held = {}
    queues.queues["q"].tags = held
    tracking.end()
    with snapshot.change():
        other.extra = 1
    held["late"] = "value"
    snapshot._graph.save(list(mine), snapshot._backends(), True)
    Snapshot(database, ACCOUNT).load()
    assert queues.queues["q"].tags == {"late": "value"}


@pytest.mark.parametrize("kind", list(tracking.TRACKED)[:5], ids=lambda kind: kind.__name__)
def test_a_copy_of_a_container_is_an_ordinary_one(kind):
    """Answers are made of them, and nothing that is done to an answer is a change."""
    values = tracking.tracked(kind() if kind is not defaultdict else defaultdict(list))
    for made in (copy.deepcopy(values), copy.copy(values), restricted_loads(pickle.dumps(values))):
        assert type(made) is kind and made == values
