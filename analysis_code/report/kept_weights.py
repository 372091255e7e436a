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
    return "refit" in run.decisions


def sentence(run: Run, marked: bool) -> str:
    """`marked`: whether the curves show the best epoch by a dashed line."""
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


def _refit(done: dict[str, Any]) -> str:
    """The curves are of the first training: a refit has no photos left that could judge it."""
    return (
        f"The model was then trained once more, on all {done['photos']} training and validation photos for {done['epochs']} "
        "epochs; the weights of its last epoch were kept. The curves are those of the first training."
    )
