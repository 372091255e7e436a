"""What a person should know about the photos: each kind of finding, what it means, and what was done about it.

Left out are photos that cannot teach or would make the test dishonest; everything else is only named, because what looks odd
here (a dark X-ray, a blurred background) may be what the classifier must learn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from training_code.prepare.inspection import Photo

DARK = 0.25  # the brightest 1 % of the pixels is darker than this
WASHED_OUT = 0.85  # the darkest 5 % of the pixels is brighter than this
BLANK = 0.008  # contrast below: one colour and nothing else
BLURRY = 4.0  # variance of the Laplacian at 256 pixels
ODD_AREA = 10.0  # times, or part of, the median area
ODD_SHAPE = 2.5  # times, or part of, the median width : height
SMALL_CLASS = 20  # training photos
UNBALANCED = 3.0  # largest class : smallest class

LEFT_OUT = {
    "empty": ("Files without content", "Left out."),
    "too_many_bytes": ("Files that are too large", "Left out; the limit is 64 MiB."),
    "too_many_pixels": ("Photos with too many pixels", "Left out; scale them down."),
    "too_costly": (
        "Photos that cost too much memory or time to decode",
        "Left out; scale them down, or save them as baseline JPEG.",
    ),
    "not_a_photo": ("Files that are no photo, whatever their name says", "Left out."),
    "truncated": ("Photos that end early", "Left out; copy them again from their origin."),
    "corrupt": (
        "Damaged photos",
        "Left out; copy them again from their origin (HEIC of a phone: or export it as JPEG).",
    ),
    "unsupported_mode": ("Photos whose kind of pixels cannot be read", "Left out; save them as 8-bit JPEG or PNG."),
    "too_small": ("Photos of a few pixels", "Left out: there is nothing to learn from."),
    "exact_duplicate": ("The same file more than once in one split", "One copy is kept."),
    "conflicting_label": (
        "The same file under two labels",
        "All copies left out of training: one label must be wrong.",
    ),
    "leakage": ("The same file in two splits", "Left out of the split that learns; test and validation keep theirs."),
    "near_duplicate": ("Almost the same picture more than once", "One is kept, as near_duplicates asks."),
    "near_leakage": ("Almost the same picture in two splits", "Left out of the split that learns."),
}
NOTED = {
    "near_duplicate": ("Almost the same picture twice in one split", "Kept; drawn into the same split."),
    "near_split": (
        "Almost the same picture in two splits, and kept",
        "So many, or asked for: the test says less about new scenes than it seems to.",
    ),
    "conflicting_label_test": (
        "The same test file under two labels",
        "Kept, as published; one of the labels must be wrong.",
    ),
    "exact_duplicate_test": ("The same file more than once in test", "Kept, as published."),
    "blank": ("One colour and nothing else", "Kept; look at them."),
    "dark": ("Dark photos", "Kept; look at them."),
    "washed_out": ("Washed-out photos", "Kept; look at them."),
    "blurry": ("Blurred photos", "Kept; look at them."),
    "odd_size": ("Much larger or smaller than the others", "Kept; resized like the others."),
    "odd_shape": ("Much wider or taller than the others", "Kept; the centre is used."),
    "misnamed": ("The name says another format than the content", "Kept; the content decides."),
    "cmyk": ("CMYK photos", "Converted to RGB."),
    "16_bit": ("16-bit photos", "Scaled to 8 bit."),
    "stretched": (
        "16-bit photos that use only a part of their range",
        "Brightened: their 8, 10, 12 or 14 bits became the whole range, photo by photo.",
    ),
    "without_end": ("JPEGs without their last two bytes", "Used: all their pixels are there."),
    "reduced": ("Photos of more than 33 megapixels", "Halved in width and height while they were decoded."),
    "grey": ("Grey photos", "The grey is used for red, green and blue."),
    "transparent": ("Transparent photos", "Laid on white."),
    "rotated": ("Photos with an EXIF or TIFF orientation", "Turned upright."),
    "animated": (
        "Animations, and pictures of several pages",
        "The first frame or page is used, and nothing is learnt from the others.",
    ),
}
HARMLESS = frozenset(
    {"misnamed", "cmyk", "16_bit", "reduced", "without_end", "grey", "transparent", "rotated", "animated"}
)


@dataclass(frozen=True)
class Finding:
    """`level`: left_out, look (a person should), or treated (nothing to do)."""

    kind: str
    level: str
    title: str
    treatment: str
    photos: list[Photo] = field(default_factory=list)
    count: int = 0


def note_odd_photos(photos: Sequence[Photo]) -> None:
    """Add the notes that need the other photos, or a limit, to judge."""
    readable = [photo for photo in photos if photo.readable]
    area = median(photo.width * photo.height for photo in readable)
    shape = median(photo.width / photo.height for photo in readable)
    for photo in readable:
        if photo.contrast < BLANK:
            photo.notes.append("blank")
        else:
            if photo.bright_end < DARK:
                photo.notes.append("dark")
            if photo.dark_end > WASHED_OUT:
                photo.notes.append("washed_out")
            if photo.sharpness < BLURRY:
                photo.notes.append("blurry")
        if not 1 / ODD_AREA <= photo.width * photo.height / area <= ODD_AREA:
            photo.notes.append("odd_size")
        if not 1 / ODD_SHAPE <= (photo.width / photo.height) / shape <= ODD_SHAPE:
            photo.notes.append("odd_shape")
        if photo.split == "test":
            photo.notes = [
                f"{note}_test" if note in ("conflicting_label", "exact_duplicate") else note for note in photo.notes
            ]


def findings(
    photos: Sequence[Photo], passed_over: Sequence[tuple[str, str]], alike: Sequence[Sequence[str]] = ()
) -> list[Finding]:
    """Everything found, most serious first."""
    found = []
    for kind, (title, treatment) in LEFT_OUT.items():
        those = [photo for photo in photos if photo.left_out == kind]
        if those:
            found.append(Finding(kind, "left_out", title, treatment, those, len(those)))
    if passed_over:
        why = "; ".join(f"{count} × {reason}" for reason, count in Counter(r for _, r in passed_over).most_common(4))
        found.append(
            Finding("passed_over", "left_out", "Files that are no part of the data set", why, [], len(passed_over))
        )
    for group in alike:
        title = f"Class names that are almost alike: {' and '.join(map(repr, group))}"
        treatment = "Kept as different classes; to make one of them, set alike_names to merge."
        found.append(Finding("class_names_alike", "look", title, treatment, [], len(group)))
    found += _class_findings(photos)
    for kind, (title, treatment) in NOTED.items():
        those = [photo for photo in photos if kind in photo.notes and not photo.left_out]
        if those:
            found.append(Finding(kind, "treated" if kind in HARMLESS else "look", title, treatment, those, len(those)))
    return found


def _class_findings(photos: Sequence[Photo]) -> list[Finding]:
    counts = Counter(photo.label for photo in photos if not photo.left_out and photo.split == "train")
    found = []
    small = sorted(label for label, count in counts.items() if count < SMALL_CLASS)
    if small:
        named = ", ".join(f"{label} ({counts[label]})" for label in small[:10]) + (" …" if len(small) > 10 else "")
        title = f"Classes with fewer than {SMALL_CLASS} training photos: {named}"
        found.append(Finding("small_class", "look", title, "Kept; their results will be uncertain.", [], len(small)))
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    if many >= UNBALANCED * few:
        title = f"Unbalanced classes: {many} of {most}, {few} of {least}"
        treatment = "Rare classes count for more in training (hyperparameter class_balance)."
        found.append(Finding("unbalanced", "treated", title, treatment, [], len(counts)))
    return found
