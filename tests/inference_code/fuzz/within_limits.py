"""One photo, decoded in this process by the code of both ways, each under the limit of memory that its own estimate sets."""

import numpy as np

from contract import decode as decoding
from contract.decode_apart import HEADER_MEMORY
from contract.decode_child import SLACK, Job, allow
from contract.jpeg import JpegHeader
from contract.unreadable import UnreadablePhoto, damaged


def decode_here(data: bytes) -> np.ndarray:
    """Pixels; raise UnreadablePhoto."""
    try:
        pixels = _pixels(data)
    finally:
        allow(None)
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.flags.c_contiguous
    return pixels


def _pixels(data: bytes) -> np.ndarray:
    plan = decoding._plan(data, decoding.MAX_PIXELS, decoding.MAX_BYTES)
    if plan.header is not None:
        allow(plan.needs + SLACK)
        jpeg = isinstance(plan.header, JpegHeader)
        decoded = decoding._decode_jpeg(data, plan.header) if jpeg else decoding._decode_png(data)
        if decoded:
            return decoded.pixels
    allow(HEADER_MEMORY + 2 * len(data))
    try:
        job = Job(data, plan.kind, decoding.MAX_PIXELS)
    except UnreadablePhoto:
        raise
    except Exception as error:  # as the child does it: the header of a damaged photo can raise anything
        raise damaged(f"{plan.kind} picture", error) from None
    allow(job.needs + SLACK)
    return job.decode().pixels
