"""Makes smdebug 1.0.34, the last release (2023), run with today's torch and NumPy. All changes to it are in this file.

- `make_tensor_proto` calls `ndarray.tostring()`, which NumPy removed in 2.3; `tobytes()` is the same under its name since 1.9.
- its generated protobuf code is of protobuf 3.20: with a newer protobuf only the pure-Python implementation accepts it
  (PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, read when protobuf is first imported).
- it imports `distutils.util.strtobool`, deprecated since Python 3.10: that one import is allowed to warn without being heard.
- its dependency pyinstrument 3.4 puts a finder of Python 2's time into `sys.meta_path`, over which every later import that fails
  stumbles with an ImportWarning: the finder is taken out, its modules have been loaded by then.
- its profiler's analysis imports pandas, which nothing here calls: where pandas is not installed, an empty module stands in while it is
  imported. Only its hook for PyTorch needs PyTorch; without, `numpy_hook` takes its place.
- its profiler for autograd, Horovod and smdataparallel is not used: steps are driven by `debugging/hook.py`.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def load_smdebug() -> None:
    """smdebug's core and trials, patched. Call before any other import of smdebug."""
    if int(importlib.metadata.version("protobuf").split(".")[0]) > 3:
        os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
    os.environ.setdefault("SMDEBUG_LOG_LEVEL", "error")
    with _warnings_unheard(), _pandas_stood_in_for():
        import smdebug.core.hook
        import smdebug.trials  # noqa: F401
        from smdebug.core.tfevent import util

    _remove_old_import_finders()
    _serialise_with_tobytes(util)


def hook_class() -> Any:
    """smdebug's hook for PyTorch where PyTorch is installed, else the one for arrays."""
    load_smdebug()
    with _warnings_unheard(), _pandas_stood_in_for():
        if find_spec("torch"):
            from smdebug.pytorch import Hook
        else:
            from training_code.debugging.numpy_hook import NumpyHook as Hook
    _remove_old_import_finders()
    return Hook


@contextmanager
def _warnings_unheard() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", ImportWarning)
        yield


@contextmanager
def _pandas_stood_in_for() -> Iterator[None]:
    stands_in = sys.modules.get("pandas") is None and find_spec("pandas") is None
    if stands_in:
        sys.modules["pandas"] = ModuleType("pandas", "Not installed: nothing of smdebug that is used here calls it.")
    try:
        yield
    finally:
        if stands_in:
            del sys.modules["pandas"]


def _remove_old_import_finders() -> None:
    sys.meta_path[:] = [f for f in sys.meta_path if hasattr(f, "find_spec") or "pyinstrument" not in type(f).__module__]


def _serialise_with_tobytes(util: ModuleType) -> None:
    original = util.make_tensor_proto
    if getattr(original, "_darkroom", False):
        return

    def make_tensor_proto(nparray_data: Any, tag: str) -> Any:
        """Same message as the original's, for numbers; text goes to the original."""
        numeric, dtype = util._get_proto_dtype(nparray_data.dtype)
        if not numeric:
            return original(nparray_data, tag)
        dimensions = [util.TensorShapeProto.Dim(size=size, name=f"{tag}_{size}") for size in nparray_data.shape]
        return util.TensorProto(
            dtype=dtype, tensor_content=nparray_data.tobytes(), tensor_shape=util.TensorShapeProto(dim=dimensions)
        )

    make_tensor_proto._darkroom = True  # type: ignore[attr-defined]
    util.make_tensor_proto = make_tensor_proto
    from smdebug.core import writer

    writer.make_tensor_proto = make_tensor_proto
