"""What was run of the known candidates, and how: the table of docs/comparison.md, made from comparisons and not from memory.

    .venv/bin/python -m benchmarks.comparison LABEL=comparison.json [LABEL=…] [--write docs/comparison.md]

Each file is what `darkroom compare --json` printed. A candidate counts as run with published weights where one of them finished
so, else as a smoke test, else as not run, with the reason. With --write the table replaces what lies between the page's marks.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from contract.comparison_candidates import KNOWN, RANDOM_PREFIX

BEGIN, END = "<!-- runs: begin -->", "<!-- runs: end -->"
ENOUGH = 100  # test photos
Run = tuple[str, dict[str, Any]]


def table(runs: list[Run]) -> str:
    """One line a known candidate, the best evidence for it, then how long whole comparisons took."""
    lines = [
        "| candidate | run | on | accuracy (95 %) | second set | p50 | on disk | trained in |",
        "|---|---|---|---|---|---|---|---|",
        *(line for name in KNOWN for line in _lines(name, runs)),
        "",
        "| comparison | candidates | estimated | took | estimated / took |",
        "|---|---|---|---|---|",
    ]
    for label, one in runs:
        done = sum(row["status"] == "finished" for row in one["candidates"])
        estimated, took = one.get("estimated_seconds"), one.get("seconds")
        if estimated and took:  # one that found everything done was not estimated
            lines.append(f"| {label} | {done} | {estimated:.0f} s | {took:.0f} s | {estimated / took:.2f} |")
    return "\n".join(lines)


def _lines(name: str, runs: list[Run]) -> list[str]:
    """Every comparison with published weights; of smoke tests the one with the most photos; else why there is none."""
    random = f"{name}-{RANDOM_PREFIX.rstrip(':')}"
    rows = [(label, row) for label, one in runs for row in one["candidates"] if row["name"] in (name, random)]
    finished = [(label, row) for label, row in rows if row["status"] == "finished"]
    if not finished:
        reason = next((" ".join(str(row["reason"]).split()) for _, row in rows), "never asked for")
        return [f"| `{name}` | not run: {reason} | | | | | | |"]
    # A later comparison of the same question shows what an earlier one has measured.
    measured = {(row["accuracy"], row["latency_p50_ms"]): label for label, row in reversed(finished)}
    learnt = {label: row for label, row in finished if row["pretrained"] and label in measured.values()}
    # Of few photos only where there are no more: their intervals say little.
    learnt = {label: row for label, row in learnt.items() if row["n"] >= ENOUGH} or learnt
    shown = learnt or dict([max(finished, key=lambda one: one[1]["n"])])
    return [_line(name, label, row) for label, row in shown.items()]


def _line(name: str, label: str, row: dict[str, Any]) -> str:
    how = f"with {row['weights']}" if row["pretrained"] else "smoke test, random weights"
    low, high = row["accuracy_interval"]
    second = "" if row["second_accuracy"] is None else f"{row['second_accuracy']:.1%}"
    return (
        f"| `{name}` | {how} | {label} | {row['accuracy']:.1%} [{low:.1%}, {high:.1%}] | {second} | {row['latency_p50_ms']:.1f} ms | "
        f"{row['disk_bytes'] / 1e6:.1f} MB | {row['training_seconds']:.1f} s{'*' if row['features_from_cache'] else ''} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comparison")
    parser.add_argument("runs", nargs="+", metavar="LABEL=FILE")
    parser.add_argument("--write", type=Path, help="page with the marks")
    given = parser.parse_args()
    runs = []
    for one in given.runs:
        label, _, path = one.rpartition("=")
        runs.append((label, json.loads(Path(path).read_text(encoding="utf-8"))))
    text = table(runs)
    if given.write is None:
        print(text)
        return
    page = given.write.read_text(encoding="utf-8")
    before, found, rest = page.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise SystemExit(f"{given.write} has no {BEGIN} … {END} to write between.")
    given.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
