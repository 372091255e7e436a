"""How a function is named: by name, by a part of its ARN or by all of it, each with or without a version or an alias.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_RequestSyntax
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from local_cloud.access.actions import Place
from local_cloud.errors import AwsError

LATEST = "$LATEST"
REFERENCE = re.compile(
    r"(?:arn:aws[\w-]*:lambda:(?P<region>[\w-]+):)?(?:(?P<account>\d{12}):)?(?:function:)?(?P<name>[\w-]{1,140})"
    r"(?::(?P<qualifier>\$LATEST|[\w-]+))?"
)


@dataclass(frozen=True)
class Reference:
    """A function and, where it was said, which version or alias of it."""

    name: str
    qualifier: str | None


def reference(text: str, place: Place, qualifier: str | None = None) -> Reference:
    """The function that a request names. Raises ValidationException, and ResourceNotFoundException for another region or account."""
    found = REFERENCE.fullmatch(text)
    if found is None:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{text[:200]}' at 'functionName' failed to satisfy constraint: Member must be "
            "the name or ARN of a function",
        )
    if found["region"] not in (None, place.region):
        said = f"Functions from '{found['region']}' are not reachable in this region ('{place.region}')"
        raise failure("ResourceNotFoundException", said, 404)
    if found["account"] not in (None, place.account):
        raise failure("ResourceNotFoundException", f"Function not found: {text}", 404)
    if qualifier and found["qualifier"] and qualifier != found["qualifier"]:
        raise failure(
            "InvalidParameterValueException", "The derived qualifier from the function name does not match the specified qualifier."
        )  # fmt: skip
    return Reference(found["name"], qualifier or found["qualifier"])


def failure(code: str, message: str, status: int = 400) -> AwsError:
    """An error in Lambda's shape: it says whose fault it is, and its message twice, since models differ in the name."""
    error = AwsError(code, message, status)
    error.details = {"Type": "User" if status < 500 else "Service", "Message": message}
    return error
