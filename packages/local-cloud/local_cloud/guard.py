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
from typing import Any

from local_cloud.claim import Claim, claim_of, claimed_service
from local_cloud.clock import MACHINE, Clock
from local_cloud.errors import AwsError, UnknownCaller
from local_cloud.presigned import access_key_of, token_of, verify_presigned
from local_cloud.proxy.addresses import is_aws
from local_cloud.refusals import refusal
from local_cloud.settings import Settings
from local_cloud.signature import verify
from local_cloud.wire import Request

ALLOWED_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?", re.IGNORECASE)
# SDKs sign these for us-east-1 wherever the account works.
GLOBAL_SERVICES = {"iam": "us-east-1", "sts": "us-east-1"}


@dataclass(frozen=True)
class Key:
    """What the cloud knows of one access key; a key that STS made works with its token only, and until it expires."""

    secret: str
    token: str = ""
    expires: datetime | None = None
    # moto's role session or user; None is the root of the account.
    holder: Any = None


class Guard:
    """Checks every request before anything else looks at it."""

    def __init__(
        self, access_key_id: str, secret_access_key: str, account_id: str, region: str, clock: Clock = MACHINE,
        command: str = Settings.command,
    ):  # fmt: skip
        self._clock = clock
        self._command = command
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key
        self._account_id = account_id
        self._region = region

    def check_origin(self, request: Request) -> None:
        """Refuse what comes through a browser or under a foreign name."""
        host = request.header("host")
        # A page cannot make a browser send one of AWS's names here: it would have to own that name.
        if not ALLOWED_HOST.fullmatch(host) and not is_aws(host):
            raise AwsError(
                "AccessDenied", f"The Host header is {host!r}; this cloud answers to 127.0.0.1 and localhost only.", 403
            )
        if request.header("origin") or request.header("sec-fetch-site") not in ("", "none"):
            raise AwsError("AccessDenied", "Requests from web pages (with an Origin header) are refused.", 403)

    def service_name(self, request: Request) -> str:
        """The service that the signature names, before anything is checked: errors come in that service's protocol."""
        return "s3" if access_key_of(request) is not None else claimed_service(request)

    def admit(self, request: Request) -> str:
        """The service that the request is signed for, once key, token, region, age and signature have been found right."""
        try:
            return self._admitted(request)
        except UnknownCaller as error:
            error.message += (
                f" This is a local cloud: take its credentials, with their session token, from `{self._command} env`, from "
                "the state directory's cloud.json, or from whoever assumed the role."
            )
            raise

    def _admitted(self, request: Request) -> str:
        key_id = access_key_of(request)
        if key_id is not None and not request.header("authorization"):
            request.take_bucket_from_host()  # version 2 signs the bucket as part of the path
            key = self._key(key_id, "s3", token_of(request))
            verify_presigned(request, key.secret, self._clock.now())
            request.holder = key.holder
            return "s3"
        claim = claim_of(request)
        key = self._key(claim.access_key_id, claim.service, claim.token)
        self._check_region(claim)
        request.seal = verify(request, claim, key.secret, self._clock.moment())
        if claim.service == "s3":
            request.take_bucket_from_host()
        request.holder = key.holder
        return claim.service

    def _key(self, access_key_id: str, service: str, token: str) -> Key:
        key = self._known(access_key_id)
        # As on AWS, a key without the token that belongs to it is no key at all.
        if key is None or (key.token and not token):
            raise refusal("unknown key", service)
        if not hmac.compare_digest(key.token.encode(), token.encode()):
            raise refusal("wrong token", service)
        if key.expires and key.expires < self._clock.moment():
            raise refusal("expired token", service)
        return key

    def _check_region(self, claim: Claim) -> None:
        if claim.region in (self._region, GLOBAL_SERVICES.get(claim.service)):
            return
        if claim.service != "s3":
            raise refusal(
                "region", claim.service,
                f"Credential should be scoped to a valid region, not {claim.region[:50]!r}; this cloud is {self._region}.",
            )  # fmt: skip
        fault = "region" if claim.lifetime is None else "malformed query"
        where = "authorization header is malformed" if claim.lifetime is None else "X-Amz-Credential parameter is wrong"
        raise refusal(
            fault, "s3", f"The {where}; the region {claim.region[:50]!r} is wrong; expecting {self._region!r}."
        )

    def _known(self, access_key_id: str) -> Key | None:
        from moto.iam.models import iam_backends
        from moto.sts.models import sts_backends

        if hmac.compare_digest(access_key_id.encode(), self._access_key_id.encode()):
            return Key(self._secret_access_key)
        role = sts_backends[self._account_id]["aws"].get_assumed_role_from_access_key(access_key_id)
        if role is not None:
            return Key(role.secret_access_key, role.session_token, role.expiration.replace(tzinfo=UTC), role)
        for user in list(iam_backends[self._account_id]["aws"].users.values()):
            for key in user.access_keys:
                if key.access_key_id == access_key_id and key.status == "Active":
                    return Key(key.secret_access_key, holder=user)
        return None
