"""What moto's CloudWatch Logs lacks and templates need: another key for a log group that exists, or none."""

from __future__ import annotations

from typing import Any


def install() -> None:
    """Add the two calls to moto's class.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_AssociateKmsKey.html
    """
    from moto.core.responses import ActionResult
    from moto.logs.exceptions import ResourceNotFoundException
    from moto.logs.responses import LogsResponse

    from local_cloud.moto_services import implemented_operations

    def associate(self: Any, key: str | None) -> Any:
        name = self._get_param("logGroupName")
        if name not in self.logs_backend.groups:
            raise ResourceNotFoundException()
        self.logs_backend.groups[name].kms_key_id = key
        return ActionResult({})

    LogsResponse.associate_kms_key = lambda self: associate(self, self._get_param("kmsKeyId"))  # type: ignore[attr-defined]
    LogsResponse.disassociate_kms_key = lambda self: associate(self, None)  # type: ignore[attr-defined]
    # Whoever asked before had another answer.
    implemented_operations.cache_clear()
