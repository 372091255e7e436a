"""The search of one tuning job: which hyperparameters to try next, and which trials to stop early. Optuna decides.

Bayesian: TPE with constant-liar for parallel trials. Random: Optuna's sampler. Grid: every combination, queued.
Hyperband: TPE with Optuna's Hyperband pruner. Early stopping "Auto": the median rule, as AWS describes it.
https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning-how-it-works.html
"""

import itertools
import threading
from typing import TYPE_CHECKING, Any

from local_cloud.sagemaker.search_space import Parameter
from local_cloud.sagemaker.store import Document

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

MEDIAN_AFTER_TRIALS = 3
FIRST_RANDOM_SHARE = 3


class Search:
    """Asks Optuna for trials and tells it how they went; may be called from several threads."""

    def __init__(self, config: Document, parameters: list[Parameter], maximum_jobs: int):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._parameters = {parameter.name: parameter for parameter in parameters}
        self._distributions = {name: parameter.distribution() for name, parameter in self._parameters.items()}
        self._minimize = config["HyperParameterTuningJobObjective"]["Type"] == "Minimize"
        self._prunes = config["Strategy"] == "Hyperband" or config.get("TrainingJobEarlyStoppingType") == "Auto"
        # Whether a second search asks for the same points once more: its queue, or its seed, must move on with them.
        self._repeats = config["Strategy"] == "Grid" or config.get("RandomSeed") is not None
        self._lock = threading.Lock()
        self._study = optuna.create_study(
            direction="minimize" if self._minimize else "maximize",
            sampler=_sampler(config, maximum_jobs),
            pruner=_pruner(config),
        )
        if config["Strategy"] == "Grid":  # Optuna's own grid sampler works inside of its own loop only
            names, values = list(self._parameters), [parameter.values for parameter in parameters]
            for point in itertools.product(*values):
                self._study.enqueue_trial(dict(zip(names, point, strict=True)))

    def ask(self) -> tuple["Trial", dict[str, str]]:
        """The next trial and its hyperparameters."""
        with self._lock:
            trial = self._study.ask(self._distributions)
        return trial, {name: self._parameters[name].text(value) for name, value in trial.params.items()}

    def again(self, tuned: dict[str, str]) -> "Trial":
        """A trial that was asked for before the cloud ended: the same point, known to this search as well."""
        from optuna.trial import TrialState

        if self._repeats:
            trial, asked = self.ask()
            if asked == tuned:
                return trial
            with self._lock:
                self._study.tell(trial, state=TrialState.FAIL)
        with self._lock:
            self._study.enqueue_trial({name: self._parameters[name].searched(text) for name, text in tuned.items()})
            return self._study.ask(self._distributions)

    def report(self, trial: "Trial", step: int, value: float) -> bool:
        """Notes an intermediate objective; True when the trial should stop."""
        if not self._prunes:
            return False
        with self._lock:
            trial.report(value, step)
            return trial.should_prune()

    def tell(self, trial: "Trial", value: float | None, *, stopped_early: bool = False) -> None:
        """How a trial ended: an objective, none (failed), or stopped early by the rule."""
        from optuna.trial import TrialState

        with self._lock:
            if stopped_early:
                self._study.tell(trial, state=TrialState.PRUNED)
            elif value is None or value != value:
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                self._study.tell(trial, value)

    def learn(self, hyperparameters: dict[str, str], value: float) -> bool:
        """Takes over a trial of a parent tuning job; False when it lies outside of the ranges."""
        from optuna.trial import create_trial

        params: dict[str, Any] = {}
        for name, parameter in self._parameters.items():
            searched = parameter.searched(hyperparameters.get(name, ""))
            if searched is None:
                return False
            params[name] = searched
        with self._lock:
            self._study.add_trial(create_trial(params=params, distributions=self._distributions, value=value))
        return True

    def better(self, value: float, than: float | None) -> bool:
        return than is None or (value < than if self._minimize else value > than)


def _sampler(config: Document, maximum_jobs: int) -> "BaseSampler":
    from optuna.samplers import RandomSampler, TPESampler

    seed = config.get("RandomSeed")
    if config["Strategy"] in ("Random", "Grid"):
        return RandomSampler(seed=seed)
    random_first = max(2, min(10, maximum_jobs // FIRST_RANDOM_SHARE))
    return TPESampler(seed=seed, constant_liar=True, n_startup_trials=random_first)


def _pruner(config: Document) -> "BasePruner":
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    if config["Strategy"] == "Hyperband":
        limits = config["StrategyConfig"]["HyperbandStrategyConfig"]
        return HyperbandPruner(min_resource=limits["MinResource"], max_resource=limits["MaxResource"])
    if config.get("TrainingJobEarlyStoppingType") == "Auto":
        return MedianPruner(n_startup_trials=MEDIAN_AFTER_TRIALS, n_warmup_steps=1)
    return NopPruner()
