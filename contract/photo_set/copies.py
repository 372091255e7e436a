"""A copy of the set inside itself: `flowers/rose/1.jpg` and `flowers/flowers/rose/1.jpg` count once (compared by content)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from contract.photo_set.files import File
from contract.photo_set.questions import Layout

COMPARED = 20  # files of a copy that are read, so that equal sizes alone decide nothing
Same = Callable[[File, File], bool]


def without_copies(photos: Sequence[File], layout: Layout, same: Same) -> Sequence[File]:
    """`flowers/rose/1.jpg` and `flowers/flowers/rose/1.jpg`: the same files once more, one folder deeper, count once."""
    by_parts = {file.parts: file for file in photos}
    all_below: Counter[tuple[str, ...]] = Counter()
    pairs: dict[tuple[str, ...], list[tuple[File, File]]] = defaultdict(list)
    for file in photos:
        for at in range(min(4, len(file.parts) - 2)):
            prefix = file.parts[: at + 1]
            all_below[prefix] += 1
            other = by_parts.get((*prefix[:-1], *file.parts[at + 1 :]))
            if other is not None and other.size == file.size:
                pairs[prefix].append((file, other))
    copies = {
        prefix
        for prefix, found in pairs.items()
        if len(found) == all_below[prefix] and all(same(*p) for p in found[:COMPARED])
    }
    kept = (
        [file for file in photos if not any(file.parts[: len(prefix)] == prefix for prefix in copies)]
        if copies
        else photos
    )
    for prefix in sorted(copies):
        folder = "/".join(prefix)
        layout.passed_over += [(file.name, f"{folder} is a copy of the set inside itself") for file, _ in pairs[prefix]]
        layout.notices.append(
            f"{folder} holds the same {len(pairs[prefix]):,} files as the folder above it; one copy counts."
        )
    return kept or photos
