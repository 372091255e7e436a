"""What a file is, by how it begins: the content decides, never the name.

Needs nothing but the standard library, so that a command line without a decoder can ask, too.
"""

import re
import struct
from typing import Final

# Asking Pillow to guess would load all its plugins, some of them for formats nobody reviews.
_SIGNATURES: Final = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WEBP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("BMP", re.compile(rb"BM")),
    ("TIFF", re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+")),
)
KINDS: Final = (*(name for name, _ in _SIGNATURES), "AVIF", "HEIC")
BEGINNING: Final = 132  # bytes that are enough to tell
# ISO/IEC 23008-12 (HEIF), B.4; AV1 image file format, 6. `mif1` and `msf1` say only that it is a picture of some codec.
_HEVC: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AV1: Final = frozenset({b"avif", b"avis"})
_SAVE: Final = "save it as JPEG or PNG"
_RAW: Final = re.compile(
    rb"II\*\0....CR|IIRO|IIRS|MMOR|IIU\0|FUJIFILMCCD-RAW|FOVb|\0MRM|....ftypcrx ", re.DOTALL
)  # Canon's begin like TIFF
_OTHERS: Final = (
    (_RAW, "a camera's raw file", _SAVE),
    (re.compile(rb"....ftyp", re.DOTALL), "a video (MP4 or MOV)", "take single pictures out of it"),
    (re.compile(rb"\0\0\0\x0cJXL |\xff\x0a"), "a JPEG XL picture", _SAVE),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "a JPEG 2000 picture", _SAVE),
    (re.compile(rb"8BPS"), "a Photoshop document", _SAVE),
    (re.compile(rb"%PDF"), "a PDF document", "take the pictures out of it"),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?<svg", re.IGNORECASE), "an SVG drawing", _SAVE),
    (re.compile(rb"\s*<(!doctype )?html", re.IGNORECASE), "a web page", "fetch the picture itself"),
    (re.compile(rb"\x1a\x45\xdf\xa3|RIFF....AVI ", re.DOTALL), "a video", "take single pictures out of it"),
    (re.compile(rb"PK\x03\x04"), "a zip archive", "unpack it"),
    (
        re.compile(rb"P[1-7f]\s|#\?R(?:ADIANCE|GBE)|v/1\x01|DDS |\x00\x00[\x02\x0a]\0\0"),
        "a picture of a kind that is not read (PNM, HDR, EXR, DDS, TGA)",
        _SAVE,
    ),
    (re.compile(rb".{128}DICM", re.DOTALL), "a DICOM file", "export its picture as PNG"),
    (re.compile(rb"version https://git-lfs"), "a Git LFS pointer, not the file itself", "run git lfs pull"),
)


def kind_of(data: bytes) -> str | None:
    """One of KINDS, or None."""
    beginning = bytes(data[:BEGINNING])
    if _RAW.match(beginning):
        return None
    if beginning[4:8] == b"ftyp":
        brands = _brands(beginning)
        return "AVIF" if brands & _AV1 else "HEIC" if brands & _HEVC else None
    return next((name for name, signature in _SIGNATURES if signature.match(beginning)), None)


def _brands(beginning: bytes) -> set[bytes]:
    end = min(struct.unpack_from(">I", beginning)[0], len(beginning))
    return {beginning[8:12], *(beginning[at : at + 4] for at in range(16, end - 3, 4))}


def other_kind(data: bytes) -> str:
    """What a file is that is none of KINDS, and what to do about it, as the end of a sentence."""
    beginning = bytes(data[:BEGINNING])
    for signature, name, advice in _OTHERS:
        if signature.match(beginning):
            return f"it is {name}: {advice}"
    return f"it begins with {beginning[:12]!r}"
