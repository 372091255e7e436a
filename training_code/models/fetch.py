"""`fetch-weights`: what `darkroom weights add NAME` runs, as a processing job where the internet can be reached.

    python -m training_code fetch-weights --model NAME

Trainings read weights from the store only, so that they can run in a private subnet; this job fills it from where an
architecture's weights are published: torchvision's URL (whose file name carries the checksum) or the Hugging Face hub
(safetensors). Output: `<base>/processing/output/weights/<key>/`, in the store's own layout.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from contract.failure import JobFailure, base_directory
from contract.whole_file import whole_file
from training_code.models import catalogue, libraries
from training_code.models.weights import RECORD, checksum, key_of, record_of

HUB_FILE = "model.safetensors"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m training_code fetch-weights")
    parser.add_argument("--model", required=True)
    fetch(parser.parse_args(arguments).model, base_directory() / "processing" / "output" / "weights")
    return 0


def fetch(name: str, folder: Path) -> Path:
    """Download, check and store the weights of one architecture; the folder they are in."""
    published = libraries.published_weights(catalogue.resolve(name))
    if not published:
        raise JobFailure(
            f"model: no published weights are known for {name!r}. Give a file: darkroom weights add {name} FILE"
        )
    target = folder / key_of(name)
    target.mkdir(parents=True, exist_ok=True)
    try:
        file = _from_hub(published, target) if published.startswith("hf-hub:") else _from_url(published, target)
    except (OSError, urllib.error.URLError) as error:
        raise JobFailure(
            f"model: the weights of {name!r} could not be had from {published}: {error}. Download them where there is a "
            f"network, then: darkroom weights add {name} FILE"
        ) from error
    from training_code.models import backbone

    try:
        module, _ = backbone.load(catalogue.resolve(name), file)
    except JobFailure:
        file.unlink()  # half a store is none
        raise
    record = {**record_of(file, published), "loading": module.loading.to_dict()}
    (target / RECORD).write_text(json.dumps(record), encoding="utf-8")
    print(f"weights of {name}: {file.stat().st_size / 1e6:.1f} MB from {published}", flush=True)
    return target


def _from_url(url: str, folder: Path) -> Path:
    if not url.startswith("https://"):
        raise JobFailure(f"the weights are published at {url}; allowed: https.")
    file = folder / url.rpartition("/")[2]
    # S310: https was checked above.
    with whole_file(file) as part, part.open("wb") as stream, urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
        shutil.copyfileobj(answer, stream)
    # PyTorch's convention: the name ends with the first digits of the file's SHA-256.
    expected = re.search(r"-([0-9a-f]{8,})\.[a-z]+$", file.name)
    if expected and not checksum(file).startswith(expected[1]):
        file.unlink()
        raise JobFailure(f"{url} has not the checksum that its name says ({expected[1]}); try again later.")
    return file


def _from_hub(published: str, folder: Path) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        found = hf_hub_download(published.removeprefix("hf-hub:"), HUB_FILE)
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise OSError(str(error).splitlines()[0]) from error
    return Path(shutil.copyfile(found, folder / HUB_FILE))
