"""Who may speak to the cloud: programs on this machine that hold a key of this cloud, and nobody else.

A web page open in the user's browser can send requests to 127.0.0.1. It cannot forge the Host header, does not know a
key, and browsers add an Origin header: each alone is refused. So are keys of real accounts, so that nobody mistakes this
cloud for AWS or AWS for this cloud.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs

from local_cloud.errors import AwsError
from local_cloud.presigned import access_key_of, verify_presigned
from local_cloud.signature import verify
from local_cloud.wire import Request

ALLOWED_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?", re.IGNORECASE)
AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256\s+Credential=([^,\s]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Caller:
    """What the signature says: whose key, and which service and region are meant."""

    access_key_id: str
    service: str
    region: str


class Guard:
    """Checks every request before anything else looks at it."""

    def __init__(self, access_key_id: str, secret_access_key: str, account_id: str):
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key
        self._account_id = account_id

    def check_origin(self, request: Request) -> None:
        """Refuse what comes through a browser or under a foreign name."""
        host = request.header("host")
        if not ALLOWED_HOST.fullmatch(host):
            raise AwsError(
                "AccessDenied", f"The Host header is {host!r}; this cloud answers to 127.0.0.1 and localhost only.", 403
            )
        if request.header("origin") or request.header("sec-fetch-site") not in ("", "none"):
            raise AwsError("AccessDenied", "Requests from web pages (with an Origin header) are refused.", 403)

    def caller(self, request: Request) -> Caller:
        """The caller named by the signature, once key and signature have been found right."""
        key = access_key_of(request)
        if key is not None:
            caller = Caller(key, "s3", "")
            verify_presigned(request, self._secret_of(caller))
            return caller
        scope = self._scope(request)
        try:
            access_key_id, _day, region, service, _terminator = scope.rsplit("/", 4)
        except ValueError:
            raise AwsError("IncompleteSignature", f"The credential scope {scope!r} has not five parts.", 403) from None
        caller = Caller(access_key_id, service.lower(), region)
        verify(request, self._secret_of(caller), scope)
        return caller

    def service_name(self, request: Request) -> str:
        """The service that the signature names, before the key is checked: errors come in that service's protocol."""
        if access_key_of(request) is not None:
            return "s3"
        parts = self._scope(request).rsplit("/", 4)
        return parts[3].lower() if len(parts) == 5 else ""

    def _scope(self, request: Request) -> str:
        header = AUTHORIZATION.match(request.header("authorization"))
        if header:
            return header.group(1)
        if request.header("authorization"):
            raise AwsError(
                "IncompleteSignature", "Only AWS4-HMAC-SHA256 signatures are understood; use a current SDK.", 403
            )
        credential = parse_qs(request.query).get("X-Amz-Credential")
        if credential:
            return credential[0]
        raise AwsError(
            "MissingAuthenticationToken",
            "The request is not signed. Take the credentials from `darkroom env` or the state directory's cloud.json.",
            403,
        )

    def _secret_of(self, caller: Caller) -> str:
        if hmac.compare_digest(caller.access_key_id, self._access_key_id):
            return self._secret_access_key
        minted = self._minted_secret(caller.access_key_id)
        if minted is None:
            s3 = caller.service == "s3"
            raise AwsError(
                "InvalidAccessKeyId" if s3 else "InvalidClientTokenId",
                "The AWS Access Key Id you provided does not exist in our records. This is a local cloud: take its "
                "credentials from `darkroom env` or the state directory's cloud.json.",
                403,
            )
        return minted

    def _minted_secret(self, access_key_id: str) -> str | None:
        from moto.iam.models import iam_backends
        from moto.sts.models import sts_backends

        role = sts_backends[self._account_id]["aws"].get_assumed_role_from_access_key(access_key_id)
        if role is not None:
            if role.expiration < datetime.now(UTC).replace(tzinfo=None):
                raise AwsError("ExpiredToken", "The security token included in the request is expired", 403)
            return role.secret_access_key
        for user in iam_backends[self._account_id]["aws"].users.values():
            for key in user.access_keys:
                if key.access_key_id == access_key_id and key.status == "Active":
                    return key.secret_access_key
        return None
