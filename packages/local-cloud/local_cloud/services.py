"""Which AWS services exist here, by the name that signatures carry. Everything else is refused by name.

`owner` says who answers: `moto` (its service model and state), or `cloud` (this package).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

COVERAGE_PAGE = "local_cloud/coverage.md"


@dataclass(frozen=True)
class Service:
    """One service: its signing name, botocore's and moto's names, and its wire protocol for errors."""

    signing_name: str
    model: str
    protocol: str
    owner: str
    moto: str = ""


SERVICES = {
    service.signing_name: service
    for service in (
        Service("sagemaker", "sagemaker", "json", "cloud"),
        Service("states", "stepfunctions", "json", "cloud"),
        Service("cloudformation", "cloudformation", "query", "cloud"),
        Service("s3", "s3", "rest-xml", "moto", "s3"),
        Service("iam", "iam", "query", "moto", "iam"),
        Service("sts", "sts", "query", "moto", "sts"),
        Service("kms", "kms", "json", "moto", "kms"),
        Service("ecr", "ecr", "json", "moto", "ecr"),
        Service("ssm", "ssm", "json", "moto", "ssm"),
        Service("logs", "logs", "json", "moto", "logs"),
        Service("monitoring", "cloudwatch", "query", "moto", "cloudwatch"),
        Service("events", "events", "json", "moto", "events"),
        Service("sns", "sns", "query", "moto", "sns"),
        Service("sqs", "sqs", "json", "moto", "sqs"),
        Service("secretsmanager", "secretsmanager", "json", "moto", "secretsmanager"),
    )
}

# Operations that moto answers with made-up values: a caller would go on with them.
REFUSED_OPERATIONS = {
    ("sts", "GetSessionToken"): "moto answers it with one fixed key; use AssumeRole",
    ("sts", "GetFederationToken"): "moto answers it with one fixed key; use AssumeRole",
    ("sts", "AssumeRoleWithSAML"): "there is no identity provider here; use AssumeRole",
    ("sts", "AssumeRoleWithWebIdentity"): "there is no identity provider here; use AssumeRole",
    ("logs", "StartLiveTail"): "moto answers it with a canned stream; use FilterLogEvents",
}

READ_PREFIXES = (
    "Get", "List", "Describe", "Head", "Lookup", "Search", "Filter", "BatchGet", "BatchCheck", "Validate", "Simulate",
    "Decode", "Decrypt", "Encrypt", "GenerateDataKey", "GenerateRandom", "Sign", "Verify", "Test", "Estimate",
)  # fmt: skip
# Reads by name that change state: a received message is hidden, a token is minted.
WRITES_DESPITE_NAME = {"GetAuthorizationToken"}


def changes_state(operation: str) -> bool:
    """Whether the answer to this operation may only be sent once the new state is on disk."""
    return operation in WRITES_DESPITE_NAME or not operation.startswith(READ_PREFIXES)


@cache
def service_model(name: str) -> Any:
    """botocore's model of a service; it is the authority on operations, shapes and errors."""
    return _session().get_service_model(name)


@cache
def _session() -> Any:
    import botocore.session

    return botocore.session.get_session()
