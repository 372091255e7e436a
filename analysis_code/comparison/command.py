"""The `compare` command: candidates' folders in, `comparison.json`, `comparison.csv` and `comparison.html` out.

A SageMaker processing job; `--test-uri` is where the test photos lie. Inputs below `<base>/processing/input/`:
`candidates/<name>/…` (see candidates.py), `asked/request.json` (what was asked) and `asked/outcomes.json` (what became of
each candidate, as the state machine saw it), `prepared/manifest.csv` (what the user calls each photo). Output:
`<base>/processing/output/comparison/`, with `winner.json` for a pipeline that goes on with the winner.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis_code.comparison.candidates import Candidate, read_candidates, relative_to, table_row
from analysis_code.comparison.page import render
from analysis_code.comparison.photos import disagreements, user_names
from analysis_code.comparison.prices import Prices
from analysis_code.comparison.recommend import choose, pareto_front, recommend
from analysis_code.comparison.statistics import Pair, compare_pairs
from contract import sheet
from contract.failure import base_directory
from contract.instances import Instances
from contract.measures import balanced_accuracy_interval, wilson_interval
from contract.state_file import read_state_file
from contract.whole_file import whole_file, write_json, write_text

RELATIVE = ("accuracy", "training_seconds", "latency_p50_ms")
PREFIXES = {"test": "", "validation": "validation_", "second": "second_"}
COSTS = ("latency_p50_ms", "disk_bytes", "dollars_per_million")


def run(arguments: Sequence[str]) -> None:
    """Read what the benchmarks left, compare it, write the page and its files."""
    parser = argparse.ArgumentParser(prog="python -m analysis_code compare")
    parser.add_argument("--test-uri", help="where the test photos lie, for pictures of some of them")
    test_uri = parser.parse_args(arguments).test_uri
    base = base_directory() / "processing"
    request = json.loads((base / "input" / "asked" / "request.json").read_text())
    outcomes = read_state_file("outcomes.json", (base / "input" / "asked" / "outcomes.json").read_bytes(), list)
    outcomes += request.get("left_out", [])
    prices = Prices.from_table(request["prices"], "prices") if request.get("prices") else Prices.read()
    candidates = read_candidates(base / "input" / "candidates", outcomes)
    result = compare(candidates, request, prices)
    photos = disagreements(candidates, test_uri, user_names(base / "input" / "prepared" / "manifest.csv"))
    output = base / "output" / "comparison"
    write(result, render(result, candidates, photos), output)
    write_json(output / "winner.json", winner(result, candidates, request))
    print(f"Compared {len(candidates)} candidates: {output / 'comparison.html'}")


def compare(candidates: Sequence[Candidate], request: Mapping[str, Any], prices: Prices) -> dict[str, Any]:
    """Everything the page and the files show, as one JSON object."""
    instances = Instances(**request["instances"])  # as decided, so with the deployment's own: no default stands here
    rows = [table_row(c, prices, instances) for c in candidates]
    done = [c for c in candidates if c.finished and "test" in c.splits]
    estimates = request.get("estimates", {})
    for row in rows:
        row["estimate_seconds"] = estimates.get(row["name"])
    for candidate in done:
        _add_intervals(candidate, next(r for r in rows if r["name"] == candidate.name))
    # What a smoke test answers says nothing of its architecture: it would only cost the correction more pairs.
    pairs = _pairs([c for c in done if c.description.get("pretrained", True)])
    finished = [r for r in rows if r["status"] == "finished"]
    learnt = [r for r in finished if r["pretrained"]]
    base = request.get("base") or (finished[0]["name"] if finished else None)
    base_row = next((r for r in finished if r["name"] == base), None)
    advice = recommend(finished, pairs, request.get("minimum"), request.get("weights"))
    return {
        "dataset": request.get("dataset"),
        "second_dataset": request.get("evaluate_on"),
        "base": base,
        "base_failed": bool(base and base_row is None),
        "candidates": rows,
        "relative": relative_to(finished, base, RELATIVE) if base_row else {},
        "pareto": {cost: sorted(pareto_front(learnt, cost)) for cost in COSTS},
        "pairs": [asdict(p) | {"distinguishable": p.distinguishable} for p in pairs],
        "chosen": asdict(choose(advice)),
        "recommendations": [asdict(r) for r in advice],
        "prices": {"as_of": prices.as_of, "region": prices.region, "source": prices.source,
                   "extraction_instance": instances.prepare, "training_instance": instances.training,
                   "serving_instance": instances.transform},
        "machine": next((c.benchmark.get("machine") for c in candidates if c.finished), None),
    }  # fmt: skip


def winner(result: Mapping[str, Any], candidates: Sequence[Candidate], request: Mapping[str, Any]) -> dict[str, Any]:
    """The candidate that was chosen and the pipeline's input for it; name None where none can be recommended."""
    name = result["chosen"]["candidate"]
    if name is None:
        return {"name": None}
    chosen = next(c for c in candidates if c.name == name)
    return {"name": name, "input": dict(request["pipeline_input"]) | {"model": chosen.description["model"]}}


def _pairs(done: Sequence[Candidate]) -> list[Pair]:
    """Only candidates that answered the very same photos, in the same order, can be paired."""
    if not done:
        return []
    photos = done[0].splits["test"].photo_ids
    different = [c.name for c in done if c.splits["test"].photo_ids != photos]
    if different:
        raise ValueError(
            f"{', '.join(different)} answered other test photos than {done[0].name}: benchmark them again."
        )
    return compare_pairs({c.name: c.splits["test"].correct for c in done})


def _add_intervals(candidate: Candidate, row: dict[str, Any]) -> None:
    for name, prefix in PREFIXES.items():
        split = candidate.splits.get(name)
        if split is None or not len(split.labels):
            continue
        row[f"{prefix}n"] = len(split.labels)
        row[f"{prefix}accuracy_interval"] = wilson_interval(int(split.correct.sum()), len(split.labels))
        row[f"{prefix}balanced_accuracy_interval"] = balanced_accuracy_interval(split.labels, split.predicted)


def write(result: Mapping[str, Any], page: str, folder: Path) -> None:
    """All three files, each complete or absent."""
    write_json(folder / "comparison.json", result)
    rows = result["candidates"]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with whole_file(folder / "comparison.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        sheet.write_rows(file, [columns, *([row.get(column, "") for column in columns] for row in rows)])
    write_text(folder / "comparison.html", page)
