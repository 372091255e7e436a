"""Which weights the served model has, in a sentence: by what the training says that it did, not by what it was asked for.

A refit that was asked for may not have been done (a rule or SIGTERM stopped the training); then the best epoch is served after all.
"""

from typing import Any

from analysis_code.report.inputs import Missing
from analysis_code.report.run import Run


def refitted(run: Run) -> bool:
    """Whether the model learnt from the validation photos too; where the training did not tell, whether that was asked for."""
    if isinstance(run.decisions, Missing):
        return _asked(run)
    return "refit" in run.decisions or (solved(run) and _asked(run))


def solved(run: Run) -> bool:
    """Whether the head was solved to the end."""
    return not isinstance(run.decisions, Missing) and run.decisions.get("solver") == "exact"


def decision(run: Run) -> str:
    """The one choice that a user should know of: whether all photos count alike, or all classes."""
    told = [run.decisions.get("decisions", {}).get(name) for name in ("plain", "balanced")]
    if None in told:
        return ""
    plain, even = ((one["validation:accuracy"], one["validation:balanced_accuracy"]) for one in told)
    chosen, other = ("photo", "class") if run.decisions.get("decision") == "plain" else ("class", "photo")
    mine, theirs = (plain, even) if chosen == "photo" else (even, plain)
    switch = "loss" if chosen == "photo" else "none"
    return (
        f"Decided so that every {chosen} counts the same: accuracy {mine[0]:.3f}, balanced accuracy {mine[1]:.3f} on photos that the "
        f"answering head had not seen; were every {other} to count the same, {theirs[0]:.3f} and {theirs[1]:.3f} "
        f"(hyperparameters: class_balance = {switch})."
    )


def sentence(run: Run, marked: bool) -> str:
    """`marked`: whether the curves show the best epoch by a dashed line."""
    if solved(run):
        return " ".join(part for part in (_solved(run.decisions, marked), decision(run)) if part)
    dashed = "Dashed: the best epoch" if marked else ""
    if isinstance(run.decisions, Missing) and _asked(run):
        told = "A refit on training and validation photos was asked for; whether it was done is not known"
        return ". ".join(part for part in (dashed, f"{told} ({run.decisions.reason}).") if part)
    if refitted(run):
        return ". ".join(part for part in (dashed, _refit(run.decisions["refit"])) if part)
    kept = f"{dashed}, whose weights were kept." if marked else "The weights of the best epoch were kept."
    if _asked(run):
        kept += " The refit that was asked for was not done, because the training was stopped."
    return kept


def _asked(run: Run) -> bool:
    return run.hyperparameters.get("refit") == "true"


def _solved(said: dict[str, Any], marked: bool) -> str:
    dashed = "Dashed: the choice. " if marked else ""
    depths = said.get("depths", 1)
    return (
        f"The head was solved to the end. Each point of the curves is a strength of its penalty, from strong to weak, judged by "
        f"{said.get('judged_by')}. {dashed}The weights that were kept are those of that choice, learnt from "
        f"{said.get('learnt_from')} photos, with features of {depths} depth{'s' * (depths != 1)} of the backbone."
    )


def _refit(done: dict[str, Any]) -> str:
    """The curves are of the first training: a refit has no photos left that could judge it."""
    return (
        f"The model was then trained once more, on all {done['photos']} training and validation photos for {done['epochs']} "
        "epochs; the weights of its last epoch were kept. The curves are those of the first training."
    )
