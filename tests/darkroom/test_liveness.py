"""The lock of the state directory says whether a cloud lives; how fast it answers says nothing."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from darkroom import local
from darkroom.home import Home
from local_cloud import lock
from tests.darkroom.conftest import ROOT, Run, started


def _cloud(run: Run) -> dict:
    return json.loads((run.home / "cloud" / "cloud.json").read_text())


@pytest.fixture
def up(darkroom: Run) -> Iterator[Run]:
    assert darkroom("up").returncode == 0
    yield darkroom
    darkroom("down")


def test_a_cloud_that_answers_nothing_still_runs_and_can_be_stopped(up):
    cloud = _cloud(up)
    os.kill(cloud["pid"], signal.SIGSTOP)
    try:
        again = up("up")
        assert (again.returncode, again.stderr) == (0, "") and "already runs" in again.stdout
        assert local.find(Home(up.home)).pid == cloud["pid"]
        assert _cloud(up) == cloud
        with started(
            [sys.executable, "-m", "darkroom.cli", "down"], env=up.environment, cwd=up.home.parent
        ) as stopping:
            os.kill(cloud["pid"], signal.SIGCONT)
            said, _ = stopping.communicate(timeout=60)
        assert stopping.returncode == 0 and "has stopped" in said
    finally:
        if lock.owner(up.home / "cloud") == cloud["pid"]:
            os.kill(cloud["pid"], signal.SIGCONT)
    assert lock.owner(up.home / "cloud") is None


def test_of_three_that_start_at_once_one_starts_and_the_others_find_it(darkroom):
    command = [sys.executable, "-m", "darkroom.cli", "up"]
    at_once = [
        subprocess.Popen(
            command, env=darkroom.environment, cwd=darkroom.home.parent, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip
    try:
        answers = [process.communicate(timeout=120) for process in at_once]
        assert [process.returncode for process in at_once] == [0, 0, 0], answers
        said = sorted(out for out, _ in answers)
        assert [line.startswith("The local cloud already runs at") for line in said] == [True, True, False]
        assert len({line.split(" at ")[1] for line in said}) == 1
        assert lock.owner(darkroom.home / "cloud") == _cloud(darkroom)["pid"]
    finally:
        darkroom("down")


def test_after_a_kill_the_cloud_takes_its_port_again_unless_somebody_else_has_it(up):
    first = _cloud(up)
    os.kill(first["pid"], signal.SIGKILL)
    assert "No local cloud ran" in up("down").stdout
    assert up("up").returncode == 0
    second = _cloud(up)
    assert (second["endpoint"], second["access_key_id"]) == (first["endpoint"], first["access_key_id"])
    assert second["pid"] != first["pid"]
    assert up("down").returncode == 0
    with socket.create_server(("127.0.0.1", second["port"])):
        assert up("up").returncode == 0
        assert _cloud(up)["port"] != second["port"]


def test_what_a_dead_owner_wrote_is_never_taken_for_the_living_one(tmp_path):
    assert lock.owner(tmp_path) is None
    path = tmp_path / "lock"
    path.write_text(json.dumps({"pid": os.getpid(), "port": 1}))
    assert lock.owner(tmp_path) is None
    with lock.owning(tmp_path) as held:
        assert held.port == 1
        assert lock.owner(tmp_path) == os.getpid()
        with pytest.raises(lock.AlreadyOwned), lock.owning(tmp_path):
            pass
        # The next owner has the lock, and the record of the one before is still there: process 1 is alive, and not it.
        os.pwrite(held.descriptor, json.dumps({"pid": 1, "port": 22222}).encode(), 0)
        monkey = pytest.MonkeyPatch()
        monkey.setattr(lock, "RECORD_SECONDS", 0.05)
        with pytest.raises(TimeoutError, match="does not say who it is"):
            lock.owner(tmp_path)
        monkey.undo()
    assert lock.owner(tmp_path) is None


@pytest.mark.parametrize("record", ["", "{", "[]", '{"pid": "1", "port": 4}', '{"pid": 1, "port": 70000}', "\x00"])
def test_a_damaged_record_in_the_lock_is_as_none(tmp_path, record):
    (tmp_path / "lock").write_text(record)
    with lock.owning(tmp_path) as held:
        assert held.port == 0


def test_whoever_looks_does_not_stop_a_start(tmp_path):
    (tmp_path / "lock").touch()
    with open(tmp_path / "lock") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        timer = signal.signal(signal.SIGALRM, lambda *_: fcntl.flock(looking, fcntl.LOCK_UN))
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            with lock.owning(tmp_path) as held:
                assert held.port == 0
        finally:
            signal.signal(signal.SIGALRM, timer)


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: (state / "credentials.json").write_text(""),
        lambda state: (state / "credentials.json").write_text("[]"),
        lambda state: (state / "credentials.json").write_text('{"access_key_id": 1}'),
        lambda state: (state / "rows.sqlite").write_bytes(b"not a database" * 100),
        lambda state: (state / "services.snapshot").write_bytes(b"not a snapshot"),
        lambda state: (state / "credentials.json").mkdir(),
        lambda state: (state / "lock").mkdir(),
    ],
    ids=["empty keys", "a list of keys", "wrong keys", "rows", "snapshot", "keys are a folder", "lock is a folder"],
)
def test_a_state_that_cannot_be_used_is_one_sentence_and_two(tmp_path, damage):
    damage(tmp_path)
    run = subprocess.run(
        [sys.executable, "-m", "local_cloud", "--state", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    last = run.stderr.strip().splitlines()[-1]
    assert run.returncode == 2 and str(tmp_path) in last and not last.startswith(" ")


def test_up_says_in_one_sentence_why_the_state_cannot_be_used(darkroom):
    state = darkroom.home / "cloud"
    state.mkdir(parents=True)
    (state / "credentials.json").write_text("")
    refused = darkroom("up")
    assert refused.returncode == 1
    assert "credentials.json is not JSON" in refused.stderr and "Traceback" not in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 2  # what was wrong, and where the log is


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_a_home_that_is_a_file_is_refused_with_a_sentence(darkroom, command):
    darkroom.home.write_text("not a folder")
    said = darkroom(command)
    assert "Traceback" not in said.stderr
    if command == "up":
        assert said.returncode == 1 and "cannot be used as Darkroom's home" in said.stderr
