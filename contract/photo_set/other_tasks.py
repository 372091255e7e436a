"""Says what a set without classes is instead: YOLO's, Pascal VOC's and COCO's annotations are boxes and masks, not classes of photos."""

from __future__ import annotations

from collections.abc import Sequence

from contract.failure import JobFailure
from contract.photo_set.files import File
from contract.photo_set.path_index import stem
from contract.photo_set.questions import Asked, some
from contract.photo_set.sources import Source

_LOOK = 1 << 20  # bytes at the beginning of a JSON file by which COCO's is known
_BOXES_IN_JSON = {
    "COCO": (b'"images"', b'"annotations"', b'"categories"', b'"licenses"', b'"info"'),
    "CreateML": (b'"annotations"', b'"coordinates"'),
    "Labelme": (b'"shapes"', b'"imagePath"'),
}
_MOST_JSON = 20
_ADVICE = (
    "Darkroom learns one class for a whole photo: cut the boxes out into photos of their own, in a folder per class"
)


def refuse_voc(files: Sequence[File], asked: Asked) -> None:
    """Pascal VOC's folders: the masks beside the photos would look like a class of their own."""
    if asked.labels != "auto" or asked.layout != "auto":
        return
    photos = any("JPEGImages" in file.parts[:-1] and file.is_photo for file in files)
    notes = [file for file in files if file.ending == "xml" and "Annotations" in file.parts[:-1]]
    if photos and notes:
        raise JobFailure(
            f"dataset: the folders JPEGImages and Annotations with {len(notes):,} .xml files are a set as Pascal VOC writes it: "
            f"boxes (object detection) and masks, not classes. {_ADVICE}; or name the classes in a table with file_name and "
            'label, and set "labels" to it.'
        )


def boxes_beside(files: Sequence[File]) -> JobFailure | None:
    """A note for each photo, named like it: boxes."""
    stems = {stem(file.parts[-1]) for file in files if file.is_photo}
    for end, what in (("txt", "YOLO"), ("xml", "Pascal VOC")):
        those = [file for file in files if file.ending == end and file.parts[-1].rpartition(".")[0] in stems]
        if len(those) > 1 and len(those) * 2 >= len(stems):
            return JobFailure(
                f"dataset: {len(those):,} .{end} files are named like the photos (boxes as {what} writes them: "
                f"object detection), and no folder names a class. {_ADVICE}."
            )
    return None


def coco(source: Source, files: Sequence[File]) -> JobFailure | None:
    """JSON that begins as COCO's, CreateML's or Labelme's does, whatever it is called."""
    those = [file for file in files if file.ending == "json"][:_MOST_JSON]
    found = {file.name: writer for file in those if (writer := _writer_of_boxes(source, file))}
    if not found:
        return None
    return JobFailure(
        f"dataset: {some(found)} holds boxes or masks as {next(iter(found.values()))} writes them (object detection, segmentation), "
        f"and no folder names a class. {_ADVICE}; or write a CSV with file_name and label."
    )


def _writer_of_boxes(source: Source, file: File) -> str | None:
    try:
        beginning = source.read(file, _LOOK)
    except OSError:
        return None
    if beginning.lstrip()[:1] not in (b"{", b"["):
        return None
    return next(
        (writer for writer, words in _BOXES_IN_JSON.items() if sum(word in beginning for word in words) >= 2), None
    )
