"""The log group of a shadow endpoint: made before the endpoint, or SageMaker makes one that nothing ever expires.

It goes with an endpoint that did its work; after a failure it stays for the days that the job is told. Without permission the work
goes on: what a log says is not worth an explanation.
"""

import logging
import os
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from analysis_code import aws
from contract.names import SHADOW_LOG_DAYS, log_group_of_endpoint

log = logging.getLogger("clarify")
_DAYS_OF_NO_DEPLOYMENT: Final = 30


def make(endpoint: str) -> None:
    """With the retention of the deployment, where the job's environment names it."""
    days = int(os.environ.get(SHADOW_LOG_DAYS, _DAYS_OF_NO_DEPLOYMENT))
    client, group = aws.client("logs"), log_group_of_endpoint(endpoint)
    try:
        client.create_log_group(logGroupName=group)
        client.put_retention_policy(logGroupName=group, retentionInDays=days)
    except (ClientError, BotoCoreError) as error:
        log.warning("no log group with an end was made for shadow endpoint %s: %s", endpoint, error)


def delete(endpoint: str) -> None:
    """After the endpoint. A group that was never made cannot be deleted; any other is left to its retention."""
    try:
        aws.client("logs").delete_log_group(logGroupName=log_group_of_endpoint(endpoint))
    except (ClientError, BotoCoreError) as error:
        log.info("the log group of shadow endpoint %s stays: %s", endpoint, error)
