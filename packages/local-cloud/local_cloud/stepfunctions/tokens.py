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
from local_cloud.persistence.database import Database
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

    def take(self, answer: dict[str, Any]) -> None:
        """What came for the token: a result, or an error and a cause."""
        self.result = answer.get("result")
        self.failure = None if "result" in answer else StateFailure(answer["error"], answer["cause"])
        self.done.set()


class Tokens:
    """The tokens that are waited for now. An answer is a row before it is acknowledged, and stays until its task has ended."""

    def __init__(self, clock: Clock, database: Database, suspended: threading.Event | None = None) -> None:
        self._clock, self._database = clock, database
        self._waiting: dict[str, _Waiting] = {}
        self._suspended = suspended or threading.Event()

    def make(self, token: str | None = None) -> str:
        """A new token, or the one that an execution goes on with."""
        token = token or uuid.uuid4().hex + uuid.uuid4().hex
        if token not in self._waiting:
            self._waiting[token] = _Waiting(self._clock.ticks())
        return token

    def expect(self, tokens: set[str]) -> None:
        """After a start: these are waited for; what was answered and not used yet is answered, what nobody asks for goes."""
        for token in tokens:
            self.make(token)
        for token, text in self._database.read("SELECT token, answer FROM task_answer"):
            if token in tokens:
                self._waiting[token].take(json.loads(text))
            else:
                self._forget(token)

    def drop(self, token: str) -> None:
        """Nobody waits for this token any more."""
        waiting = self._waiting.pop(token, None)
        if waiting and waiting.done.is_set() and not self._suspended.is_set():
            self._forget(token)

    def _forget(self, token: str) -> None:
        self._database.write("DELETE FROM task_answer WHERE token=?", (token,))

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
        """Call `tell` when the token is answered, at once when it is already."""
        self._waiting[token].answered = tell
        if self._waiting[token].done.is_set():
            tell()

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
            result = json.loads(output)
        except ValueError:
            raise AwsError("InvalidOutput", "The output is not JSON.") from None
        self._answer(token, waiting, {"result": result})

    def fail(self, token: str, error: str | None, cause: str | None) -> None:
        """SendTaskFailure."""
        self._answer(token, self._find(token), {"error": error, "cause": cause})

    def _answer(self, token: str, waiting: _Waiting, answer: dict[str, Any]) -> None:
        self._database.write("INSERT OR REPLACE INTO task_answer VALUES (?,?)", (token, json.dumps(answer)))
        waiting.take(answer)
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
