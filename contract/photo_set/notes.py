"""A line for whatever was not used: bad lines, files that are not there, photos without a class, other files, empty folders."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from contract.failure import JobFailure
from contract.photo_set import masks
from contract.photo_set.files import PACKS, RAW_ENDINGS, UNREAD_TABLES, File
from contract.photo_set.labels import Meaning
from contract.photo_set.questions import Layout, some
from contract.photo_set.sources import LEFT_BEHIND, Source


def tell(layout: Layout, source: Source, files: Sequence[File], meanings: Sequence[Meaning]) -> None:
    """A line for whatever was not used."""
    for meaning in meanings:
        name = meaning.table.name
        layout.notices += meaning.notices
        for doubt in meaning.table.doubts:
            layout.doubt(doubt)
        if meaning.bad:
            line, why = meaning.bad[0]
            text = f"{name}: {len(meaning.bad):,} line(s) left out, for example line {line}: {why}."
            layout.notices.append(text)
            if len(meaning.bad) > len(meaning.said):
                raise JobFailure(f"dataset: most lines of {name} cannot be used. {text}")
            layout.doubt(text)
        if meaning.unfound:
            layout.passed_over += [(path, f"named in {name}, but not in the data set") for path in meaning.unfound]
            layout.notices.append(
                f"{name} names {len(meaning.unfound):,} file(s) that are not among the photos: {some(meaning.unfound)}."
            )
            layout.doubt(layout.notices[-1])
        if meaning.unclear:
            layout.passed_over += [
                (path, f"named in {name}, but several photos have this name") for path in meaning.unclear
            ]
            layout.notices.append(
                f"{name} names {len(meaning.unclear):,} file(s) that may be several photos: {some(meaning.unclear)}; "
                f"write their folders, too."
            )
            layout.doubt(layout.notices[-1])
    _tell_reasons(layout)
    used = {meaning.table.name for meaning in meanings}
    raw = [file.name for file in files if file.ending in RAW_ENDINGS and not file.is_photo]
    used.update(raw)
    unused = [file for file in files if not file.is_photo and file.name not in used]
    if unused:
        other = Counter(f".{file.ending}" if file.ending else "no ending" for file in unused)
        counted = ", ".join(f"{count:,} {name}" for name, count in other.most_common(6))
        examples = some(file.name for file in unused)
        layout.notices.append(f"Files that are not photos were not used: {counted} ({examples}).")
    packs = [file.name for file in files if file.ending in PACKS]
    if packs:
        layout.notices.append(f"Photos inside of {some(packs)} are not read: unpack them, or move the file(s) away.")
        layout.doubt(layout.notices[-1])
    unread = [
        file.name for file in files if file.ending in UNREAD_TABLES - PACKS and file.ending not in ("xml", "dat", "mat")
    ]
    if unread:
        layout.notices.append(f"{some(unread)}: tables of this kind are not read. Save as CSV what should count.")
        layout.doubt(layout.notices[-1])
    if raw:
        layout.notices.append(
            f"{len(raw):,} picture(s) of kinds that are not read: {some(raw)}. Save them as JPEG or PNG, or go on without them."
        )
        layout.doubt(layout.notices[-1])
    left = [name for name, why in source.passed_over if why == LEFT_BEHIND]
    for reason in dict.fromkeys(why for _, why in source.passed_over if why != LEFT_BEHIND):
        those = [name for name, why in source.passed_over if why == reason]
        layout.notices.append(f"{len(those):,} not followed or read: {reason}: {some(those)}.")
        layout.doubt(layout.notices[-1])
    if left:
        layout.notices.append(
            f"{len(left):,} file(s) or folder(s) that systems and tools leave behind were passed over: {some(left)}."
        )
    _tell_empty_folders(layout, source, [file for file in files if file.is_photo])


def _tell_reasons(layout: Layout) -> None:
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, why in layout.passed_over:
        reasons[why].append(name)
    for why, those in reasons.items():
        if "is a copy of the set" not in why and "named in" not in why and why != masks.WHY:
            layout.notices.append(f"{len(those):,} photo(s) not used: {why}: {some(those)}.")
            if "without labels" not in why and "as the input says" not in why:
                layout.doubt(layout.notices[-1])
        elif why.startswith("not named in"):
            layout.notices.append(f"{len(those):,} photo(s) {why}: {some(those)}.")


def _tell_empty_folders(layout: Layout, source: Source, photos: Sequence[File]) -> None:
    full = {file.parts[:end] for file in photos for end in range(1, len(file.parts))}
    parents = Counter(parts[:-1] for parts in full)
    empty = sorted("/".join(parts) for parts in source.folders - full if parents[parts[:-1]] > 1)
    if empty:
        layout.notices.append(f"{len(empty):,} folder(s) hold no photo and are no class: {some(empty)}.")
        layout.doubt(layout.notices[-1])
