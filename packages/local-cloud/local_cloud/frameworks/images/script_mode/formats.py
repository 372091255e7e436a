"""Bytes to arrays and back: the content types that AWS's default handlers know.

https://github.com/aws/sagemaker-inference-toolkit (decoder.py, encoder.py). Pickled arrays are refused.
"""

import io
import json
from typing import Any

import numpy as np

CSV, JSON, LINES, NPY, NPZ = (
    "text/csv",
    "application/json",
    "application/jsonlines",
    "application/x-npy",
    "application/x-npz",
)
ANY = "*/*"


class NotSupported(ValueError):
    """No default handler reads or writes this content type."""

    def __init__(self, content_type: str):
        super().__init__(
            f"Content type {content_type} is not supported by this framework. Please implement input_fn to deserialize the "
            "request data or an output_fn to serialize the response."
        )


def decode(body: bytes | str, content_type: str) -> Any:
    """An array from a request's body."""
    text = body.decode("utf-8") if isinstance(body, bytes) and content_type in (CSV, JSON, LINES) else body
    if content_type == JSON:
        return np.array(json.loads(text))
    if content_type == LINES:
        return np.array([json.loads(line) for line in str(text).splitlines() if line.strip()])
    if content_type == CSV:
        return np.genfromtxt(io.StringIO(str(text)), delimiter=",")
    if content_type == NPY:
        return np.load(io.BytesIO(bytes(body)), allow_pickle=False)
    if content_type == NPZ:
        from scipy import sparse

        return sparse.load_npz(io.BytesIO(bytes(body)))
    raise NotSupported(content_type)


def encode(answer: Any, accept: str) -> tuple[bytes, str]:
    """A response's body and content type, from an array or whatever json can write."""
    for wanted in [word.split(";")[0].strip() for word in accept.split(",")]:
        kind = JSON if wanted in (ANY, "") else wanted
        if kind == JSON:
            return json.dumps(answer, default=_plain).encode(), kind
        if kind == LINES:
            return "".join(json.dumps(each, default=_plain) + "\n" for each in answer).encode(), kind
        if kind == CSV:
            written = io.StringIO()
            np.savetxt(written, np.atleast_1d(np.asarray(answer)), delimiter=",", fmt="%s")
            return written.getvalue().encode(), kind
        if kind == NPY:
            kept = io.BytesIO()
            np.save(kept, np.asarray(answer), allow_pickle=False)
            return kept.getvalue(), kind
    raise NotSupported(accept)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(
        f"{type(value).__name__} cannot be written as JSON: return lists, numbers or arrays from predict_fn."
    )
