"""CloudWatch metrics for the cloud's own parts: what a job's log lines say by regex, one value at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from local_cloud.persistence.database import Database


class Metrics:
    """The metrics of this account and region."""

    def __init__(self, account_id: str, region: str, database: Database, on_value: Callable[[], None] = lambda: None):
        """`on_value` is called after each new value."""
        self._on_value = on_value
        self._account_id = account_id
        self._region = region
        self._database = database

    def put(
        self, namespace: str, name: str, value: float, epoch_seconds: float, dimensions: dict[str, str] | None = None
    ) -> None:
        """Record one value; it is on disk when this returns."""
        moment = datetime.fromtimestamp(epoch_seconds, UTC).replace(tzinfo=None)
        # First the row: a value that the disk did not take must not be shown.
        self._database.append_metric(namespace, name, float(value), epoch_seconds, json.dumps(dimensions or {}))
        self._backend.metric_data.append(self._datum(namespace, name, value, moment, dimensions or {}))
        self._on_value()

    def reload(self) -> None:
        """Bring back what earlier processes recorded through `put`."""
        for namespace, name, value, epoch_seconds, dimensions in self._database.metrics():
            moment = datetime.fromtimestamp(epoch_seconds, UTC).replace(tzinfo=None)
            self._backend.metric_data.append(self._datum(namespace, name, value, moment, json.loads(dimensions)))

    @property
    def _backend(self) -> Any:
        from moto.cloudwatch.models import cloudwatch_backends

        return cloudwatch_backends[self._account_id][self._region]

    @staticmethod
    def _datum(namespace: str, name: str, value: float, moment: datetime, dimensions: dict[str, str]) -> Any:
        from moto.cloudwatch.models import MetricDatum

        named = [{"Name": key, "Value": text} for key, text in dimensions.items()]
        datum: Any = MetricDatum(namespace, name, float(value), named, moment)
        datum.in_database = True  # so that a snapshot does not hold it a second time
        return datum
