"""Where moto, made for unit tests, differs from a cloud that people work with. Each adjustment says what was wrong.

`tests/test_moto_adjustments.py` asks moto alone and moto adjusted, so that an upgrade which makes an adjustment needless, or
breaks it, is seen; and no class of moto is changed anywhere in this package without a test that is named there.
"""

from __future__ import annotations

from typing import Any

from local_cloud import (
    events_adjustments,
    kms_adjustments,
    logs_adjustments,
    metric_queries,
    sns_adjustments,
    sqs_adjustments,
    ssm_adjustments,
)
from local_cloud.persistence.database import Database


def install(database: Database) -> None:
    """Adjust moto's classes; before any of its services has state."""
    _leave_out_instance_types()
    _forget_instances()
    _record_log_lines(database)
    _name_the_root_caller()
    _scan_registries_without_rules()
    _deliver_no_access_logs()
    metric_queries.install()
    _leave_bucket_policies_unenforced()
    sns_adjustments.install()
    sqs_adjustments.install()
    kms_adjustments.install()
    events_adjustments.install()
    ssm_adjustments.install()
    logs_adjustments.install()


def _leave_out_instance_types() -> None:
    """moto's SSM imports its EC2, which reads every instance type of AWS: 60 MB for a service that is not offered here."""
    from moto.utilities import utils

    plain = utils.load_resource

    def load_resource(resource: str) -> Any:
        return {} if resource.startswith("ec2/resources/instance_type") else plain(resource)

    utils.load_resource = load_resource
    try:
        import moto.ec2.models.instance_types  # noqa: F401
    finally:
        utils.load_resource = plain


def _scan_registries_without_rules() -> None:
    """`rules` may be left out of PutRegistryScanningConfiguration; moto kept the missing list, and no repository could be made."""
    from moto.ecr.models import ECRBackend

    plain = ECRBackend.put_registry_scanning_configuration

    def put_registry_scanning_configuration(
        self: ECRBackend, scan_type: str, rules: list[dict[str, Any]] | None
    ) -> None:
        plain(self, scan_type or "BASIC", rules or [])

    ECRBackend.put_registry_scanning_configuration = put_registry_scanning_configuration


def _leave_bucket_policies_unenforced() -> None:
    """moto reads a bucket policy without its conditions: "deny where not TLS" would deny everything.

    Policies, IAM's and buckets', are judged by the cloud itself, with their conditions (access/); half a policy is worse than none.
    """
    from moto.iam.access_control import PermissionResult
    from moto.s3.models import FakeBucket

    FakeBucket.get_permission = lambda self, action, resource: PermissionResult.NEUTRAL


def _forget_instances() -> None:
    """moto keeps every model object ever made in a list for its dashboard: in a long-lived process, a leak."""
    from moto.core.common_models import BaseModel

    BaseModel.__new__ = staticmethod(lambda cls, *args, **options: object.__new__(cls))


def _record_log_lines(database: Database) -> None:
    """Log lines lived in memory only: each is now a row before PutLogEvents answers."""
    from moto.logs.models import LogsBackend, LogStream

    plain_put, plain_delete_group, plain_delete_stream = (
        LogStream.put_log_events,
        LogsBackend.delete_log_group,
        LogsBackend.delete_log_stream,
    )

    def put_log_events(self: Any, log_events: list[dict[str, Any]]) -> str:
        token = plain_put(self, log_events)
        added = self.events[len(self.events) - len(log_events) :]
        group, stream = self.log_group.name, self.log_stream_name
        rows = [(group, stream, event.timestamp, event.ingestion_time, event.message) for event in added]
        try:
            database.write_many("INSERT INTO log_event VALUES (?,?,?,?,?)", rows)
        except BaseException:  # a line that the disk did not take must not be shown
            gone = {id(event) for event in added}
            self.events = [event for event in self.events if id(event) not in gone]
            raise
        return token

    def delete_log_group(self: Any, log_group_name: str) -> None:
        plain_delete_group(self, log_group_name)
        database.write("DELETE FROM log_event WHERE log_group=?", (log_group_name,))

    def delete_log_stream(self: Any, log_group_name: str, log_stream_name: str) -> None:
        plain_delete_stream(self, log_group_name, log_stream_name)
        database.write("DELETE FROM log_event WHERE log_group=? AND stream=?", (log_group_name, log_stream_name))

    LogStream.put_log_events = put_log_events
    LogsBackend.delete_log_group = delete_log_group
    LogsBackend.delete_log_stream = delete_log_stream


def load_logs(database: Database, account_id: str, region: str) -> None:
    """Give the streams their lines back."""
    from moto.logs.models import LogEvent, logs_backends

    groups = logs_backends[account_id][region].groups
    query = "SELECT log_group, stream, timestamp, ingested, message FROM log_event ORDER BY rowid"
    for group, stream, timestamp, ingested, message in database.read(query):
        if group in groups and stream in groups[group].streams:
            event = LogEvent(ingested, {"timestamp": timestamp, "message": message})
            groups[group].streams[stream].events.append(event)


def _name_the_root_caller() -> None:
    """GetCallerIdentity invented a user for keys that moto does not know: the cloud's own key is the account's root."""
    from moto.sts.models import STSBackend

    plain = STSBackend.get_caller_identity

    def get_caller_identity(self: Any, access_key_id: str, region: str) -> tuple[str, str, str]:
        user_id, arn, account = plain(self, access_key_id, region)
        if arn.endswith(":user/moto"):
            return account, f"arn:aws:iam::{account}:root", account
        return user_id, arn, account

    STSBackend.get_caller_identity = get_caller_identity


def _deliver_no_access_logs() -> None:
    """moto writes one log object per request at once: a bucket with access logs could never be emptied and deleted."""
    from moto.s3.exceptions import InvalidTargetBucketForLogging
    from moto.s3.models import FakeBucket, S3Backend

    S3Backend.log_incoming_request = lambda self, request, bucket_name: None

    def set_logging(self: Any, logging_config: dict[str, Any] | None, bucket_backend: Any) -> None:
        # moto wants the target's policy first; CloudFormation makes that policy after the bucket, and AWS accepts it.
        if logging_config and logging_config["TargetBucket"] not in bucket_backend.buckets:
            raise InvalidTargetBucketForLogging("The target bucket for logging does not exist.")
        self.logging = logging_config or {}

    FakeBucket.set_logging = set_logging
