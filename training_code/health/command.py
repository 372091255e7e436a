"""`health`: evaluates the rules on what a training left behind, as a processing job.

`python -m training_code health [--rules-config FILE] [--input DIR] [--output DIR]`

Reads `<base>/processing/input/training` (a folder with `observations/`, an `output.tar.gz`, or smdebug's own files), writes
`health.json`, `verdict.json` (the same in a few words), `health.html` and `profiler-report.html` to
`<base>/processing/output/health`. Findings do not fail the job: they
are an answer. A training that left nothing to judge is answered by `NoData` of every rule, with the reason.
"""

from __future__ import annotations

import argparse
import json
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_code.contract.failure import JobFailure, base_directory
from training_code.health.observations import Observations
from training_code.health.report import health_report
from training_code.health.rule import chosen_rules
from training_code.health.verdict import metric_lines, stop_of, verdict
from training_code.profiling.report import profiler_report
from training_code.profiling.summary import suggestion, summary


def main(arguments: Sequence[str] = ()) -> int:
    base = base_directory()
    parser = argparse.ArgumentParser(prog="health", description=__doc__)
    parser.add_argument("--rules-config", type=Path, help='JSON: {"rules": [{"name": …, "parameters": {…}}]}')
    parser.add_argument("--input", type=Path, default=base / "processing" / "input" / "training")
    parser.add_argument("--output", type=Path, default=base / "processing" / "output" / "health")
    given = parser.parse_args(list(arguments))
    configuration = _configuration(given.rules_config)
    if not given.input.is_dir():
        raise JobFailure(
            f"health: no folder {given.input}; expected the output of a training job there (its "
            f"output.tar.gz, or its tree)."
        )
    result = judge(given.input, given.output, configuration)
    print(metric_lines(result))
    for outcome in result["rules"]:
        print(f"health rule {outcome['name']}: {outcome['status']}: {outcome['seen']}")
    return 0


def judge(source: Path, output: Path, configuration: dict[str, Any]) -> dict[str, Any]:
    """Evaluates the rules on what lies below `source`, writes the files and gives what `health.json` holds."""
    rules = chosen_rules(configuration)
    with tempfile.TemporaryDirectory() as scratch:
        observed, stopped = _observed(source, Path(scratch))
        outcomes = [rule.evaluate(observed, parameters) for rule, parameters in rules]
    said = verdict(outcomes, stopped)
    result = {
        "schema_version": 1, "status": said["status"], "issues_found": said["issues_found"], "no_data": said["no_data"],
        "issues": said["issues"], "rules": outcomes, "stopped_by": stopped, "profile": summary(observed),
        "suggestion": suggestion(outcomes, observed),
    }  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    _write(output / "health.html", health_report(observed, outcomes, stopped))
    _write(output / "profiler-report.html", profiler_report(observed, outcomes, "Training profile"))
    _write(output / "verdict.json", json.dumps(said, indent=1))
    _write(output / "health.json", json.dumps(result, indent=1))
    return result


def _configuration(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JobFailure(
            f'health: --rules-config {path} cannot be read: {error}; expected JSON {{"rules": [{{"name": …}}]}}.'
        ) from error
    if isinstance(content, list):
        content = {"rules": content}
    try:
        chosen_rules(content)
    except (ValueError, AttributeError, TypeError) as error:
        raise JobFailure(f"health: --rules-config {path}: {error}") from error
    return content


def _observed(source: Path, scratch: Path) -> tuple[Observations, dict[str, Any] | None]:
    for archive in sorted(source.rglob("output.tar.gz")):
        with tarfile.open(archive) as packed:
            packed.extractall(scratch, filter="data")
    folder = next((f.parent for root in (source, scratch) for f in sorted(root.rglob("steps.jsonl"))), None)
    observed = Observations.read(folder) if folder else Observations()
    stopped = stop_of(folder) if folder else None
    trial = next((f.parent.parent for root in (source, scratch) for f in sorted(root.rglob("collections/*"))), None)
    if trial is not None and not (observed.tensors and observed.steps):
        from training_code.health.trial import with_smdebug

        observed = with_smdebug(observed, trial)
    return observed, stopped


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
