"""What goes in and out over HTTP: request bodies to photos, probabilities to the answer the caller accepts.

Refused: content types that hold no photo (415), Accept values that cannot be met (406), JSON of another shape (400).
"""

import base64
import binascii
import json
from http import HTTPStatus
from typing import Final, NamedTuple

import numpy as np

from contract.foreign_json import parse
from contract.photo_kind import kind_of

# What clients call a photo; `binary/octet-stream` is what S3 says of an object that was stored without a type.
IMAGE_TYPES: Final = (
    "image/jpeg", "image/jpg", "image/pjpeg", "image/jfif", "image/png", "image/x-png", "image/webp", "image/gif",
    "image/bmp", "image/x-bmp", "image/x-ms-bmp", "image/tiff", "image/tif", "image/avif", "image/heic", "image/heif",
    "application/x-image", "application/octet-stream", "binary/octet-stream",
)  # fmt: skip
# The names of the other types are used for each other, these two never: what is sent with one was not what the sender took it for.
HEIF_TYPES: Final = ("image/heic", "image/heif")
JSON_TYPE: Final = "application/json"
ARRAY_TYPE: Final = "application/x-array"
MAX_INSTANCES: Final = 512
EXAMPLE: Final = '{"instances": [{"b64": "<base64 of a photo>"}]}'


class Refused(Exception):
    """A request that is answered with an error; the message is for the caller."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Photos(NamedTuple):
    """The photos of a request; `listed`: they came as JSON instances, so the answer is a list, too."""

    contents: list[bytes]
    listed: bool


def read_photos(body: bytes, content_type: str) -> Photos | None:
    """The photo in a request's body, None where it is a list of photos: the type says how to unwrap, the content what it is."""
    kind = content_type.split(";", 1)[0].strip().lower()
    if kind in HEIF_TYPES and (found := kind_of(body)) not in ("HEIC", "AVIF"):
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_type",
            f"Content-Type is {content_type!r}, but the body is {f'a {found} picture' if found else 'none'}: send it with its own "
            f"type or as {IMAGE_TYPES[0]}; allowed: {', '.join((*IMAGE_TYPES, JSON_TYPE))}",
        )
    if kind in IMAGE_TYPES or not kind:  # SageMaker may send none; an unreadable body is refused while decoding
        return Photos([body], listed=False)
    if kind == JSON_TYPE:
        return None
    raise Refused(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported_content_type",
        f"Content-Type is {content_type!r}; allowed: {', '.join((*IMAGE_TYPES, JSON_TYPE))}",
    )


def read_list(body: bytes) -> Photos:
    """The photos of `{"instances": [{"b64": …}]}`; refuse any other form."""
    # Looked at before Python makes objects of it: three bytes of an empty list become sixty. Base64 holds no comma.
    if body.count(b",") >= MAX_INSTANCES:
        raise _bad_json(f"the body holds more than {MAX_INSTANCES} photos or other values; it has the form {EXAMPLE}")
    try:
        document = parse(body)
        instances = document["instances"]
        if not isinstance(instances, list) or not instances:
            raise TypeError
    except (ValueError, TypeError, KeyError):
        raise _bad_json(f"the body is not of the form {EXAMPLE}") from None
    photos = []
    for index, instance in enumerate(instances):
        if not isinstance(instance, dict) or set(instance) != {"b64"} or not isinstance(instance["b64"], str):
            raise _bad_json(f"instances[{index}] is not of the form {{'b64': '<base64>'}}")
        try:
            photos.append(base64.b64decode(instance["b64"], validate=True))
        except (binascii.Error, ValueError) as error:
            raise _bad_json(f"instances[{index}].b64 is not base64: {error}") from None
    return Photos(photos, listed=True)


def _bad_json(message: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, "bad_json", message)


def accepts_array(accept: str) -> bool:
    """True for the plain array, False for labels; refuse what is neither. The first choice that can be met wins."""
    for choice in accept.split(",") if accept.strip() else ["*/*"]:
        kind, *parameters = (part.strip().lower() for part in choice.split(";"))
        if kind == ARRAY_TYPE:
            return True
        if kind in (JSON_TYPE, "*/*", "application/*"):
            return "verbose=0" in parameters
    raise Refused(
        HTTPStatus.NOT_ACCEPTABLE,
        "not_acceptable",
        f"Accept is {accept!r}; allowed: {JSON_TYPE}, {JSON_TYPE};verbose=0, {ARRAY_TYPE}",
    )


def encode(probabilities: np.ndarray, classes: tuple[str, ...], array: bool, listed: bool) -> bytes:
    """The answer's body: labels with probabilities, or the plain numbers in the manifest's order of classes."""
    rows = [[round(value, 7) for value in row] for row in probabilities.tolist()]
    if array:
        return json.dumps(rows if listed else rows[0]).encode()
    predictions = []
    for row in rows:
        best = max(range(len(row)), key=row.__getitem__)
        predictions.append(
            {"label": classes[best], "probability": row[best], "probabilities": dict(zip(classes, row, strict=True))}
        )
    return json.dumps({"predictions": predictions}, ensure_ascii=False).encode()
