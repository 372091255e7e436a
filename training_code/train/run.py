"""Which training a job is, and what happens after it: head, fine-tuning, or a search inside one job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from contract.hyperparameters import own_strings
from training_code.observation import NoObserver, Observer
from training_code.observers import observers_for
from training_code.pytorch import require_torch
from training_code.train.artifact import Outcome, refit_facts, write_artifact, write_validation
from training_code.train.checkpoints import ArrayCheckpoint, identity_of
from training_code.train.head import HeadTraining, TrainedHead
from training_code.train.job import Job
from training_code.train.record import Record, Watch
from training_code.train.solved_head import SolvedHead, fits, said_of
from training_code.train.stopping import Stopped, StopRequest, stop_reason


def run(job: Job, stop: StopRequest) -> None:
    """Carry out the job; Stopped when it was asked to end before there was anything to export."""
    if job.settings.search:
        from training_code.train.search import best_of_search

        try:
            job = best_of_search(job, stop, train)
        except BaseException:
            job.close()
            raise
    observer = observers_for(job.base, own_strings(job.raw)) if job.rank == 0 else NoObserver()
    try:
        outcome = train(job, stop, observer)
    finally:
        observer.close()
        job.close()
    if job.rank == 0 and job.settings.export and job.settings.observe == "on":
        from training_code.health.verdict import print_verdict

        print_verdict(job.output_data / "observations")
    if outcome is None:
        return
    decisions = decisions_of(job, outcome)
    write_validation(job, outcome, decisions)
    if job.settings.export:
        write_artifact(job, outcome)
        print(f"wrote {job.model_dir}", flush=True)


def train(job: Job, stop: StopRequest, observer: Observer, watch: Watch | None = None) -> Outcome | None:
    """One training; None on a machine that has nothing to write. With `watch` it is a trial: it prints and writes nothing."""
    if job.settings.fine_tune == "head":
        if job.rank > 0:
            print("a head is trained on the first machine; this one has nothing to do", flush=True)
            return None
        return train_head(job, stop, observer, watch)
    require_torch(f"by fine_tune={job.settings.fine_tune}")
    from training_code.train.fine_tuned import fine_tune

    return fine_tune(job, stop, observer, watch)


def train_head(job: Job, stop: StopRequest, observer: Observer, watch: Watch | None = None) -> Outcome:
    features = job.features
    if job.settings.is_exact and fits(features, job.settings.depths):
        return _solved(job, stop, observer, watch)
    if job.settings.is_exact:
        print("the features are too many to be held in memory: the head learns by steps", flush=True)
        job = replace(job, settings=replace(job.settings, solver="steps"))
    observer.dataset(dict(Counter(features.classes[label] for label in features.train.labels.tolist())))
    record = Record(job.settings.objective, None if watch else job.output_data, quiet=watch is not None, watch=watch)
    checkpoint = ArrayCheckpoint(job.checkpoints / "head.npz", identity_of(identity_facts(job)))
    training = HeadTraining(features, job.settings, record, observer, stop, checkpoint, look_inside=job.settings.export)
    trained, facts = _run_until_stopped(job, training, trial=watch is not None)
    record.finish()
    if job.refits and not facts:
        trained, facts = _refit(job, trained, record, stop)
    return head_outcome(job, trained, facts)


def _solved(job: Job, stop: StopRequest, observer: Observer, watch: Watch | None) -> Outcome:
    """The head that is solved to the end. It takes seconds: interrupted, it begins again and ends with the same bits."""
    settings, features = job.settings, job.features
    observer.dataset(dict(Counter(features.classes[label] for label in features.train.labels.tolist())))
    record = Record(settings.objective, None if watch else job.output_data, quiet=watch is not None, watch=watch)
    training = SolvedHead(features, settings, record, observer, stop)
    trained = training.run()
    record.finish()
    if watch is None:
        print(said_of(training.facts), flush=True)
    return head_outcome(job, trained, training.facts)


def _refit(job: Job, first: TrainedHead, record: Record, stop: StopRequest) -> tuple[TrainedHead, dict[str, Any]]:
    """The head that training and validation photos give together, with what the first one answered; the first one if stopped."""
    job, until = job.together(), record.epochs_to_best
    facts = refit_facts(job.features.train.ids, until)
    again = Record(job.settings.objective, None, quiet=True, last=True)
    checkpoint = ArrayCheckpoint(job.checkpoints / "head.npz", identity_of(identity_facts(job)))
    training = HeadTraining(
        job.features, job.settings, again, NoObserver(), stop, checkpoint, look_inside=False, until=until
    )
    try:
        second = training.run()
    except Stopped:
        return first, stop_reason(job.output_data).facts(training.epoch, training.step, record.best)
    return replace(second, validation_logits=first.validation_logits, metrics=first.metrics), facts


def _run_until_stopped(job: Job, training: HeadTraining, trial: bool) -> tuple[TrainedHead, dict[str, Any]]:
    """The head and facts of a stop, empty without one. Raises Stopped where there is nothing worth an export.

    The checkpoint has been written before: what is exported now changes nothing of what a restart does.
    """
    try:
        return training.run(), {}
    except Stopped:
        reason = stop_reason(job.output_data)
        if trial or not (training.best or reason.rule):
            raise
        if not training.best:
            training.judge()
        return training.trained(), reason.facts(training.epoch, training.step, training.record.best)


def head_outcome(job: Job, trained: TrainedHead, facts: Mapping[str, Any]) -> Outcome:
    features = job.features
    judged = trained.judged or features.validation
    return Outcome(
        layers=trained.layers,
        validation_logits=trained.validation_logits,
        validation_labels=judged.labels,
        validation_ids=judged.ids,
        classes=features.classes,
        metrics=trained.metrics,
        data_fingerprint=str(features.facts.get("data_fingerprint", features.key)),
        facts=facts,
    )


def identity_facts(job: Job) -> dict[str, Any]:
    """What decides the course of a training."""
    return {"settings": job.settings.course(), "features": job.features.key if job.channel("features") else None}


def decisions_of(job: Job, outcome: Outcome) -> Mapping[str, Any]:
    """What was decided by default or by measuring, for the report."""
    settings = job.settings
    return {
        "model": settings.model,
        "fine_tune": settings.fine_tune,
        "pretrained": settings.pretrained,
        "class_balance": settings.class_balance,
        "objective": settings.objective,
        "flip_view": settings.flip_view,
        "test_time_flip": settings.test_time_flip,
        "classes": outcome.classes,
        "training_hosts": len(job.hosts),
        **(outcome.facts or {}),
    }
