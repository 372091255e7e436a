"""`extract`: the features of the packed photos for one architecture, and its weights, as `train` wants them.

    python -m training_code extract --model NAME --image-size N --pretrained true --seed N --flip-view true

The photos come from the pack that the comparison prepared once; the cache of features is the pipeline's own. Large photos are
decoded once for all candidates that look at them alike.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contract.decode import decode
from contract.failure import base_directory
from contract.hyperparameters import Hyperparameters
from contract.preprocessing import resize_and_crop
from contract.whole_file import write_json
from training_code.comparison.shared_pixels import SharedPixels
from training_code.features.cache import open_store
from training_code.features.channel import FEATURE_CACHE_URI, write_channels
from training_code.features.extraction import Sample
from training_code.models import catalogue, weights
from training_code.prepare.command import WEIGHTS_URI
from training_code.prepare.photo_pack import PhotoPack


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m training_code extract")
    for name in ("--model", "--image-size", "--pretrained", "--seed", "--flip-view"):
        parser.add_argument(name, required=True)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items()}
    # A comparison's candidates take the same number of steps each.
    extract(Hyperparameters.from_strings({**given, "solver": "steps"}), base_directory() / "processing")
    return 0


def extract(settings: Hyperparameters, folder: Path) -> None:
    """Reads `input/photos/`, writes `output/features/`, `output/weights/` and `output/extraction/` (what was cached)."""
    spec = catalogue.resolve(settings.model, settings.image_size)
    found = weights.resolve(settings.model, None, os.environ.get(WEIGHTS_URI, "")) if settings.pretrained else None
    pack = PhotoPack(folder / "input" / "photos")

    def decoded(index: int) -> np.ndarray:
        return resize_and_crop(decode(pack.read(pack.photos[index])), spec.preprocessing)

    samples = [
        Sample(i, photo.photo_id, hashlib.sha256(pack.read(photo)).hexdigest(), photo.label, photo.split)
        for i, photo in enumerate(pack.photos)
    ]
    uri = os.environ.get(FEATURE_CACHE_URI, "")
    pixels = SharedPixels(
        open_store(uri) if uri else None,
        [sample.sha256 for sample in samples],
        sum(photo.length for photo in pack.photos),
        spec.preprocessing,
        decoded,
    )
    features = write_channels(folder / "output", spec, found, settings, samples, pack.classes, pixels.load)
    counted = {name: features.facts[name] for name in ("from_cache", "computed")}
    write_json(folder / "output" / "extraction" / "extraction.json", counted)
    said = f"{features.facts['from_cache']} from the cache, {pixels.decoded} photos decoded"
    print(f"features of {len(pack.photos)} photos: {said}", flush=True)
