"""Where a table's header ends and its rows begin, and which rows do not fit: they are left out and counted, never cut to size."""

from __future__ import annotations

from collections.abc import Sequence

from contract.photo_set.columns import FILE_NAMES, LABEL_NAMES, NUMBER_NAMES, SPLIT_NAMES, plain
from contract.photo_set.table import Table

Row = tuple[int, list[str]]
_KNOWN = frozenset({*FILE_NAMES, *LABEL_NAMES, *NUMBER_NAMES, *SPLIT_NAMES})


def header_and_body(table: Table, at_file: int, first: int) -> tuple[list[str], list[Row]]:
    """`first`: the first row that names a photo. Titles above the header are told; an empty header: the table has none."""
    above = table.rows[:first]
    known = [at for at, (_, row) in enumerate(above) if any(plain(cell) in _KNOWN for cell in row)]
    at_header = known[-1] if known else 0
    header = list(above[at_header][1]) if above else []
    body = table.rows[at_header + 1 :] if above else table.rows
    if at_header:
        titles = " / ".join(" ".join(row).strip() for _, row in above[:at_header])
        table.notices.append(f"{at_header} line(s) above the header of {table.name} were passed over: {titles[:80]!r}.")
    if header and at_file and _one_more(header, body):
        header.insert(0, "")  # R writes the names of rows without a name of their column
    if again := [line for line, row in body if header and list(row) == header]:
        table.notices.append(
            f"{table.name} has its header again in {len(again):,} line(s), for example line {again[0]}."
        )
        body = [(line, row) for line, row in body if list(row) != header]
    return header, _that_fit(table, header, body)


def _one_more(header: Sequence[str], body: Sequence[Row]) -> bool:
    return bool(body) and all(len(row) == len(header) + 1 for _, row in body)


def _that_fit(table: Table, header: Sequence[str], body: Sequence[Row]) -> list[Row]:
    """A row with more cells than the header has a comma too many in it: its class may be cut in two."""
    if not header:
        return list(body)
    fitting = []
    for line, row in body:
        cells = next((at for at in range(len(row), 0, -1) if row[at - 1]), 0)
        if cells > len(header):
            table.bad.append((line, f"{cells} cells, and the header has {len(header)}: {', '.join(row)[:60]!r}"))
        else:
            fitting.append((line, row))
    return fitting
