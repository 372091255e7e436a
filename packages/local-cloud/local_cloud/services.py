"""Which AWS services exist here, by the name that signatures carry. Everything else is refused by name.

`owner` says who answers: `moto` (its service model and state), or `cloud` (this package).
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
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
        Service("lambda", "lambda", "rest-json", "cloud"),
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

# The metadata of a model stand at its beginning.
MODEL_HEAD_BYTES = 4096

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
def protocol_of(signing_name: str, at_root: bool) -> str:
    """The protocol in which clients of a service understand a refusal, also of one that is not offered here.

    Several services may sign with one name: those with REST protocols have paths, the others are asked `at_root`.
    """
    service = SERVICES.get(signing_name)
    if service:
        return service.protocol
    named = _foreign_protocols().get(signing_name, {})
    fitting = {name: said for name, said in named.items() if said.startswith("rest-") is not at_root} or named
    return fitting.get(signing_name) or next(iter(fitting.values()), "rest-json")


@cache
def _foreign_protocols() -> dict[str, dict[str, str]]:
    """Protocols by signing name and service, from the heads of botocore's models: all of them whole take seconds."""
    found: dict[str, dict[str, str]] = {}
    botocore = find_spec("botocore")
    assert botocore is not None and botocore.origin is not None
    for path in sorted(Path(botocore.origin).parent.glob("data/*/*/service-2.json.gz")):
        with gzip.open(path) as model:
            head = model.read(MODEL_HEAD_BYTES).decode("utf-8", "ignore")
        said = dict(re.findall(r'"(signingName|endpointPrefix|protocol)":\s*"([^"]+)"', head))
        signs = said.get("signingName") or said.get("endpointPrefix", "")
        found.setdefault(signs, {})[path.parts[-3]] = said.get("protocol", "rest-json")
    return found


@cache
def _session() -> Any:
    import botocore.session

    return botocore.session.get_session()
