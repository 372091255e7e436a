"""The one error that every part of the local cloud raises for a request that AWS would refuse."""

from typing import Any


def words_for(fault: Exception) -> str:
    """A fault inside the cloud as a client may read it: the system's words, never Python's; the log has those."""
    if isinstance(fault, AwsError):
        return fault.message
    if isinstance(fault, OSError) and fault.strerror:
        return f"{fault.strerror}{f': {fault.filename}' if fault.filename else ''}"
    return "a fault of the local cloud, whose log says more"


class AwsError(Exception):
    """An AWS API error: `code` as AWS names it, `message` for a person, `status` the HTTP status."""

    # Set when the log says more under this id.
    request_id = ""
    # What AWS says beside code and message, by name.
    details: dict[str, str] = {}  # noqa: RUF012 (never changed: an error that has some gets its own)

    def __init__(self, code: str, message: str, status: int = 400):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        # What the service's own shape of this error has beside code and message.
        self.details: dict[str, Any] = {}


class UnknownCaller(AwsError):
    """Who asks has no credentials of this cloud, or no longer; the guard says where they are."""
