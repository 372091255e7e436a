"""Photos that may be costly, or that a large C library reads, are decoded in a process that can be ended.

A child takes one photo after the other over its pipes. It may use only so much memory and processor time for each; whatever
happens to it, a crash included, is a refusal of that photo and no more. Photos are few here: the usual ones are decoded in
place (`decode`).
"""

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from contract.abandon import Abandon
from contract.machine import usable_cores
from contract.memory_budget import MEGABYTE, MemoryBudget
from contract.unreadable import UnreadablePhoto

CPU_SECONDS = 20.0  # of one photo; 120 megapixels of any format take less than half of it
WALL_SECONDS: Final = 120  # a machine that has no time for the photo
HEADER_MEMORY: Final = 256 * MEGABYTE  # reading a header may not take more
_IDLE_CHILDREN: Final = max(2, usable_cores())
_PIPE_BYTES: Final = 1 << 20
REQUEST: Final = struct.Struct(">QQd8s")  # bytes that follow, most pixels, seconds of work, kind
LENGTH: Final = struct.Struct(">I")  # of the JSON that follows

_idle: list["_Child"] = []
_lock = threading.Lock()


def decode(
    data: bytes, kind: str, max_pixels: int, budget: MemoryBudget, abandon: Abandon | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Pixels and facts; raise UnreadablePhoto, or Abandoned."""
    with _lock:
        child = _idle.pop() if _idle else None
    child = child or _Child()
    try:
        return child.decode(data, kind, max_pixels, budget, abandon)
    finally:
        with _lock:
            keep = child.usable and len(_idle) < _IDLE_CHILDREN
            if keep:
                _idle.append(child)
        if not keep:
            child.end()


class _Child:
    """One process; `usable` while it waits for a photo."""

    def __init__(self) -> None:
        root = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        # One thread and one arena: each more would reserve address space, which is what its limit counts.
        alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "contract.decode_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libraries warn of every damaged photo; what matters comes as an answer
            env={**os.environ, **alone, "PYTHONPATH": path},
        )
        self._in: BinaryIO = self._process.stdin  # type: ignore[assignment]
        self._out: BinaryIO = self._process.stdout  # type: ignore[assignment]
        _widen(self._in)
        _widen(self._out)
        self.usable = True
        self._late = False

    def decode(
        self, data: bytes, kind: str, max_pixels: int, budget: MemoryBudget, abandon: Abandon | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Header first: only then is it known how much memory to ask the budget for."""
        self.usable = False
        clock = threading.Timer(WALL_SECONDS, self._too_late)
        clock.daemon = True
        clock.start()
        if abandon:
            abandon.ends_with(self._process.kill)
        try:
            self._in.write(REQUEST.pack(len(data), max_pixels, CPU_SECONDS, kind.encode().ljust(8)))
            self._in.write(data)
            self._in.flush()
            needs = self._answer()["needs"]
            with budget.hold(needs, abandon):
                self._in.write(b"\1")
                self._in.flush()
                facts = self._answer()
                pixels = np.empty(facts.pop("shape"), np.uint8)
                if self._out.readinto(pixels.reshape(-1)) != pixels.size:  # type: ignore[attr-defined]
                    raise EOFError
            self.usable = True
            return pixels, facts
        except (OSError, EOFError):
            raise self._death(kind, abandon) from None
        finally:
            clock.cancel()
            if abandon:
                abandon.ends_with(None)

    def _answer(self) -> dict[str, Any]:
        head = self._out.read(LENGTH.size)
        text = self._out.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""
        if not text:
            raise EOFError
        answer = json.loads(text)
        if "refused" in answer:
            self.usable = True
            raise UnreadablePhoto(*answer["refused"])
        return answer

    def _too_late(self) -> None:
        self._late = True
        self._process.kill()

    def _death(self, kind: str, abandon: Abandon | None) -> UnreadablePhoto:
        """Why the child ended while it worked."""
        if abandon:
            abandon.check()
        code = self._process.wait()
        if self._late:
            return UnreadablePhoto("too_costly", f"the {kind} picture was not decoded within {WALL_SECONDS} seconds")
        if code == -signal.SIGPROF:
            allowed = f"at most {CPU_SECONDS:g} are allowed; save it again as a baseline JPEG"
            return UnreadablePhoto(
                "too_costly", f"decoding the {kind} picture takes too many seconds of work; {allowed}"
            )
        if code == -signal.SIGKILL:
            return UnreadablePhoto(
                "too_costly", f"the system ended the decoding of the {kind} picture: short of memory"
            )
        what = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return UnreadablePhoto("corrupt", f"the {kind} picture is damaged: its decoder ended with {what}")

    def end(self) -> None:
        self._process.kill()
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):  # what was not written yet is lost with it
                pipe.close()
        self._process.wait()


def _widen(pipe: BinaryIO) -> None:
    """A larger pipe saves switches between the two processes; where the system has none, the usual one does."""
    try:
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        pass


def _forget() -> None:
    """After a fork the children are the parent's."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


os.register_at_fork(after_in_child=_forget)
