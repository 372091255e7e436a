"""Task tokens: a task sleeps until somebody sends success, failure, or nothing for too long.

`.waitForTaskToken` states and activities wait for nothing else; a `.sync` state ends with its job or with an answer to its
token, whichever comes first (recorded on AWS).
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable
from typing import Any

from local_cloud.clock import Clock
from local_cloud.errors import AwsError
from local_cloud.stepfunctions.failures import HeartbeatMissed, StateFailure
from local_cloud.stepfunctions.scope import LONGEST_WAIT_SECONDS, Scope

TOKEN = re.compile("[0-9a-f]{64}")


class _Waiting:
    def __init__(self, beat: float) -> None:
        self.begun = threading.Event()
        self.done = threading.Event()
        self.answered: Callable[[], None] = lambda: None
        self.result: Any = None
        self.failure: StateFailure | None = None
        self.beat = beat


class Tokens:
    """The tokens that are waited for now; they do not survive the process, as their executions do not."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}

    def make(self) -> str:
        """A new token."""
        token = uuid.uuid4().hex + uuid.uuid4().hex
        self._waiting[token] = _Waiting(self._clock.ticks())
        return token

    def drop(self, token: str) -> None:
        """Nobody waits for this token any more."""
        self._waiting.pop(token, None)

    def begin(self, token: str) -> bool:
        """A worker takes the activity task; False when nobody waits for it any more."""
        waiting = self._waiting.get(token)
        if waiting is None:
            return False
        waiting.beat = self._clock.ticks()
        waiting.begun.set()
        return True

    def wait_begun(self, token: str, scope: Scope) -> None:
        """Return when a worker has taken the task; fails as timeouts and cancellation say."""
        begun = self._waiting[token].begun
        with scope.waking(begun):
            while not scope.wait_for(begun, LONGEST_WAIT_SECONDS):
                pass

    def on_answer(self, token: str, tell: Callable[[], None]) -> None:
        """Call `tell` when the token is answered."""
        self._waiting[token].answered = tell

    def wait(self, token: str, scope: Scope, heartbeat: float | None) -> Any:
        """What SendTaskSuccess brought; fails as SendTaskFailure, timeouts and cancellation say."""
        waiting = self._waiting[token]
        with scope.waking(waiting.done):
            while not scope.wait_for(waiting.done, self._patience(waiting, heartbeat)):
                if self._patience(waiting, heartbeat) <= 0:
                    # Recorded on AWS: the events say States.Timeout, without a cause; a Catch may name either.
                    raise HeartbeatMissed("States.Timeout")
        if waiting.failure:
            raise waiting.failure
        return waiting.result

    def _patience(self, waiting: _Waiting, heartbeat: float | None) -> float:
        """Seconds until a heartbeat is missed; where none is asked for, until it is time to look again."""
        return LONGEST_WAIT_SECONDS if heartbeat is None else waiting.beat + heartbeat - self._clock.ticks()

    def succeed(self, token: str, output: str) -> None:
        """SendTaskSuccess."""
        waiting = self._find(token)
        try:
            waiting.result = json.loads(output)
        except ValueError:
            raise AwsError("InvalidOutput", "The output is not JSON.") from None
        waiting.done.set()
        waiting.answered()

    def fail(self, token: str, error: str | None, cause: str | None) -> None:
        """SendTaskFailure."""
        waiting = self._find(token)
        waiting.failure = StateFailure(error, cause)
        waiting.done.set()
        waiting.answered()

    def beat(self, token: str) -> None:
        """SendTaskHeartbeat."""
        self._find(token).beat = self._clock.ticks()

    def _find(self, token: str) -> _Waiting:
        if not TOKEN.fullmatch(token):
            raise AwsError("InvalidToken", "Invalid Token: 'Invalid token'")
        waiting = self._waiting.get(token)
        if waiting is None or waiting.done.is_set():
            raise AwsError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        return waiting
