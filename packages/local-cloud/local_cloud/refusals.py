"""How AWS refuses who it does not know: the same fault has another code in each family of services.

`s3` speaks for itself; `query` is STS, IAM, CloudFormation, SNS and SQS; `json` is all others.
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList, and for the others the "Common Errors"
of each API reference and what their clients report.
"""

from __future__ import annotations

from local_cloud.errors import AwsError, UnknownCaller
from local_cloud.services import SERVICES

INVALID = "The security token included in the request is invalid."
CODES = {
    "unknown key": {
        "s3": ("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records."),
        "query": ("InvalidClientTokenId", 403, INVALID),
        "json": ("UnrecognizedClientException", 400, INVALID),
    },
    "wrong token": {
        "s3": ("InvalidToken", 400, "The provided token is malformed or otherwise invalid."),
        "query": ("InvalidClientTokenId", 403, INVALID),
        "json": ("UnrecognizedClientException", 400, INVALID),
    },
    "expired token": {
        "s3": ("ExpiredToken", 400, "The provided token has expired."),
        "query": ("ExpiredToken", 403, "The security token included in the request is expired"),
        "json": ("ExpiredTokenException", 400, "The security token included in the request is expired"),
    },
    "signature": {
        "s3": ("SignatureDoesNotMatch", 403, ""),
        "query": ("SignatureDoesNotMatch", 403, ""),
        "json": ("InvalidSignatureException", 400, ""),
    },
    "clock": {
        "s3": ("RequestTimeTooSkewed", 403, "The difference between the request time and the current time is too large."),
        "query": ("SignatureDoesNotMatch", 403, ""),
        "json": ("InvalidSignatureException", 400, ""),
    },
    "region": {
        "s3": ("AuthorizationHeaderMalformed", 400, ""),
        "query": ("SignatureDoesNotMatch", 403, ""),
        "json": ("InvalidSignatureException", 400, ""),
    },
    "malformed": {
        "s3": ("AuthorizationHeaderMalformed", 400, "The authorization header is malformed."),
        "query": ("IncompleteSignature", 400, ""),
        "json": ("IncompleteSignatureException", 400, ""),
    },
    "malformed query": {
        "s3": ("AuthorizationQueryParametersError", 400, ""),
        "query": ("IncompleteSignature", 400, ""),
        "json": ("IncompleteSignatureException", 400, ""),
    },
    "denied": {
        "s3": ("AccessDenied", 403, ""),
        "query": ("AccessDenied", 403, ""),
        "json": ("AccessDeniedException", 400, ""),
    },
    "expired url": {
        "s3": ("AccessDenied", 403, "Request has expired."),
        "query": ("SignatureDoesNotMatch", 403, "Signature expired."),
        "json": ("InvalidSignatureException", 400, "Signature expired."),
    },
}  # fmt: skip
UNKNOWN = {"unknown key", "wrong token", "expired token"}


def refusal(fault: str, service: str, detail: str = "") -> AwsError:
    """The error of this kind as the service with this signing name words it."""
    code, status, words = CODES[fault][_family(service)]
    said = " ".join(part for part in (words, detail) if part)
    return (UnknownCaller if fault in UNKNOWN else AwsError)(code, said, status)


def _family(name: str) -> str:
    if name == "s3":
        return "s3"
    service = SERVICES.get(name)
    # SQS speaks JSON now and kept the codes of its query days.
    return "json" if service and service.protocol == "json" and name != "sqs" else "query"
