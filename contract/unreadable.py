"""The one way in which a photo is refused, with the reasons that documents, findings and the server's answers name."""

from typing import Final, Literal, get_args

Reason = Literal[
    "empty", "too_many_bytes", "too_many_pixels", "too_costly", "not_a_photo", "truncated", "corrupt", "unsupported_mode"
]  # fmt: skip
REASONS: Final = get_args(Reason)


class UnreadablePhoto(ValueError):
    """A photo that cannot become pixels; `reason` is one of REASONS, the text is for a person."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason

    def __reduce__(self) -> tuple[type, tuple[Reason, str]]:  # crosses process pools in `prepare`
        return type(self), (self.reason, str(self))


def damaged(what: str, error: Exception) -> UnreadablePhoto:
    """What a decoder said of a photo, as one of the reasons."""
    text = str(error).lower()
    if isinstance(error, MemoryError):
        return UnreadablePhoto("too_costly", f"the {what} needs more memory to decode than its header says")
    if isinstance(error, EOFError) or any(sign in text for sign in ("truncated", "unexpected end", "not enough")):
        return UnreadablePhoto("truncated", f"the {what} ends early: {error}")
    return UnreadablePhoto("corrupt", f"the {what} is damaged: {error or type(error).__name__}")
