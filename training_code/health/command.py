"""`health`: evaluates the rules on what a training left behind, as a processing job.

`python -m training_code health [--rules-config FILE] [--input DIR] [--output DIR] [--evaluated FILE] | --list`

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

from contract.failure import JobFailure, base_directory
from contract.health_rules import RULE_NAMES
from contract.whole_file import write_text
from training_code.health.chosen import PROFILER_REPORT, chosen_rules
from training_code.health.managed import read_statuses, with_service_outcomes, write_evaluations
from training_code.health.observations import Observations
from training_code.health.report import health_report
from training_code.health.verdict import metric_lines, stop_of, verdict
from training_code.profiling.report import profiler_report
from training_code.profiling.summary import suggestion, summary


def main(arguments: Sequence[str] = ()) -> int:
    base = base_directory()
    parser = argparse.ArgumentParser(prog="health", description=__doc__)
    parser.add_argument("--rules-config", type=Path, help='JSON: {"rules": [{"name": …, "parameters": {…}}]}')
    parser.add_argument("--input", type=Path, default=base / "processing" / "input" / "training")
    parser.add_argument("--output", type=Path, default=base / "processing" / "output" / "health")
    parser.add_argument("--evaluated", type=Path, help="what SageMaker's own rules said, from DescribeTrainingJob")
    parser.add_argument("--list", action="store_true", help="print the names of all rules as JSON, and end")
    given = parser.parse_args(list(arguments))
    if given.list:
        print(json.dumps([*RULE_NAMES, PROFILER_REPORT]))
        return 0
    configuration = _configuration(given.rules_config)
    if not given.input.is_dir():
        raise JobFailure(
            f"health: no folder {given.input}; expected the output of a training job there (its "
            f"output.tar.gz, or its tree)."
        )
    evaluated = read_statuses(given.evaluated) if given.evaluated else []
    result = judge(given.input, given.output, configuration, evaluated)
    print(metric_lines(result))
    for outcome in result["rules"]:
        print(f"health rule {outcome['name']}: {outcome['status']}: {outcome['seen']}")
    return 0


def judge(
    source: Path, output: Path, configuration: dict[str, Any], evaluated: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Evaluates the rules on what lies below `source`, writes the files and gives what `health.json` holds."""
    rules = chosen_rules(configuration)
    with tempfile.TemporaryDirectory() as scratch:
        observed, stopped = _observed(source, Path(scratch))
        own = [rule.evaluate(observed, parameters) for rule, parameters in rules]
    outcomes = with_service_outcomes(_each_once(own), evaluated)
    said = verdict(outcomes, stopped)
    result = {
        "schema_version": 1, "status": said["status"], "issues_found": said["issues_found"], "no_data": said["no_data"],
        "issues": said["issues"], "rules": outcomes, "stopped_by": stopped, "profile": summary(observed),
        "suggestion": suggestion(outcomes, observed),
    }  # fmt: skip
    pages = {
        "health.html": health_report(observed, outcomes, stopped),
        "profiler-report.html": profiler_report(observed, outcomes, "Training profile"),
    }
    output.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        write_text(output / name, text)
    write_text(output / "verdict.json", json.dumps(said, indent=1))
    write_text(output / "health.json", json.dumps(result, indent=1))
    if any("RuleConfigurationName" in entry for entry in configuration.get("rules") or ()):
        write_evaluations(output, configuration["rules"], own, pages)
    return result


def _each_once(outcomes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rules inside a ProfilerReport in its place; a rule that was also asked for by itself counts once."""
    named = {o["name"] for o in outcomes}
    parts = [
        part
        for o in outcomes
        if o["name"] == PROFILER_REPORT
        for part in o["values"]["rules"]
        if part["name"] not in named
    ]
    return [o for o in outcomes if o["name"] != PROFILER_REPORT] + parts


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
