"""Around the loop of `fine_tuning.py`: a job's fine-tuning from its photos to the model that is exported.

The validation photos judge the first training; a refit then learns from them, too. What stops a training, and whether there is
anything worth an export by then, is decided here.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch

from contract.failure import JobFailure
from training_code.models.export import backbone_to_onnx
from training_code.observation import NoObserver, Observer
from training_code.train import cpu
from training_code.train.artifact import Outcome, refit_facts
from training_code.train.checkpoints import identity_of
from training_code.train.fine_tuning import FineTuning
from training_code.train.hosts import Hosts
from training_code.train.job import Job
from training_code.train.record import Record, Watch
from training_code.train.stopping import Stopped, StopRequest, stop_reason


def fine_tune(job: Job, stop: StopRequest, observer: Observer, watch: Watch | None = None) -> Outcome | None:
    """Fine-tune on all machines of the job; the outcome on the first, None on the others."""
    if job.settings.batch_size < len(job.hosts):
        raise JobFailure(
            f"batch_size: received {job.settings.batch_size}; {len(job.hosts)} machines need at least one photo each."
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        cpu.keep_memory()
    hosts = Hosts(job.hosts, job.current_host, device)
    photos = job.photos
    try:
        observer.dataset(dict(Counter(photos.classes[label] for label in photos.train.labels.tolist())))
        silent = watch is not None or hosts.rank > 0
        record = Record(job.settings.objective, None if silent else job.output_data, quiet=silent, watch=watch)
        training = FineTuning(job, photos, hosts, record, observer, stop)
        training.start()
        # Gradients that fade away become denormal numbers, with which a CPU computes a hundred times as slowly. After all imports:
        # NumPy warns when it looks at the smallest float and finds zero.
        torch.set_flush_denormal(True)
        facts = _run_until_stopped(training, trial=watch is not None)
        record.finish()
        chosen = training
        if job.refits and not facts:
            chosen, facts = _refit(training)
        torch.set_flush_denormal(False)
        return _outcome(training, chosen, facts) if hosts.rank == 0 or watch else None
    finally:
        hosts.leave()


def _run_until_stopped(training: FineTuning, trial: bool) -> dict[str, Any]:
    """Facts of a stop, empty without one. Goes on to the export where there is something worth it, else raises Stopped."""
    try:
        training.run()
    except Stopped:
        reason = stop_reason(training.job.output_data)
        by_rule = training.hosts.any(reason.rule != "")  # the first machine's rules stop all
        if trial or not (training.best or by_rule):
            raise
        if not training.best:
            training.judge()
        return reason.facts(training.epoch, training.step, training.record.best)
    return {}


def _refit(first: FineTuning) -> tuple[FineTuning, dict[str, Any]]:
    """The training whose model is exported: on training and validation photos together, or the first one if that is stopped."""
    # What the first one measured is what the second one computes in, and so part of what its checkpoints belong to.
    job, until = first.job.together(precision=first.precision), first.record.epochs_to_best
    facts = refit_facts(job.photos.train.ids, until)
    record = Record(job.settings.objective, None, quiet=True, last=True)
    second = FineTuning(job, job.photos, first.hosts, record, NoObserver(), first.stop, until)
    second.start()
    try:
        second.run()
    except Stopped:
        return first, stop_reason(job.output_data).facts(second.epoch, second.step, first.record.best)
    return second, facts


def _outcome(judged: FineTuning, training: FineTuning, facts: dict[str, Any]) -> Outcome:
    """The model of `training`, with the validation answers of the one that had not seen these photos: mostly the same."""
    job, photos, best = judged.job, judged.photos, judged.record.best or {}
    if training.front:
        training.front.join()
    training.model.load_state_dict(training.best)
    scratch = Path(job.output_data / ".backbone.onnx")
    backbone = None
    if job.settings.export:
        model = training.model.cpu().eval().to(memory_format=torch.contiguous_format)
        scratch.parent.mkdir(parents=True, exist_ok=True)
        backbone = backbone_to_onnx(model.backbone, job.spec.preprocessing.input_size, scratch)
    return Outcome(
        layers=training.model.layers(),
        validation_logits=judged.best_logits,
        validation_labels=photos.validation.labels,
        validation_ids=photos.validation.ids,
        classes=photos.classes,
        metrics={name: value for name, value in best.items() if ":" in name},
        data_fingerprint=_fingerprint(judged),
        backbone=backbone,
        facts={"precision": judged.precision, "seconds_of_a_step": judged.measured, "device": judged.device.type,
               **judged.front_facts, **facts},
    )  # fmt: skip


def _fingerprint(training: FineTuning) -> str:
    if training.job.channel("features"):
        features = training.job.features
        return str(features.facts.get("data_fingerprint", features.key))
    return identity_of({"photos": training.identity()["photos"]})
