"""Writes what later steps read: manifest, packed photos, test objects, photos to explain.

Every name in the outputs is made here from class and content, because names of photos may hold anything: quotes, emoji, bytes
that are not text.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from contract import sheet
from contract.decode import decode
from contract.whole_file import whole_file, write_json
from training_code.prepare.inspection import Photo
from training_code.prepare.photo_pack import write_pack

SERVED_AS_THEY_ARE = ("jpg", "png")
LARGEST_TEST_BYTES = 5 * 1024 * 1024  # batch transform sends at most 6 MB a photo unless told otherwise
LARGEST_SIDE = 2048  # of a test photo that must be made smaller
EXPLAINED_SIDE = 1024
MANIFEST_COLUMNS = (
    "photo_id", "path", "label", "split", "object", "width", "height", "sha256", "left_out", "detail", "notes",
)  # fmt: skip
Read = Callable[[Photo], bytes]


def slugs(labels: Sequence[str]) -> dict[str, str]:
    """A folder name of plain ASCII for each label; different labels have different ones."""
    found: dict[str, str] = {}
    for label in labels:
        plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
        slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or "class"
        number = 2
        unique = slug
        while unique in found.values():
            unique, number = f"{slug}-{number}", number + 1
        found[label] = unique
    return found


def write_test(folder: Path, photos: Sequence[Photo], read: Read) -> dict[str, str]:
    """One object a test photo; its key below `test/` by photo id."""
    names = slugs(sorted({photo.label for photo in photos}))
    objects = {}
    for photo in photos:
        if photo.split != "test" or photo.left_out:
            continue
        data, extension = servable(read(photo), photo)
        key = f"{names[photo.label]}/{photo.photo_id}.{extension}"
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
        objects[photo.photo_id] = key
    return objects


def servable(data: bytes, photo: Photo) -> tuple[bytes, str]:
    """JPEG and PNG as they are; other formats as PNG, very large files as a smaller JPEG."""
    if photo.extension in SERVED_AS_THEY_ARE and len(data) <= LARGEST_TEST_BYTES:
        return data, photo.extension
    rgb = decode(data)
    if len(data) > LARGEST_TEST_BYTES:
        return _encoded(_shrunk(rgb, LARGEST_SIDE), "jpg"), "jpg"
    encoded = _encoded(rgb, "png")
    return (
        (encoded, "png") if len(encoded) <= LARGEST_TEST_BYTES else (_encoded(_shrunk(rgb, LARGEST_SIDE), "jpg"), "jpg")
    )


def _shrunk(rgb, longest: int):
    height, width = rgb.shape[:2]
    if max(height, width) <= longest:
        return rgb
    scale = longest / max(height, width)
    return cv2.resize(rgb, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)


def _encoded(rgb, extension: str) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if extension == "jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    done, data = cv2.imencode(f".{extension}", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise OSError(f"a photo of {rgb.shape[1]} x {rgb.shape[0]} pixels could not be encoded as {extension}")
    return data.tobytes()


def thumbnail(data: bytes, side: int = 112) -> bytes:
    """A small JPEG for a page."""
    return _encoded(_shrunk(decode(data), side), "jpg")


def write_photos(folder: Path, photos: Sequence[Photo], read: Read, classes: Sequence[str]) -> None:
    """Train and validation photos, packed."""
    by_id = {photo.photo_id: photo for photo in photos}
    packed = [
        (photo.photo_id, photo.label, photo.split, photo.extension)
        for photo in photos
        if photo.split in ("train", "validation") and not photo.left_out
    ]
    write_pack(folder, packed, lambda photo_id: read(by_id[photo_id]), classes)


def write_explain(
    folder: Path,
    photos: Sequence[Photo],
    read: Read,
    count: int,
    classes: Sequence[str],
    model_name: str,
    instance_type: str,
    seed: int,
) -> list[str]:
    """Photos to explain, as many classes as possible, and Clarify's configuration for them; the chosen photo ids.

    https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-processing-job-configure-analysis.html
    """
    by_label: dict[str, list[Photo]] = defaultdict(list)
    for photo in sorted(photos, key=lambda photo: photo.sha256):
        if photo.split == "test" and not photo.left_out and photo.label in classes:
            by_label[photo.label].append(photo)
    chosen: list[Photo] = []
    while len(chosen) < count and any(by_label.values()):
        for label in sorted(by_label):
            if by_label[label] and len(chosen) < count:
                chosen.append(by_label[label].pop(0))
    # Clarify sends all photos with one content type.
    keep = all(photo.extension == "jpg" and max(photo.width, photo.height) <= EXPLAINED_SIDE for photo in chosen)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    for photo in chosen:
        data = read(photo)
        if not keep:
            data = _encoded(_shrunk(decode(data), EXPLAINED_SIDE), "png")
        (folder / "photos" / f"{photo.photo_id}.{'jpg' if keep else 'png'}").write_bytes(data)
    config = {
        "dataset_type": "application/x-image",
        "label_headers": list(classes),
        "predictor": {
            "model_name": model_name,
            "instance_type": instance_type,
            "initial_instance_count": 1,
            "content_type": "image/jpeg" if keep else "image/png",
            "accept_type": "application/json",
            # Clarify makes an endpoint of its own, and its role may touch only those of this execution.
            "endpoint_name_prefix": model_name.removesuffix("-model"),
        },
        "methods": {
            "shap": {
                "num_samples": 192,
                "seed": seed,
                "image_config": {"model_type": "IMAGE_CLASSIFICATION", "num_segments": 24, "segment_compactness": 10},
            },
            "report": {"name": "report", "title": "What the model looked at"},
        },
    }
    write_json(folder / "config" / "analysis_config.json", config)
    return [photo.photo_id for photo in chosen]


def write_manifest(path: Path, photos: Sequence[Photo], objects: Mapping[str, str]) -> None:
    """Every photo that was looked at, also what was left out (split `left_out`, with the reason); facets as `facet_<name>`."""
    facets = list(dict.fromkeys(name for photo in photos for name in photo.placed.facets))
    with whole_file(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as stream:
        rows: list[list[Any]] = [[*MANIFEST_COLUMNS, *(f"facet_{name}" for name in facets)]]
        for photo in photos:
            split = "left_out" if photo.left_out else photo.split
            row = [photo.photo_id, photo.name, photo.label, split, objects.get(photo.photo_id, "")]
            row += [
                photo.width or "",
                photo.height or "",
                photo.sha256,
                photo.left_out,
                photo.detail,
                " ".join(photo.notes),
            ]
            rows.append([*row, *(photo.placed.facets.get(name, "") for name in facets)])
        sheet.write_rows(stream, rows)


def fingerprint(photos: Sequence[Photo]) -> str:
    """The same for the same photos, labels and splits, whatever they are called."""
    used = sorted(f"{photo.split}\t{photo.label}\t{photo.sha256}" for photo in photos if not photo.left_out)
    return hashlib.sha256("\n".join(used).encode("utf-8", "surrogateescape")).hexdigest()
