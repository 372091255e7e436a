"""What a photo may cost: memory within its estimate and within one budget, work that is ended, crashes that stay where they are."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from contract import decode_apart
from contract.abandon import Abandon, Abandoned
from contract.decode import UnreadablePhoto, decode, is_costly, read_photo
from contract.memory_budget import MEGABYTE, MemoryBudget
from tests.inference_code.bombs import FORMATS, many_scans, palette_png, png
from tests.inference_code.photos import encode, scene

ROOT = Path(__file__).parents[2]
PHOTO = scene()

MEASURE = """
import re, sys
from contract.decode_child import Job
from contract.photo_kind import kind_of
data = open(sys.argv[1], "rb").read()
def most(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
Job(data[:0] or open(sys.argv[2], "rb").read(), kind_of(data), 10**9).decode()  # the libraries are loaded
before = most("VmRSS")
job = Job(data, kind_of(data), 10**9)
job.decode()
print(job.needs, most("VmHWM") - before)
"""


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_photo_takes_no_more_memory_than_its_estimate(tmp_path, name):
    (tmp_path / "large").write_bytes(FORMATS[name](2500))
    (tmp_path / "small").write_bytes(FORMATS[name](16))
    files = [str(tmp_path / "large"), str(tmp_path / "small")]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *files],
        cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    needs, took = map(int, done.stdout.split())
    assert took <= needs + 8 * MEGABYTE, (needs, took)


def test_a_budget_is_never_exceeded_and_everybody_gets_a_turn():
    budget, inside, most, lock = MemoryBudget(1000), 0, 0, threading.Lock()

    def work(needed: int) -> None:
        nonlocal inside, most
        with budget.hold(needed):
            with lock:
                inside += needed
                most = max(most, inside)
            time.sleep(0)
            with lock:
                inside -= needed

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, [1, 300, 700, 1000, 15, 450] * 40))
    assert most <= 1000 and budget.free == 1000 and budget.most <= 1000


def test_what_never_fits_into_the_budget_is_refused_at_once():
    with pytest.raises(UnreadablePhoto, match="scale the photo down"), MemoryBudget(MEGABYTE).hold(MEGABYTE + 1):
        pass


def test_small_photos_do_not_queue_behind_one_that_waits_for_much():
    budget, begun = MemoryBudget(1000), threading.Event()

    def large() -> None:
        begun.set()
        with budget.hold(900):
            pass

    with budget.hold(500):
        waiting = threading.Thread(target=large)
        waiting.start()
        begun.wait(30)
        with budget.hold(10):  # would never end if it queued
            pass
    waiting.join(30)
    assert not waiting.is_alive()


def test_who_gives_up_does_not_wait_for_memory_any_more():
    budget, abandon = MemoryBudget(10), Abandon()
    abandon.give_up()
    with budget.hold(10), pytest.raises(Abandoned), budget.hold(5, abandon):
        pass


@pytest.fixture
def heavy() -> bytes:
    """100 scans of 16 megapixels: seconds of work in 50 kB."""
    data = many_scans(100, 4000)
    assert is_costly(data)
    return data


def test_work_beyond_its_limit_is_ended_and_the_next_photo_is_decoded(monkeypatch, heavy):
    monkeypatch.setattr(decode_apart, "CPU_SECONDS", 0.3)
    with pytest.raises(UnreadablePhoto, match="seconds of work") as refused:
        decode(heavy)
    assert refused.value.reason == "too_costly"
    assert np.array_equal(decode(encode(PHOTO, "BMP")), PHOTO)


def test_tags_that_all_point_to_the_same_megabytes_do_not_multiply_them():
    import struct

    size, entries = 8_000_000, 3000
    head = b"II*\0" + struct.pack("<I", 8)
    tags = [
        (256, 4, 1, 8),
        (257, 4, 1, 8),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (279, 4, 1, 64),
    ]
    tags += [(40_000 + n, 1, size, 8) for n in range(entries)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    data = head + directory + bytes(size + 8)
    try:
        decoded = decode(data)
    except UnreadablePhoto as refused:
        assert refused.reason in ("too_costly", "corrupt")
    else:
        assert decoded.shape == (8, 8, 3)


def test_work_that_was_given_up_is_ended(heavy):
    abandon, process = Abandon(), []
    original = abandon.ends_with

    def seen(end):
        process.append(end.__self__.pid if end else None)
        original(end)
        if end:
            threading.Timer(0.2, abandon.give_up).start()

    abandon.ends_with = seen
    with pytest.raises(Abandoned):
        read_photo(heavy, abandon=abandon)
    assert not Path(f"/proc/{process[0]}").exists()


def test_a_crash_of_a_decoder_is_a_refusal_of_its_photo(monkeypatch, heavy):
    class Crashing(Abandon):
        def ends_with(self, end):
            if end:
                threading.Timer(0.2, os.kill, (end.__self__.pid, signal.SIGSEGV)).start()

    with pytest.raises(UnreadablePhoto, match="SIGSEGV") as refused:
        read_photo(heavy, abandon=Crashing())
    assert refused.value.reason == "corrupt"
    assert np.array_equal(decode(encode(PHOTO, "BMP")), PHOTO)


def test_children_end_with_their_parent(tmp_path):
    script = f"""
import os, sys, time
from contract.decode import decode
from contract import decode_apart
decode({encode(PHOTO, "GIF")!r})
print(decode_apart._idle[0]._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    child, deadline = Path(f"/proc/{int(done.stdout)}"), time.monotonic() + 60
    while child.exists() and "State:\tZ" not in (child / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # between two polls


def test_three_bombs_at_once_stay_within_the_budget_of_a_server(server_with_little_memory):
    """Three PNGs of 14 kB took 6.5 GB: the sum of the peaks of the server and of all its decoders."""
    server, before = server_with_little_memory, 0
    assert server.invoke(encode(PHOTO, "GIF"))[0] == 200
    before = peak(server.process.pid)
    bombs = [palette_png(), palette_png(), png(4000, 8, 6), png(9500, 8, 2)]
    with ThreadPoolExecutor(len(bombs)) as clients:
        statuses = [status for status, _ in clients.map(lambda data: server.invoke(data, "image/png"), bombs)]
    assert statuses == [200, 200, 200, 400]  # 90 megapixels of colour need more than this server has
    took = peak(server.process.pid) - before
    assert 200 * MEGABYTE < took < 2 * 400 * MEGABYTE, took  # less would say that nothing was measured
    assert server.invoke(encode(PHOTO))[0] == 200


def peak(pid: int) -> int:
    """The most that the process and its children ever held, each by itself: never less than what they held together."""
    pids = [pid]
    for thread in Path(f"/proc/{pid}/task").iterdir():  # each thread has the children that it started
        pids += map(int, (thread / "children").read_text().split())
    texts = [Path(f"/proc/{one}/status").read_text() for one in pids]
    return sum(int(re.search(r"VmHWM:\s+(\d+)", text)[1]) * 1024 for text in texts)
