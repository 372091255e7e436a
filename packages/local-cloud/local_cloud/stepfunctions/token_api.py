"""What workers outside send back with a task token."""

from __future__ import annotations

from typing import Any

from local_cloud.stepfunctions.tokens import Tokens


class Callbacks:
    """SendTaskSuccess, SendTaskFailure, SendTaskHeartbeat."""

    def __init__(self, tokens: Tokens):
        self._tokens = tokens

    def _op_SendTaskSuccess(self, request: dict[str, Any]) -> dict[str, Any]:
        self._tokens.succeed(request["taskToken"], request["output"])
        return {}

    def _op_SendTaskFailure(self, request: dict[str, Any]) -> dict[str, Any]:
        self._tokens.fail(request["taskToken"], request.get("error"), request.get("cause"))
        return {}

    def _op_SendTaskHeartbeat(self, request: dict[str, Any]) -> dict[str, Any]:
        self._tokens.beat(request["taskToken"])
        return {}
