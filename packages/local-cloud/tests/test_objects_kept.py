"""No object is lost to an overwrite, a reader never sees a gap, and a row without its file is told by name."""

from __future__ import annotations

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError

from local_cloud.persistence.database import Database
from local_cloud.s3.content import ContentStore
from local_cloud.s3.rows import ObjectRows
from local_cloud.testing import wait_until


class _SlowCommit(Database):
    """A database whose commit waits until the test lets it go, and then may fail."""

    def __init__(self, path):
        super().__init__(path)
        self.reached, self.go_on, self.fails = threading.Event(), threading.Event(), False

    @contextmanager
    def transaction(self):
        with super().transaction() as connection:
            yield connection
            self.reached.set()
            assert self.go_on.wait(60)
            if self.fails:
                raise OSError("the disk is full")


@pytest.fixture
def slow(tmp_path):
    return _SlowCommit(tmp_path / "rows.sqlite")


def _outcome(call) -> tuple[threading.Thread, list]:
    outcome: list = []

    def run() -> None:
        try:
            call()
            outcome.append("returned")
        except OSError:
            outcome.append("failed")

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_a_flush_returns_only_after_the_commit_that_holds_its_row(slow):
    rows = ObjectRows(slow, lambda bucket, name: ["v"])
    rows.touch("b", "one")
    rows.touch("b", "two")
    first, _ = _outcome(rows.flush)
    assert slow.reached.wait(60)  # the first has taken both rows and is inside its commit
    second, told = _outcome(rows.flush)
    second.join(0.2)
    assert told == []  # nothing is committed yet, so nobody may have been told
    slow.go_on.set()
    first.join(60)
    second.join(60)
    assert told == ["returned"] and [row[1] for row in rows.load()] == ["one", "two"]


def test_a_row_of_a_commit_that_failed_is_written_by_the_next_or_its_caller_hears_of_it(slow):
    rows = ObjectRows(slow, lambda bucket, name: ["v"])
    rows.touch("b", "one")
    rows.touch("b", "two")
    slow.fails = True
    first, first_told = _outcome(rows.flush)
    assert slow.reached.wait(60)
    second, second_told = _outcome(rows.flush)
    slow.go_on.set()
    first.join(60)
    second.join(60)
    assert (first_told, second_told) == (["failed"], ["failed"])
    slow.fails = False
    rows.flush()
    assert [row[1] for row in rows.load()] == ["one", "two"]


def test_a_change_that_cannot_be_committed_is_taken_back_and_those_of_others_are_not(slow):
    undone: list = []
    rows = ObjectRows(slow, lambda bucket, name: ["v"], lambda *row: undone.append(row))
    slow.go_on.set()
    with rows.change():
        rows.touch("b", "before")
    slow.fails = True

    def change() -> None:
        with rows.change():
            rows.touch("b", "before")
            rows.touch("b", "new")

    _, told = _outcome(change)
    wait_until(lambda: told)
    assert told == ["failed"] and undone == [("b", "before", ["v"]), ("b", "new", [])]
    slow.fails = False
    with rows.change():
        rows.touch("b", "later")
    assert [row[1] for row in rows.load()] == ["before", "later"]


def test_a_replaced_file_stays_until_the_readers_that_may_have_found_it_are_done(tmp_path):
    store = ContentStore(tmp_path)
    old = store.write(b"old")
    with store.reading():
        with store.reading():
            pass
        store.discard([old.path])
        assert old.path.exists()
        later = store.write(b"later")
    assert not old.path.exists()
    with store.reading():
        pass
    store.discard([later.path])
    assert not later.path.exists()


def test_readers_of_a_key_that_is_overwritten_get_an_old_or_a_new_object(cloud):
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="busy")
    s3.create_bucket(Bucket="copies")
    bodies = {bytes([65 + n]) * (1000 + n): {"n": str(n)} for n in range(20)}
    first, told = next(iter(bodies.items()))
    s3.put_object(Bucket="busy", Key="k", Body=first, Metadata=told, ContentType="text/plain")
    upload = s3.create_multipart_upload(Bucket="copies", Key="parts")["UploadId"]
    part = {"Bucket": "copies", "Key": "parts", "UploadId": upload, "PartNumber": 1, "CopySource": "busy/k"}
    query = {
        "ExpressionType": "SQL", "Expression": "SELECT * FROM s3object", "InputSerialization": {"CSV": {}},
        "OutputSerialization": {"JSON": {}},
    }  # fmt: skip
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            for body, metadata in bodies.items():
                s3.put_object(Bucket="busy", Key="k", Body=body, Metadata=metadata, ContentType="text/plain")

    def read(number: int) -> None:
        match number % 5:
            case 0:
                got = s3.get_object(Bucket="busy", Key="k")
                body = got["Body"].read()
                assert (got["Metadata"], got["ContentType"]) == (bodies[body], "text/plain")
            case 1:
                got = s3.get_object(Bucket="busy", Key="k", PartNumber=1)["Body"].read()  # moto answers this one
                assert got in bodies
            case 2:
                s3.copy_object(Bucket="copies", Key=f"c{number}", CopySource="busy/k")
                assert s3.get_object(Bucket="copies", Key=f"c{number}")["Body"].read() in bodies
            case 3:
                s3.upload_part_copy(**part)
            case 4:
                list(s3.select_object_content(Bucket="busy", Key="k", **query)["Payload"])

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(read, range(150)))
    finally:
        over.set()
        for writer in writers:
            writer.join()


def test_a_job_that_takes_an_overwritten_object_gets_one_of_them(tmp_path):
    store = ContentStore(tmp_path / "objects")
    current = [store.write(b"0" * 1000)]
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            before, current[0] = current[0], store.write(str(number % 10).encode() * 1000)
            store.discard([before.path])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(500):
            with store.reading():
                content = current[0]
                os.stat(content.path)
                assert content.fault() == "" and len(set(content.path.read_bytes())) == 1
    finally:
        over.set()
        writer.join()


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_an_object_without_its_bytes_is_named_at_the_start_and_to_whoever_asks_for_it(own_cloud, damage):
    own_cloud.start()
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="bkt")
    s3.put_object(Bucket="bkt", Key="whole", Body=b"w")
    s3.put_object(Bucket="bkt", Key="some/hurt", Body=b"0123456789")
    own_cloud.kill()
    hurt = next(p for p in (own_cloud.state / "objects").rglob("*") if p.is_file() and p.stat().st_size == 10)
    hurt.unlink()
    if damage == "short":
        hurt.write_bytes(b"0123")
    own_cloud.start()
    s3 = own_cloud.client("s3")
    assert "s3://bkt/some/hurt is damaged" in own_cloud.log()
    assert len(s3.list_objects_v2(Bucket="bkt")["Contents"]) == 2
    asked = [
        lambda: s3.get_object(Bucket="bkt", Key="some/hurt"),
        lambda: s3.get_object(Bucket="bkt", Key="some/hurt", PartNumber=1),
        lambda: s3.copy_object(Bucket="bkt", Key="copy", CopySource="bkt/some/hurt"),
    ]
    for ask in asked:
        with pytest.raises(ClientError, match=r"s3://bkt/some/hurt is damaged.*Put the object again") as refused:
            ask()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 410
    s3.put_object(Bucket="bkt", Key="some/hurt", Body=b"again")
    assert s3.get_object(Bucket="bkt", Key="some/hurt")["Body"].read() == b"again"
    assert s3.get_object(Bucket="bkt", Key="whole")["Body"].read() == b"w"


def test_tags_go_with_the_version_that_they_were_given_to(own_cloud):
    own_cloud.start()
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="bkt")
    s3.put_object(Bucket="bkt", Key="a", Body=b"1", Tagging="k=v")
    s3.copy_object(Bucket="bkt", Key="b", CopySource="bkt/a")
    s3.copy_object(Bucket="bkt", Key="a", CopySource="bkt/a", MetadataDirective="REPLACE", Metadata={"m": "1"})
    upload = s3.create_multipart_upload(Bucket="bkt", Key="c", Tagging="k=v")["UploadId"]
    part = s3.upload_part(Bucket="bkt", Key="c", UploadId=upload, PartNumber=1, Body=b"1")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="bkt", Key="c", UploadId=upload, MultipartUpload=parts)
    s3.put_object(Bucket="bkt", Key="d", Body=b"1", Tagging="k=v")
    s3.put_object(Bucket="bkt", Key="d", Body=b"2")
    own_cloud.kill()
    own_cloud.start()
    s3 = own_cloud.client("s3")
    tagged = {key: s3.get_object_tagging(Bucket="bkt", Key=key)["TagSet"] for key in "abcd"}
    kept = [{"Key": "k", "Value": "v"}]
    assert tagged == {"a": kept, "b": kept, "c": kept, "d": []}


def test_an_object_is_lost_neither_before_nor_after_its_commit(own_cloud):
    """The commit is held open by another writer of the database: the process dies exactly there."""
    own_cloud.start()
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="bkt")
    s3.put_object(Bucket="bkt", Key="k", Body=b"old")
    s3.put_object(Bucket="bkt", Key="gone", Body=b"deleted?")
    other = sqlite3.connect(own_cloud.state / "rows.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    objects = own_cloud.state / "objects"
    before = len([p for p in objects.rglob("*") if p.is_file()])

    def attempt(call, **arguments) -> None:
        with pytest.raises(Exception):  # noqa: B017 (the connection breaks, in one of several ways)
            call(Bucket="bkt", **arguments)

    with ThreadPoolExecutor(2) as pool:
        put = pool.submit(attempt, s3.put_object, Key="k", Body=b"new")
        wait_until(lambda: len([p for p in objects.rglob("*") if p.is_file()]) > before)
        gone = pool.submit(attempt, s3.delete_object, Key="gone")
        own_cloud.kill()
        put.result()
        gone.result()
    other.execute("ROLLBACK")
    other.close()
    own_cloud.start()
    s3 = own_cloud.client("s3")
    assert s3.get_object(Bucket="bkt", Key="k")["Body"].read() == b"old"
    assert s3.get_object(Bucket="bkt", Key="gone")["Body"].read() == b"deleted?"
    assert "damaged" not in own_cloud.log()
