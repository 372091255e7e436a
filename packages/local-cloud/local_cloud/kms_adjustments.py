"""Where moto's KMS does what AWS refuses: it uses keys that are disabled or pending deletion, or made for something else.

Whoever tests here that a disabled key stops a job must see it stop. https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

USES = {
    "encrypt": ("Encrypt", "ENCRYPT_DECRYPT"),
    "sign": ("Sign", "SIGN_VERIFY"),
    "verify": ("Verify", "SIGN_VERIFY"),
    "generate_mac": ("GenerateMac", "GENERATE_VERIFY_MAC"),
    "verify_mac": ("VerifyMac", "GENERATE_VERIFY_MAC"),
}
DIGEST_BYTES = {"256": 32, "384": 48, "512": 64}
LEAST_DAYS, MOST_DAYS = 7, 30
MOST_TAGS = 50


def install() -> None:
    """Adjust moto's classes; before KMS has state."""
    from moto.kms.models import KmsBackend
    from moto.kms.responses import KmsResponse

    for method, (operation, usage) in USES.items():
        setattr(KmsBackend, method, _checked(getattr(KmsBackend, method), operation, usage))
    KmsBackend.decrypt = _checked_decrypt(KmsBackend.decrypt)
    KmsBackend.verify = _raising_verify(KmsBackend.verify)
    KmsBackend.schedule_key_deletion = _checked_deletion(KmsBackend.schedule_key_deletion)
    KmsBackend.rotate_key_on_demand = _checked_rotation(KmsBackend.rotate_key_on_demand)
    KmsBackend.create_key = _checked_create(KmsBackend.create_key)
    KmsResponse.tag_resource = _checked_tags(KmsResponse.tag_resource)
    KmsResponse.re_encrypt = _checked_re_encrypt(KmsResponse.re_encrypt)
    for method in ("sign", "verify"):
        setattr(KmsResponse, method, _checked_digest(getattr(KmsResponse, method)))


def _refused(code: str, message: str = "") -> Exception:
    from moto.core.exceptions import JsonRESTError

    return JsonRESTError(code, message)


def _key(backend: Any, key_id: str) -> Any:
    """The key by its id, ARN or alias; None when there is none, which moto says in AWS's words."""
    return backend.keys.get(backend.any_id_to_key_id(key_id))


def _require_state(key: Any) -> None:
    if key.key_state == "Disabled":
        raise _refused("DisabledException", f"{key.arn} is disabled.")
    if key.key_state == "PendingDeletion":
        raise _refused("KMSInvalidStateException", f"{key.arn} is pending deletion.")


def _checked(plain: Callable[..., Any], operation: str, usage: str) -> Callable[..., Any]:
    def use(self: Any, *args: Any, **options: Any) -> Any:
        key = _key(self, options["key_id"] if "key_id" in options else args[0])
        if key is not None:
            _require_state(key)
            used_for = key.key_usage or "ENCRYPT_DECRYPT"
            if used_for != usage:
                raise _refused(
                    "InvalidKeyUsageException",
                    f"{key.arn} key usage is {used_for} which is not valid for {operation}.",
                )
            algorithm = options.get("mac_algorithm")
            if algorithm and key.key_spec.replace("HMAC_", "HMAC_SHA_") != algorithm:
                raise _refused(
                    "InvalidKeyUsageException", f"Algorithm {algorithm} is incompatible with key spec {key.key_spec}."
                )
        return plain(self, *args, **options)

    return use


def _checked_decrypt(plain: Callable[..., Any]) -> Callable[..., Any]:
    def decrypt(
        self: Any, ciphertext_blob: bytes, encryption_context: dict[str, str], key_id: str | None = None
    ) -> Any:
        plaintext, arn = plain(self, ciphertext_blob, encryption_context)
        _require_state(_key(self, arn))
        asked = _key(self, key_id) if key_id else None
        if asked is not None and asked.arn != arn:
            raise _refused(
                "IncorrectKeyException",
                "The key ID in the request does not identify a CMK that can perform this operation.",
            )
        return plaintext, arn

    return decrypt


def _checked_re_encrypt(plain: Callable[..., Any]) -> Callable[..., Any]:
    """moto passes over the source key that a request names."""

    def re_encrypt(self: Any) -> Any:
        if source := self._get_param("SourceKeyId"):
            self._validate_key_id(source)
            blob, context = self._get_param("CiphertextBlob"), self._get_param("SourceEncryptionContext", {})
            self.kms_backend.decrypt(blob, context, source)
        return plain(self)

    return re_encrypt


def _raising_verify(plain: Callable[..., Any]) -> Callable[..., Any]:
    """A signature that is wrong is an error, not an answer that says so."""

    def verify(self: Any, *args: Any, **options: Any) -> Any:
        arn, is_valid, algorithm = plain(self, *args, **options)
        if not is_valid:
            raise _refused("KMSInvalidSignatureException")
        return arn, is_valid, algorithm

    return verify


def _checked_digest(plain: Callable[..., Any]) -> Callable[..., Any]:
    def of_message(self: Any) -> Any:
        algorithm = self._get_param("SigningAlgorithm") or ""
        length = DIGEST_BYTES.get(algorithm.rpartition("_")[2])
        if self._get_param("MessageType") == "DIGEST" and length:
            given = self._get_param("Message")
            digest = base64.b64decode(given) if isinstance(given, str) else given
            if len(digest) != length:
                raise _refused("ValidationException", f"Digest is invalid length for algorithm {algorithm}.")
        return plain(self)

    return of_message


def _checked_deletion(plain: Callable[..., Any]) -> Callable[..., Any]:
    def schedule_key_deletion(self: Any, key_id: str, pending_window_in_days: int) -> float:
        if not LEAST_DAYS <= pending_window_in_days <= MOST_DAYS:
            raise _refused(
                "ValidationException",
                f"PendingWindowInDays must be between {LEAST_DAYS} and {MOST_DAYS}, not {pending_window_in_days}.",
            )
        key = _key(self, key_id)
        if key is not None and key.key_state == "PendingDeletion":
            raise _refused("KMSInvalidStateException", f"{key.arn} is pending deletion.")
        return plain(self, key_id, pending_window_in_days)

    return schedule_key_deletion


def _checked_rotation(plain: Callable[..., Any]) -> Callable[..., Any]:
    def rotate_key_on_demand(self: Any, key_id: str) -> str:
        key = _key(self, key_id)
        if key is not None:
            _require_state(key)
            if key.key_spec != "SYMMETRIC_DEFAULT":
                raise _refused("UnsupportedOperationException")
        return plain(self, key_id)

    return rotate_key_on_demand


def _checked_tags(plain: Callable[..., Any]) -> Callable[..., Any]:
    def tag_resource(self: Any) -> str:
        _require_tags(self._get_param("Tags") or [])
        return plain(self)

    return tag_resource


def _checked_create(plain: Callable[..., Any]) -> Callable[..., Any]:
    def create_key(self: Any, *args: Any, **options: Any) -> Any:
        _require_tags(options.get("tags") or (args[4] if len(args) > 4 else None) or [])
        return plain(self, *args, **options)

    return create_key


def _require_tags(tags: list[dict[str, str]]) -> None:
    names = [tag.get("TagKey") for tag in tags]
    if len(set(names)) < len(names):
        raise _refused("TagException", "Duplicate tag keys")
    if len(names) > MOST_TAGS:
        raise _refused("TagException", "Too many tags")
    if any(str(name).lower().startswith("aws:") for name in names):
        raise _refused("TagException", "Tags beginning with aws: are reserved")
