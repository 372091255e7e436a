"""The tensors of a weight file as NumPy arrays, without torch and without running what the file says.

`contract.weight_file` reads names, shapes and places; here come the values. Refuses kinds that NumPy does not have, by name.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from contract.failure import JobFailure
from contract.weight_file import NotWeights, Tensor, is_safetensors, read, storages, tensors

_KINDS = {
    "Double": np.float64, "Float": np.float32, "Half": np.float16, "Long": np.int64, "Int": np.int32, "Short": np.int16,
    "Char": np.int8, "Byte": np.uint8, "Bool": np.bool_,
}  # fmt: skip


def values_of(path: Path) -> dict[str, np.ndarray]:
    """Arrays by name, where a training looks for them; a JobFailure says what the file is instead."""
    try:
        found = tensors(read(path))
        with path.open("rb") as stream:
            safe = is_safetensors(stream.read(64))
        return _of_safetensors(path, found) if safe else _of_checkpoint(path, found)
    except (NotWeights, ValueError) as error:
        raise JobFailure(
            f"the weight file {path.name} is neither safetensors nor a plain torch checkpoint: it {error}. "
            "Save it with safetensors, or with torch.save(model.state_dict(), …)."
        ) from None


def _of_safetensors(path: Path, found: dict[str, Tensor]) -> dict[str, np.ndarray]:
    data = np.memmap(path, np.uint8, "r")
    begin = 8 + int.from_bytes(data[:8].tobytes(), "little")
    arrays = {}
    for name, one in found.items():
        kind = np.dtype(_kind(name, one))
        offset = begin + (one.place.offset if one.place else 0)
        arrays[name] = np.frombuffer(data, kind, int(np.prod(one.shape)), offset).reshape(one.shape)
    return arrays


def _of_checkpoint(path: Path, found: dict[str, Tensor]) -> dict[str, np.ndarray]:
    held = dict(storages(path))
    arrays = {}
    for name, one in found.items():
        kind = np.dtype(_kind(name, one))
        if one.place is None or one.place.storage not in held:
            raise NotWeights(f"holds {name} in a form that only torch reads")
        numbers = np.frombuffer(held[one.place.storage], kind)[one.place.offset :]
        strides = tuple(step * kind.itemsize for step in one.place.stride)
        # `read` has checked that no tensor reaches beyond its values.
        arrays[name] = np.lib.stride_tricks.as_strided(numbers, one.shape, strides, writeable=False)
    return arrays


def _kind(name: str, one: Tensor) -> type:
    if one.kind == "BFloat16" or one.kind not in _KINDS:
        raise NotWeights(f"holds {name} as {one.kind}, which only torch reads")
    return _KINDS[one.kind]
