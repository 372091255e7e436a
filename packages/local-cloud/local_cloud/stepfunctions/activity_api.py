"""Activities: tasks that workers outside fetch with a long poll, and answer with their token.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-activities.html
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from local_cloud.errors import AwsError
from local_cloud.listing import page
from local_cloud.stepfunctions.arns import check_arn, check_name
from local_cloud.stepfunctions.failures import StateFailure, outcome_of
from local_cloud.stepfunctions.history import data_details
from local_cloud.stepfunctions.integrations import ended_before
from local_cloud.stepfunctions.past import TOKEN
from local_cloud.stepfunctions.payload import dump, require_size
from local_cloud.stepfunctions.scope import Scope
from local_cloud.stepfunctions.store import Store, moment
from local_cloud.stepfunctions.tagging import as_list, as_mapping
from local_cloud.stepfunctions.tokens import Tokens

if TYPE_CHECKING:
    from local_cloud.stepfunctions.interpreter import Branch

# How long GetActivityTask holds the connection when there is nothing to do.
POLL_SECONDS = 60


class Activities:
    """Operations on activities, and the Task states that wait for workers."""

    def __init__(self, store: Store, tokens: Tokens, poll_seconds: float = POLL_SECONDS):
        self._store = store
        self._tokens = tokens
        self._poll_seconds = poll_seconds
        self._changed = threading.Condition()
        # Per activity: token, input, and where the worker's name goes.
        self._offered: dict[str, deque[tuple[str, str, Callable[[str | None], None]]]] = defaultdict(deque)
        self._stopped = False

    def stop(self) -> None:
        """Send workers home that wait for a task."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def run(
        self, resource: str, arguments: Callable[[], Any], branch: Branch, scope: Scope, times: dict[str, Any]
    ) -> Any:
        """Offer the task to workers; its result, with every step in the history."""
        if resource not in self._store.activities:
            raise StateFailure("States.Runtime", f"The activity {resource} does not exist.")
        scheduled = branch.told.get("ActivityScheduled")
        given = scheduled["activityScheduledEventDetails"]["input"] if scheduled else dump(arguments())
        limits = {"timeoutInSeconds": times["TimeoutSeconds"], "heartbeatInSeconds": times["HeartbeatSeconds"]}
        told = {name: seconds for name, seconds in limits.items() if seconds is not None}
        if ended := ended_before(branch.told, "Activity"):
            return ended()
        token = self._tokens.make(scheduled[TOKEN] if scheduled else None)
        try:
            branch.event_once(
                "ActivityScheduled", {"resource": resource, **data_details(input=given), **told}, _token=token
            )
            result = self._answered(resource, token, given, branch, scope, times["HeartbeatSeconds"])
            text = require_size(result, branch.context["State"].get("Name", ""))
            branch.event("ActivitySucceeded", data_details(output=text))
        finally:
            self._tokens.drop(token)
        return result

    def _answered(
        self, resource: str, token: str, given: str, branch: Branch, scope: Scope, heartbeat: float | None
    ) -> Any:  # fmt: skip
        worker: list[str | None] = []
        try:
            if "ActivityStarted" not in branch.told:
                self._offer(resource, (token, given, worker.append))
                self._tokens.wait_begun(token, scope)
                branch.event("ActivityStarted", {"workerName": worker[0]} if worker[0] else {})
            return self._tokens.wait(token, scope, heartbeat)
        except StateFailure as failure:
            kind = "ActivityTimedOut" if failure.error == "States.Timeout" else "ActivityFailed"
            branch.event(kind, outcome_of(failure.error, failure.cause))
            raise

    def _offer(self, arn: str, task: tuple[str, str, Callable[[str | None], None]]) -> None:
        with self._changed:
            self._offered[arn].append(task)
            self._changed.notify_all()

    def _taken(self, arn: str, worker: str | None) -> dict[str, str] | None:
        """The oldest task of an activity that somebody still waits for."""
        waiting = self._offered[arn]
        while waiting:
            token, given, name_worker = waiting.popleft()
            name_worker(worker)
            if self._tokens.begin(token):
                return {"taskToken": token, "input": given}
        return None

    def _op_CreateActivity(self, request: dict[str, Any]) -> dict[str, Any]:
        check_name(request["name"])
        arn = self._store.arn("activity", request["name"])
        with self._store.lock:
            made = self._store.activities.get(arn)
            if made is None:
                made = {
                    "activityArn": arn, "name": request["name"], "creationDate": self._store.clock.now(),
                    "encryptionConfiguration": request.get("encryptionConfiguration", {"type": "AWS_OWNED_KEY"}),
                    "tags": as_list(as_mapping(request.get("tags", []))),
                }  # fmt: skip
                self._store.save(made)
            elif made["encryptionConfiguration"] != request.get(
                "encryptionConfiguration", made["encryptionConfiguration"]
            ):
                raise AwsError("ActivityAlreadyExists", f"Activity Already Exists: '{arn}'")
        return {"activityArn": arn, "creationDate": moment(made["creationDate"])}

    def _op_DescribeActivity(self, request: dict[str, Any]) -> dict[str, Any]:
        found = self._existing(request["activityArn"])
        shown = {name: value for name, value in found.items() if name != "tags"}
        return {**shown, "creationDate": moment(found["creationDate"])}

    def _op_DeleteActivity(self, request: dict[str, Any]) -> dict[str, Any]:
        check_arn(request["activityArn"], "activity")
        with self._store.lock:
            found = self._store.activities.get(request["activityArn"])
            if found:
                self._store.remove(found)
        return {}

    def _op_ListActivities(self, request: dict[str, Any]) -> dict[str, Any]:
        shown = [
            {"activityArn": a["activityArn"], "name": a["name"], "creationDate": moment(a["creationDate"])}
            for a in sorted(self._store.activities.values(), key=lambda activity: activity["name"])
        ]
        return page("activities", shown, request, default=100)

    def _op_GetActivityTask(self, request: dict[str, Any]) -> dict[str, Any]:
        arn = request["activityArn"]
        self._existing(arn)
        clock = self._store.clock
        until = clock.ticks() + self._poll_seconds
        with self._changed:
            while not self._stopped:
                if task := self._taken(arn, request.get("workerName")):
                    return task
                left = until - clock.ticks()
                if left <= 0:
                    break
                self._changed.wait(left)
        return {}

    def _existing(self, arn: str) -> dict[str, Any]:
        check_arn(arn, "activity")
        if arn not in self._store.activities:
            raise AwsError("ActivityDoesNotExist", f"Activity Does Not Exist: '{arn}'")
        return self._store.activities[arn]
