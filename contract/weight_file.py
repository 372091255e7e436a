"""What is in a weight file: names, shapes and kinds of its tensors, read without torch and without running what the file says.

The command line looks before it uploads, in an environment that has no torch; the training image reads the same kinds of file.
A pickle is read with classes that only remember: no class and no function that it names is looked up. Refuses what is not a
weight file (naming what it is), what ends early, and objects that torch's own careful reader (weights_only) would refuse
minutes later in a job. Whether the names fit an architecture only the architecture knows.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from contract.foreign_json import parse

LARGEST_DESCRIPTION = 256 * 1024**2  # bytes of names and shapes; the largest of timm's has less than one
# Beside torch's own list, what common trainings leave beside their tensors. All of it is only data.
# https://docs.pytorch.org/docs/stable/notes/serialization.html#weights-only-security
HARMLESS = ("argparse.Namespace", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")
_TORCH_LISTS = (
    "collections.OrderedDict", "collections.Counter", "torch.serialization._get_layout", "torch.Size", "torch.Tensor", "torch.device",
    "_codecs.encode", "builtins.bytearray", "builtins.set", "builtins.complex", "torch.nn.parameter.Parameter",
)  # fmt: skip
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
_BYTES = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
    "ComplexFloat": 8, "ComplexDouble": 16, "QInt8": 1, "QUInt8": 1, "QInt32": 4, "Untyped": 1,
}  # fmt: skip
_FOREIGN = (
    (b"\x89HDF", "an HDF5 file (Keras)"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself: git lfs pull brings it"),
    (b"<", "a web page: the download went wrong"),
    (b"\x08", "an ONNX model or another protocol buffer"),
    (b"\x93NUMPY", "a NumPy array"),
)


class NotWeights(ValueError):
    """The file holds no tensors that a training may read; the text goes on after the file's name."""


@dataclass(frozen=True)
class Tensor:
    """`kind` as torch calls it: Float, Half, Long, …; `place`: where its values are, in the terms of the kind of file."""

    shape: tuple[int, ...]
    kind: str
    place: Place | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Place:
    """`storage` of a torch checkpoint, with offset and strides in numbers; of safetensors the bytes from `offset` on."""

    storage: str
    offset: int
    stride: tuple[int, ...]


@dataclass(frozen=True)
class _Storage:
    key: str
    kind: str
    length: int


def read(path: Path) -> Any:
    """What the file holds, tensors as `Tensor`: usually a mapping, for a checkpoint a nested one."""
    with path.open("rb") as stream:
        start = stream.read(64)
        stream.seek(0)
        if not start:
            raise NotWeights("is empty (0 bytes)")
        if is_safetensors(start):
            return _safetensors(stream, path.stat().st_size)
        if start.startswith(b"PK"):
            return _zip(stream)
        for magic, what in _FOREIGN:
            if start.lstrip().startswith(magic):
                raise NotWeights(f"is {what}")
        if start.startswith(b"\x80"):
            return _legacy(stream, path.stat().st_size)
    raise NotWeights("is neither safetensors nor a torch checkpoint")


def is_safetensors(start: bytes) -> bool:
    """Whether a file that begins so is safetensors; its name says nothing for certain."""
    return start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] <= LARGEST_DESCRIPTION


def _safetensors(stream: BinaryIO, size: int) -> dict[str, Tensor]:
    """https://github.com/huggingface/safetensors#format: the header's length, the header as JSON, the tensors."""
    length = struct.unpack("<Q", stream.read(8))[0]
    if not 2 <= length <= size - 8:
        raise NotWeights("ends early: not even its header is whole")
    try:
        header = parse(stream.read(length))
        header.pop("__metadata__", None)
        found = {
            name: Tensor(
                tuple(one["shape"]), _SAFE_KINDS.get(one["dtype"], one["dtype"]), Place("", one["data_offsets"][0], ())
            )
            for name, one in header.items()
        }
        end = max((one["data_offsets"][1] for one in header.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        raise NotWeights("has a header that is not safetensors'") from None
    if end != size - 8 - length:
        raise NotWeights(f"ends early: its header names {end} bytes of tensors, {size - 8 - length} are there")
    return found


_SAFE_KINDS = {
    "F64": "Double", "F32": "Float", "F16": "Half", "BF16": "BFloat16", "I64": "Long", "I32": "Int", "I16": "Short",
    "I8": "Char", "U8": "Byte", "BOOL": "Bool",
}  # fmt: skip


def storages(path: Path) -> Iterator[tuple[str, bytes]]:
    """The values of a torch checkpoint that `read` has accepted: name and bytes of each storage."""
    with path.open("rb") as stream:
        if stream.read(2) == b"PK":
            with zipfile.ZipFile(stream) as archive:
                for name in archive.namelist():
                    folder, _, key = name.rpartition("/")
                    if folder == "data" or folder.endswith("/data"):
                        yield key, archive.read(name)
            return
        stream.seek(0)
        for _ in range(3):
            _unpickled(_Symbolic(stream))
        reader = _Symbolic(stream)
        _unpickled(reader)
        for key in _unpickled(_Symbolic(stream)):
            length = struct.unpack("<q", stream.read(8))[0]
            yield str(key), stream.read(length * _BYTES.get(reader.storages[str(key)].kind, 1))


def _zip(stream: BinaryIO) -> Any:
    """torch.save since 1.6: a stored zip with `<name>/data.pkl` and a file for each storage."""
    try:
        with zipfile.ZipFile(stream) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            descriptions = [name for name in sizes if name == "data.pkl" or name.endswith("/data.pkl")]
            if any(name.endswith("/constants.pkl") for name in sizes):
                raise NotWeights("is a TorchScript model: save its state_dict()")
            if len(descriptions) != 1:
                raise NotWeights("is a zip archive, but not one that torch.save wrote")
            if sizes[descriptions[0]] > LARGEST_DESCRIPTION:
                raise NotWeights(f"describes its tensors in {sizes[descriptions[0]]} bytes")
            with archive.open(descriptions[0]) as description:
                reader = _Symbolic(description)
                value = _unpickled(reader)
    except (zipfile.BadZipFile, OSError, NotImplementedError, EOFError):
        raise NotWeights("is a damaged zip archive, or ends early") from None
    folder = descriptions[0].removesuffix("data.pkl")
    for storage in reader.storages.values():
        if sizes.get(f"{folder}data/{storage.key}", 0) < storage.length * _BYTES.get(storage.kind, 1):
            raise NotWeights(f"lacks the values of a tensor (storage {storage.key}): it is damaged")
    return value


def _legacy(stream: BinaryIO, size: int) -> Any:
    """torch.save before 1.6: pickles one after the other, then the storages."""
    reader = _Symbolic(stream)
    if _unpickled(reader) != _LEGACY_MAGIC:
        raise NotWeights("is a pickle, but not one that torch.save wrote")
    for _ in range(2):  # protocol version, and sizes of the machine's types
        _unpickled(_Symbolic(stream))
    reader = _Symbolic(stream)
    value = _unpickled(reader)
    for key in _unpickled(_Symbolic(stream)):
        length = stream.read(8)
        storage = reader.storages.get(str(key))
        if len(length) < 8 or storage is None:
            raise NotWeights("ends early")
        stream.seek(struct.unpack("<q", length)[0] * _BYTES.get(storage.kind, 1), 1)
        if stream.tell() > size:
            raise NotWeights("ends early")
    return value


def _unpickled(reader: _Symbolic) -> Any:
    try:
        return reader.load()
    except NotWeights:
        raise
    except Exception as error:  # a damaged pickle fails in many ways, and a hostile one in more
        raise NotWeights(f"holds a pickle that cannot be read ({type(error).__name__}: {error})") from None


class _Remembered:
    """Stands for any object of the file; takes whatever a pickle does to an object, and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...
    def __setstate__(self, state: Any) -> None: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def append(self, value: Any) -> None: ...
    def extend(self, values: Any) -> None: ...
    def add(self, value: Any) -> None: ...


# S301: no class or function of the file is ever looked up, see find_class.
class _Symbolic(pickle.Unpickler):
    """A pickle read with stand-ins."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream, encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if module == "torch._utils" and name in _REBUILDERS:
            return _REBUILDERS[name]
        if full == "collections.OrderedDict":
            return OrderedDict
        if full == "torch._tensor._rebuild_from_type_v2":
            return lambda build, kind, given, state: build(*given)
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            return name.removesuffix("Storage")
        if (
            full in _TORCH_LISTS
            or full in HARMLESS
            or module == "numpy.dtypes"
            or (module == "torch" and name.islower())
        ):
            return _Remembered
        what = "the whole model" if "models" in module or module == "__main__" else "an object"
        raise NotWeights(
            f"holds {what} of the class {full}, which trainings do not read: save model.state_dict() alone"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise NotWeights("refers to something that is not a tensor's values")
        storage = _Storage(str(pid[2]), pid[1] if isinstance(pid[1], str) else "Untyped", int(pid[4]))
        self.storages[storage.key] = storage
        return storage


def _tensor(storage: Any, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    furthest = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True)) + 1
    if not isinstance(storage, _Storage) or (0 not in shape and furthest > storage.length):
        raise NotWeights("holds a tensor that reaches beyond its values: it is damaged")
    return Tensor(tuple(shape), storage.kind, Place(storage.key, offset, tuple(stride)))


_REBUILDERS: dict[str, Callable[..., Any]] = {
    "_rebuild_tensor": _tensor,
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_tensor_v3": _tensor,
    "_rebuild_parameter": lambda data, *_: data,
    "_rebuild_parameter_with_state": lambda data, *_: data,
    "_rebuild_qtensor": lambda storage, offset, shape, *_: Tensor(tuple(shape), storage.kind),
}


def tensors(value: Any) -> dict[str, Tensor]:
    """The tensors by name where a training looks for them; NotWeights where there is none."""
    from contract.weight_names import state_of

    found = state_of(value, lambda item: isinstance(item, Tensor))
    if not found:
        kind = (
            f"a mapping of {', '.join(map(str, list(value)[:5])) or 'nothing'}"
            if isinstance(value, Mapping)
            else "no mapping"
        )
        raise NotWeights(f"holds no tensors by name, but {kind}")
    return found
