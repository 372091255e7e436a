"""Whether this is the image with PyTorch, and what needs it.

Most executions need none: heads learn in NumPy, and EfficientNet-Lite becomes ONNX without it. So image 1 exists without PyTorch, too,
and a job says early when it is in the wrong one.
"""

from __future__ import annotations

from importlib.util import find_spec

from contract.failure import JobFailure


def has_torch() -> bool:
    return find_spec("torch") is not None


def require_torch(what: str) -> None:
    """JobFailure in the image without PyTorch."""
    if not has_torch():
        raise JobFailure(
            f"this image has no PyTorch, which is needed {what}. Run the job in the image `training-torch` "
            "(built with --build-arg VARIANT=torch)."
        )
