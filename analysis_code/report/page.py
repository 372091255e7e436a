"""`index.html` of a run: chooses what to show of each piece; how it looks is the template's business."""

import importlib.metadata
import json
import platform
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from analysis_code import pages
from analysis_code.clarify.meaning import MEANINGS, reading, why_absent
from analysis_code.clarify.page import bias_sections
from analysis_code.pages import bars, charts
from analysis_code.report import kept_weights
from analysis_code.report.inputs import Missing
from analysis_code.report.results import bias_findings
from analysis_code.report.run import Run
from analysis_code.report.training import Trial

CONTENTS = [
    ("summary", "Summary"), ("evaluation", "Evaluation"), ("data", "Data"), ("tuning", "Tuning"),
    ("training", "Training"), ("health", "Health"), ("explanations", "Explanations"), ("bias", "Bias"),
    ("timeline", "Timeline"), ("reproduce", "Reproduce"),
]  # fmt: skip
# Written by the health job; they lie beside this page.
HEALTH_PAGES = ("health.html", "profiler-report.html")
SPLITS = ("train", "validation", "test")


class Data(NamedTuple):
    """Photos per class and split, largest class first; `balance`: largest over smallest in training."""

    rows: list[tuple[str, list[int]]]
    splits: list[str]
    total: int
    balance: float | None


def write_page(path: Path, run: Run) -> None:
    """Render the page."""
    folder = run.folder / "explanations"
    tuned = sorted({name for trial in run.tuning.trials for name in trial.hyperparameters}) if run.tuning else []
    timeline = _timeline(run)
    pages.write_page(
        path,
        "report.html.j2",
        title=run.noted("input", "name") or run.noted("names", "execution") or "Training run",
        subtitle=_subtitle(run),
        contents=CONTENTS,
        bars=bars,
        charts=charts,
        model=_model(run),
        gate=_gate(run),
        unreadable={name.replace("_", " "): reason for name, reason in run.unreadable().items()},
        evaluation=run.evaluation,
        accuracy_marks=_accuracy_marks(run),
        mistake_pictures=run.pictures,
        data=_data(run.photos),
        findings=_findings(run.data_report),
        tuning=run.tuning,
        tuned_names=tuned,
        trials_ranked=_ranked(run),
        short_names=_short_names(run),
        tuning_plots=_tuning_plots(run, tuned),
        noted_tuning=run.noted("tuning", "hyperparameters"),
        curves=_curves(run),
        kept_weights=kept_weights.sentence(run, marked=_kept_epoch(run) is not None),
        training_facts=_training_facts(run),
        hyperparameters=sorted((name, value) for name, value in run.hyperparameters.items() if value != ""),
        health=_health(run.health),
        run_uri=run.noted("names", "uri"),
        health_pages=[name for name in HEALTH_PAGES if (run.folder / "health" / name).is_file()],
        explanations=_explanations(run),
        picture=lambda name: pages.data_uri((folder / name).read_bytes()),
        bias_sections=(bias_sections(run.bias) or Missing("analysis.json holds no metric")) if run.bias else run.bias,
        bias_findings=_bias_sentences(run),
        meanings=MEANINGS,
        reading=reading,
        why_absent=why_absent,
        timeline=timeline,
        total_seconds=max(end for _, _, end, _ in timeline) if timeline else None,
        facts=_facts(run),
        execution_input=json.dumps(run.noted("input"), indent=2, ensure_ascii=False) if run.noted("input") else None,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _subtitle(run: Run) -> str:
    parts = [run.noted("names", "execution"), run.noted("input", "dataset")]
    return " · ".join(part for part in parts if part) or "what the steps of a run left"


def _model(run: Run) -> dict[str, Any]:
    values = run.hyperparameters
    how = [f"fine-tuned: {values['fine_tune']}"] if "fine_tune" in values else []
    if "pretrained" in values:
        how.append("pretrained" if values["pretrained"] == "true" else "from random weights")
    if values.get("image_size", "0") != "0":  # 0: the size that the weights were trained with
        how.append(f"{values['image_size']} pixels")
    if kept_weights.refitted(run):
        how.append("refitted on training and validation photos")
    return {"architecture": values.get("model"), "how": ", ".join(how)}


def _gate(run: Run) -> dict[str, Any]:
    asked = (run.plan or {}).get("quality_gate") or {}
    met = run.noted("gate", "met")
    text = f"{asked['metric'].replace('_', ' ')} ≥ {asked['minimum']}" if asked else "no gate was planned"
    return {"met": met, "text": text}


def _accuracy_marks(run: Run) -> list[tuple[str, float]]:
    if not run.evaluation:
        return []
    marks = [("always the largest class:", run.evaluation.majority)]
    asked = (run.plan or {}).get("quality_gate") or {}
    if asked.get("metric") == "accuracy":
        marks.append(("gate:", float(asked["minimum"])))
    return marks


def _data(photos: list[dict[str, str]] | Missing) -> Data | Missing:
    if isinstance(photos, Missing):
        return photos
    if not photos or not {"label", "split"} <= set(photos[0]):
        return Missing("manifest.csv has no rows with label and split")
    counts = Counter((photo["label"], photo["split"]) for photo in photos)
    used = {split for _, split in counts}
    splits = [split for split in SPLITS if split in used]
    labels = {label for label, split in counts if split in SPLITS}
    rows = [(label, [counts[label, split] for split in splits]) for label in labels]
    rows.sort(key=lambda row: (-sum(row[1]), row[0]))
    sizes = [counts[label, "train"] for label in labels]
    balance = max(sizes) / min(sizes) if sizes and min(sizes) else None
    return Data(rows, splits, sum(sum(values) for _, values in rows), balance)


def _findings(report: dict[str, Any] | Missing) -> list[dict[str, Any]] | Missing:
    if isinstance(report, Missing):
        return report
    found = report.get("findings")
    if not isinstance(found, list):
        return Missing("data_report.json has no list of findings")
    return [
        {
            "name": one.get("title") or one.get("name") or one.get("kind") or "?",
            "count": one.get("count", len(one.get("photos", []))),
            "treatment": one.get("treatment", ""),
        }
        for one in found
    ]


def _ranked(run: Run) -> list[Trial]:
    if not run.tuning:
        return []
    sign = -1 if run.tuning.higher_is_better else 1
    last = float("inf")
    return sorted(run.tuning.trials, key=lambda one: last if one.objective is None else sign * one.objective)


def _short_names(run: Run) -> dict[str, str]:
    """The names of the trials without that of their job, which all of them begin with."""
    return (
        {trial.name: trial.name.removeprefix(f"{run.tuning.job}-") for trial in run.tuning.trials} if run.tuning else {}
    )


def _tuning_plots(run: Run, names: list[str]) -> list[Markup]:
    """The objective over each hyperparameter that took more than one value."""
    if not run.tuning:
        return []
    scored = [trial for trial in run.tuning.trials if trial.objective is not None]
    plots = []
    for name in names:
        mine = [trial for trial in scored if name in trial.hyperparameters]
        if len({trial.hyperparameters[name] for trial in mine}) < 2:
            continue
        points = [
            (_value(trial.hyperparameters[name]), trial.objective, f"{trial.name}: {pages.number(trial.objective)}")
            for trial in mine
        ]
        best = next(
            (place for place, one in enumerate(mine) if run.tuning.best and one.name == run.tuning.best.name), None
        )
        plots.append(charts.scatter(points, name, run.tuning.objective_name, best))
    return plots


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _curves(run: Run) -> list[Markup] | Missing:
    """Losses together, scores together; the mark is the best epoch of the objective, as the training keeps it."""
    if isinstance(run.epochs, Missing):
        return run.epochs
    rows = [row for row in run.epochs if isinstance(row.get("epoch"), int | float)]
    names = sorted(
        {name for row in rows for name, value in row.items() if ":" in name and isinstance(value, int | float)}
    )
    if not names:
        return Missing("epochs.jsonl holds no metrics")
    groups = [[name for name in names if name.endswith("loss")], [name for name in names if not name.endswith("loss")]]
    plots = []
    for group in groups:
        series = [charts.Series(name, [(row["epoch"], row[name]) for row in rows if name in row]) for name in group]
        if series:
            plots.append(charts.lines(series, "strength" if kept_weights.solved(run) else "epoch", _kept_epoch(run)))
    return plots


def _kept_epoch(run: Run) -> float | None:
    rows = [row for row in run.epochs or [] if isinstance(row.get("epoch"), int | float)]
    objective = ((run.plan or {}).get("tuning") or {}).get("objective") or {}
    name = objective.get("MetricName")
    scored = [row for row in rows if name in row]
    if not scored or len(rows) < 2:
        return None
    sign = -1 if objective.get("Type") == "Minimize" else 1
    return max(scored, key=lambda row: (sign * row[name], -row.get("validation:loss", 0.0)))["epoch"]


def _metric(name: str) -> str:
    """`validation:balanced_accuracy` as a person says it."""
    phase, _, measure = name.rpartition(":")
    return f"{measure.replace('_', ' ').capitalize()}{f' ({phase})' if phase else ''}"


def _training_facts(run: Run) -> list[tuple[str, Any]]:
    job = run.training_job or {}
    facts = [("Training job", run.noted("training", "job") or job.get("TrainingJobName"))]
    if job:
        resource = job.get("ResourceConfig") or {}
        facts.append(("Machine", f"{resource.get('InstanceCount', 1)} × {resource.get('InstanceType', '?')}"))
        if job.get("TrainingTimeInSeconds") is not None:
            facts.append(("Time", pages.duration(job["TrainingTimeInSeconds"])))
        for metric in job.get("FinalMetricDataList") or []:
            facts.append((_metric(metric["MetricName"]), pages.number(float(metric["Value"]))))
    return [(name, value) for name, value in facts if value]


def _health(health: dict[str, Any] | Missing) -> dict[str, Any] | Missing:
    if isinstance(health, Missing):
        return health
    rules = health.get("rules")
    if not isinstance(rules, list):
        return Missing("health.json holds no rules")
    issues = [rule for rule in rules if rule.get("status") == "IssuesFound"]
    others = [rule for rule in rules if rule.get("status") != "IssuesFound"]
    fine = sum(rule.get("status") == "NoIssuesFound" for rule in rules)
    text = f"{len(issues)} of {len(rules)} rules found something, {fine} found nothing"
    silent = len(others) - fine
    text += f", {silent} had nothing to judge by." if silent else "."
    fill = {"seen": "", "why": "", "change": ""}
    suggestion = health.get("suggestion")
    advice = (
        suggestion
        if isinstance(suggestion, str)
        else (suggestion or {}).get("change") or (suggestion or {}).get("text")
    )
    gain = suggestion.get("gain_seconds") if isinstance(suggestion, dict) else None
    return {
        "advice": advice,
        "gain": pages.duration(gain) if gain else None,
        "stopped": health.get("stopped_by"),
        "parts": _parts(health.get("profile") or {}),
        "by_service": sorted(one["name"] for one in rules if "by the platform" in one.get("implementation", "")),
        "text": text,
        "issues": [{**fill, **one} for one in issues],
        "others": [{**fill, **one} for one in others],
    }


def _parts(profile: dict[str, Any]) -> list[tuple[str, str, float]]:
    """What the time of the training went to: what, time, percent; parts below a hundredth are one."""
    parts = [(one["what"], float(one["seconds"])) for one in profile.get("parts") or []]
    total = sum(seconds for _, seconds in parts)
    large = [(what, seconds) for what, seconds in parts if seconds >= total / 100 > 0]
    rest = total - sum(seconds for _, seconds in large)
    if rest > 0:
        large.append(("all else", rest))
    return [(what, pages.duration(seconds), 100 * seconds / total) for what, seconds in large]


def _explanations(run: Run) -> dict[str, Any] | Missing:
    """Clarify's result, with the photos' own names and labels instead of the ids under which they were explained."""
    if isinstance(run.explanations, Missing):
        return run.explanations
    found = (run.explanations.get("explanations") or {}).get("kernel_shap")
    if not found or not found.get("images"):
        return Missing("no photo was explained")
    known = {photo["photo_id"]: photo for photo in run.photos or [] if "photo_id" in photo}
    images = []
    for image in found["images"]:
        photo = known.get(Path(image["file"]).stem)
        own = {"file": photo["path"], "true_label": photo["label"]} if photo else {}
        images.append({**image, **own})
    return {**found, "images": images}


def _bias_sentences(run: Run) -> list[str]:
    found = bias_findings(run)
    if not found:
        return []
    return [
        f"{one['metric']} of {one['facet']} = {one['group']} is {pages.number(one['value'], 3)}"
        for one in found["findings"]
    ]


def _timeline(run: Run) -> list[tuple[str, float, float, bool]] | Missing:
    if isinstance(run.timeline, Missing):
        return run.timeline
    last = max(step.end if step.end is not None else step.begin for step in run.timeline)
    return [(step.name, step.begin, last if step.end is None else step.end, step.failed) for step in run.timeline]


def _facts(run: Run) -> list[tuple[str, Any]]:
    plan = run.plan or {}
    job = run.training_job or {}
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "smclarify", "scikit-image")]
    image = (job.get("AlgorithmSpecification") or {}).get("TrainingImage")
    return [
        ("Data set", run.noted("input", "dataset")),
        ("Fingerprint of the data", (plan.get("dataset") or {}).get("fingerprint")),
        ("Seed", run.hyperparameters.get("seed") or run.noted("input", "seed")),
        ("Training image", image),
        ("Model artifact", run.noted("training", "model_data")),
        ("Model package", run.noted("registered", "arn")),
        ("This page", f"Python {platform.python_version()}, " + ", ".join(versions)),
    ]
