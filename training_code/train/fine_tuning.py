"""Fine-tuning: the last blocks or the whole backbone learn, starting from a head that was trained on features.

One loop from top to bottom. Everything random is a function of (seed, epoch, step), so a training killed at any moment ends
with the very weights of an uninterrupted one (bitwise on CPU). Batch-norm statistics of published weights stay as they are:
small batches would spoil them, and several machines then take the very steps that one would.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from training_code.features.feature_set import FeatureSet, Part
from training_code.models import backbone as backbones
from training_code.observation import NoObserver, Observer
from training_code.train import cpu, precision
from training_code.train.averaging import MovingAverage
from training_code.train.checkpoints import TensorCheckpoint, identity_of
from training_code.train.classifier import Classifier, frozen_blocks, optimizer_for
from training_code.train.failures import NonFiniteLoss
from training_code.train.frozen_front import CannotCut, FrozenFront, activations_of
from training_code.train.head import HeadTraining, TrainedHead
from training_code.train.hosts import Hosts
from training_code.train.job import Job
from training_code.train.loader import KeptLoader, Loader
from training_code.train.measures import class_weights, score
from training_code.train.photos import PhotoCache, PhotoSplit, worker_count
from training_code.train.record import Record
from training_code.train.sampling import Sampler
from training_code.train.schedule import factor
from training_code.train.stopping import Stopped, StopRequest

EVALUATION_BATCH = 64
LOOK_EVERY = 20  # steps between looks at the loss on a GPU: each look waits for it


class FineTuning:
    """One fine-tuning on one of the job's machines: `start` loads, learns the first head and measures; `run` trains."""

    loader: Loader | KeptLoader
    model: Classifier
    front: FrozenFront | None
    optimizer: torch.optim.Optimizer
    average: MovingAverage
    parallel: nn.Module

    def __init__(
        self, job: Job, photos: PhotoCache, hosts: Hosts, record: Record, observer: Observer, stop: StopRequest,
        until: int = 0,
    ) -> None:  # fmt: skip
        """`until`: epochs after which it ends, its schedule being that of all; 0: all."""
        self.job, self.settings, self.photos, self.hosts = job, job.settings, photos, hosts
        self.record, self.observer, self.stop = record, observer, stop
        self.device, self.until = hosts.device, until or job.settings.epochs
        self.epoch, self.step, self.losses = 0, 0, torch.zeros((), dtype=torch.float64, device=self.device)
        self.best: dict[str, torch.Tensor] = {}
        self.best_logits = np.zeros((0, len(photos.classes)), np.float32)
        self.precision, self.measured = "float32", dict[str, float]()
        self.scaler = torch.amp.GradScaler(enabled=False)
        self.front_facts: dict[str, Any] = {}

    # --- start and resume

    def start(self) -> None:
        """From the checkpoint where there is one, else from a head that is trained now."""
        job, settings, photos = self.job, self.settings, self.photos
        labels, classes, size = photos.train.labels, len(photos.classes), job.spec.preprocessing.input_size
        self.weights_facts = job.weights()
        module, width = backbones.load(job.spec, self.weights_facts.path if self.weights_facts else None, settings.seed)
        mean, std = np.float32(job.spec.preprocessing.mean) * 255, np.float32(job.spec.preprocessing.std) * 255
        self.pixel_mean, self.pixel_std = (torch.from_numpy(v).view(1, 3, 1, 1).to(self.device) for v in (mean, std))
        workers = worker_count(settings.workers)
        self.loader = Loader(photos.train, size, settings.seed, workers, settings.augmentation, settings.flips)
        self.sampler = Sampler(
            labels, classes, settings.batch_size, settings.seed, weighted=settings.class_balance == "sampling"
        )
        self.class_weights = torch.from_numpy(class_weights(labels, classes, settings.class_balance)).to(self.device)
        self.checkpoint = TensorCheckpoint(job.checkpoints / "fine_tuning.pt", identity_of(self.identity()))
        state = self._stored()
        head = (
            self._start_head(module.to(self.device), width) if state is None else _blank_head(width, classes, settings)
        )
        torch.manual_seed(settings.seed)
        self.model = Classifier(module, head.standardised, head.mean, head.std, settings.dropout)
        self.model.to(self.device, memory_format=torch.channels_last)
        self.validation_views = [photos.validation.pixels]
        self.front, self.front_facts = self._kept_front()
        self.optimizer = optimizer_for(self.model, settings)
        self.average = MovingAverage(self.model, settings.ema_decay)
        self._prepare(state)

    def identity(self) -> dict[str, Any]:
        digest = identity_of({"ids": self.photos.train.ids, "labels": self.photos.train.labels.tolist()})
        weights = self.weights_facts.sha256 if self.weights_facts else None
        return {"settings": self.settings.course(), "photos": digest, "weights": weights, "hosts": self.hosts.count}

    def _stored(self) -> dict[str, Any] | None:
        """The first machine's checkpoint, on all of them."""
        state = self.checkpoint.load() if self.hosts.rank == 0 else None
        if self.hosts.count == 1:
            return state
        buffer = io.BytesIO()
        if state is not None:
            torch.save(state, buffer)
        data = self.hosts.spread(buffer.getvalue())
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True) if data else None

    def _start_head(self, module: nn.Module, width: int) -> TrainedHead:
        """A head trained on the features of the photos as they are: fine-tuning starts where a frozen backbone ends."""
        features = self._features(module, width)
        settings = replace(self.settings, fine_tune="head", epochs=30, batch_size=64, learning_rate=1e-3, optimizer="adamw",
                           weight_decay=1e-4, epsilon=1e-8, warmup=0.05, schedule="cosine", patience=0, dropout=0.0,
                           test_time_flip=False, checkpoint_steps=0)  # fmt: skip
        record = Record(self.settings.objective, None, quiet=True)
        trained = HeadTraining(features, settings, record, NoObserver(), self.stop).run()
        if self.hosts.rank == 0:
            print(
                f"starting from a head with {self.settings.objective}={trained.metrics[self.settings.objective]:.4f}",
                flush=True,
            )
        return trained

    def _features(self, module: nn.Module, width: int) -> FeatureSet:
        if self.job.channel("features"):
            found = self.job.features
            if found.width == width:
                return found
        parts = {
            name: self._extract(module, split)
            for name, split in (("train", self.photos.train), ("validation", self.photos.validation))
        }
        return FeatureSet(parts["train"], parts["validation"], self.photos.classes, "extracted by this job")

    def _extract(self, module: nn.Module, split: PhotoSplit) -> Part:
        module.eval()
        size, count = self.job.spec.preprocessing.input_size, len(split.labels)

        def seen(begin: int) -> np.ndarray:
            return np.stack([split.as_served(i, size) for i in range(begin, min(begin + EVALUATION_BATCH, count))])

        with torch.inference_mode():
            found = [module(self._normalised(seen(i))).float().cpu() for i in range(0, count, EVALUATION_BATCH)]
        return Part(torch.cat(found).numpy(), split.labels, split.ids)

    def _kept_front(self) -> tuple[FrozenFront | None, dict[str, Any]]:
        """The blocks that stay as they are, computed once for all epochs; fixed batch-norm statistics are a condition."""
        settings, photos = self.settings, self.photos
        if settings.fine_tune != "last_block" or not (settings.frozen_views and settings.pretrained):
            return None, {}
        assert isinstance(self.loader, Loader)
        backbone, views = self.model.backbone.eval(), self.loader.kept_views(settings.frozen_views, settings.epochs)
        mirrored = ["mirrored"] if settings.test_time_flip else []
        drawn = (views, settings.augmentation, settings.flips, settings.seed)
        key = identity_of({"of": (*drawn, settings.last_block_share, mirrored, str(self.weights_facts))})
        try:
            front = FrozenFront(backbone, frozen_blocks(backbone, settings.fine_tune, settings.last_block_share))
            if key not in photos.kept:
                draw, seen, count = self.loader.kept_view, photos.validation.pixels, len(photos.validation.labels)
                wanted = {
                    "train": (views * len(photos.train.labels), lambda number: draw(*divmod(number, views))),
                    "plain": (count, lambda number: seen[number]),
                    **{name: (count, lambda number: seen[number][:, ::-1]) for name in mirrored},
                }
                folder = photos.folder / key[:16]
                folder.mkdir(exist_ok=True)
                known = photos.kept_before.get(key, {})
                photos.kept[key] = activations_of(front, backbone, self.job.spec, wanted, folder, known)
            front.cut(self._normalised(photos.validation.pixels[:2]))
        except CannotCut as reason:
            print(f"the frozen blocks are computed in every step: {reason}", flush=True)
            return None, {"frozen_blocks": f"computed in every step: {reason}"}
        kept = photos.kept[key]
        self.loader = KeptLoader(kept["train"], photos.train.labels, views, settings.seed)
        self.validation_views = [kept[name] for name in ("plain", *mirrored)]
        return front, {"frozen_blocks": f"computed once for {views} views of each photo"}

    def _prepare(self, state: dict[str, Any] | None) -> None:
        self.hosts.same_start(self.model)
        if state is None:
            self.precision, self.measured = self._choose_precision()
        else:
            self.precision, self.measured = state["precision"], state["measured"]
        self.precision = self.hosts.agree(self.precision, ("float32", "bfloat16", "float16"))
        if self.precision == "float16":
            self.scaler = torch.amp.GradScaler(self.device.type)
        if state is not None:
            self._restore(state)
        self.parallel = self.hosts.parallel(self.model)
        self.observer.model_ready(self.model, nn.functional.cross_entropy, self.optimizer)

    def _choose_precision(self) -> tuple[str, dict[str, float]]:
        pixels, labels = next(self.loader.batches(0, self.sampler.epoch(0)[:1], 0, self.hosts.share))

        def throw_away(name: str) -> None:
            self._set_training()
            with precision.autocast(self.device, name), cpu.FastDepthwise():
                logits = self.model(self._normalised(pixels))
            nn.functional.cross_entropy(logits.float(), torch.from_numpy(labels).to(self.device)).backward()
            self.optimizer.zero_grad()

        with _kept(self.model):
            return precision.choose(self.settings.precision, self.device, throw_away)

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load(state["average"])
        self.scaler.load_state_dict(state["scaler"])
        self.best, self.best_logits = state["best"], state["best_logits"].numpy()
        self.epoch, self.step = state["epoch"], state["step"]
        self.losses.fill_(state["losses"])
        torch.set_rng_state(state["random"])
        self.record.restore(state["epochs"])
        if self.hosts.rank == 0:
            print(f"continuing from the checkpoint at epoch {self.epoch}, step {self.step}", flush=True)

    def save(self) -> None:
        """Everything that the next step depends on. One writer: the machines hold the same."""
        if self.hosts.rank > 0:
            return
        self.checkpoint.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state(),
                "scaler": self.scaler.state_dict(),
                "best": self.best,
                "best_logits": torch.from_numpy(self.best_logits),
                "epoch": self.epoch,
                "step": self.step,
                "losses": self.losses.item(),
                "epochs": self.record.epochs,
                "random": torch.get_rng_state(),
                "precision": self.precision,
                "measured": self.measured,
            }
        )

    # --- the loop

    def run(self) -> None:
        patience = self.settings.patience
        while self.epoch < self.until and not (patience and self.record.epochs_since_best >= patience):
            self._train_epoch()
            self._finish_epoch()

    def _train_epoch(self) -> None:
        steps = self.sampler.epoch(self.epoch)
        self.observer.mode("TRAIN")
        self._set_training()
        self.optimizer.zero_grad()
        batches = self.loader.batches(self.epoch, steps, self.step, self.hosts.share)
        while self.step < len(steps):
            self._train_step(steps[self.step], batches)
            self.step += 1
            every, asked = self.settings.checkpoint_steps, self.hosts.any(self.stop.asked)
            if asked or (every and self.step % every == 0):
                self.save()
            if asked:
                raise Stopped

    def _train_step(self, indices: np.ndarray, batches: Any) -> None:
        observer = self.observer
        torch.manual_seed(hash((self.settings.seed, self.epoch, self.step, self.hosts.rank)) & 0x7FFFFFFF)
        with observer.phase("data"):
            pixels, numbers = next(batches)
            images, labels = self._normalised(pixels), torch.from_numpy(numbers).to(self.device, non_blocking=True)
            whole = float(self.class_weights.cpu()[self.photos.train.labels[indices]].sum())
        with observer.phase("forward"):
            with precision.autocast(self.device, self.precision), cpu.FastDepthwise():
                logits = self.parallel(images)
            each = nn.functional.cross_entropy(
                logits.float(), labels, reduction="none", label_smoothing=self.settings.label_smoothing
            )
            # Weighted mean over the photos of all machines; the factor undoes the mean that the parallel model takes.
            mine = (each * self.class_weights[labels]).sum() / whole
        with observer.phase("backward"):
            self.scaler.scale(mine * self.hosts.count).backward()
        loss = self.hosts.sum(mine.detach().clone())
        self.losses += loss
        if self.device.type == "cpu" or self.step % LOOK_EVERY == 0:
            self._require_finite()
        with observer.phase("optimizer"):
            total = self.settings.epochs * self.sampler.steps
            now = factor(
                self.epoch * self.sampler.steps + self.step, total, self.settings.warmup, self.settings.schedule
            )
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * group["share"] * now
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.average.update()
        observer.step(loss, len(indices))
        self.optimizer.zero_grad()

    def _require_finite(self) -> None:
        loss = self.losses.item()
        if not np.isfinite(loss):
            raise NonFiniteLoss(loss, self.epoch, self.step, self.settings)

    def _finish_epoch(self) -> None:
        self._require_finite()
        self.judge()
        self.epoch, self.step = self.epoch + 1, 0
        self.losses.zero_()
        if not self.settings.checkpoint_steps:
            self.save()

    def judge(self) -> None:
        """Validation of the weights as they are, kept as this epoch's; also in the middle of one, when it is the last."""
        metrics, logits = {"train:loss": self.losses.item() / self.step}, self.best_logits
        with self.average.in_place():
            if self.record.judges:
                self.observer.mode("EVAL")
                logits = self.evaluate()
                metrics |= score(logits, self.photos.validation.labels)
                self.observer.step(metrics["validation:loss"], len(logits))
                self.observer.epoch(self.epoch, metrics)
            if self.record.epoch(self.epoch, metrics):
                self.best = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
                self.best_logits = logits

    @torch.inference_mode()
    def evaluate(self) -> np.ndarray:
        """Validation logits, each machine computing its share; with test_time_flip the mean with the mirrored photos'."""
        self.model.eval()
        split = self.photos.validation
        logits = torch.zeros(len(split.labels), len(self.photos.classes), device=self.device)
        mine = self.hosts.share(len(split.labels))
        for start in range(mine.start, mine.stop, EVALUATION_BATCH):
            stop = min(start + EVALUATION_BATCH, mine.stop)
            views = [self._normalised(view[start:stop]) for view in self.validation_views]
            if self.settings.test_time_flip and len(views) == 1:
                views.append(views[0].flip(3))
            with precision.autocast(self.device, self.precision):
                logits[start:stop] = sum(self.model(images).float() for images in views) / len(views)
        return self.hosts.sum(logits).cpu().numpy()

    def _set_training(self) -> None:
        """Published weights learn in evaluation mode: batch-norm statistics stay, and so does no dropout or dropped path, which
        are for trainings of hundreds of epochs. Random weights need all of it."""
        self.model.train()
        if self.settings.pretrained:
            self.model.backbone.eval()

    def _normalised(self, pixels: np.ndarray) -> torch.Tensor:
        """uint8 N x H x W x 3 to float N x 3 x H x W, channels last in memory as the pixels are; what was kept of a front as it is."""
        images = torch.from_numpy(np.ascontiguousarray(pixels))
        if self.device.type == "cuda":
            images = images.pin_memory().to(self.device, non_blocking=True)
        if images.dtype != torch.uint8:
            layout = torch.channels_last if images.ndim == 4 else torch.contiguous_format
            return images.float().contiguous(memory_format=layout)
        return (images.permute(0, 3, 1, 2).float() - self.pixel_mean) / self.pixel_std


def _blank_head(width: int, classes: int, settings: Any) -> TrainedHead:
    """The shapes of a head whose values a checkpoint is about to bring."""
    from training_code.train.head import _fresh, _layers

    layers = _layers(_fresh(width, classes, settings))
    return TrainedHead(
        layers, layers, np.zeros(width, np.float32), np.ones(width, np.float32), np.zeros((0, classes)), {}
    )


class _kept:
    """The model's buffers as they were: a throw-away step in training mode moves batch-norm statistics."""

    def __init__(self, model: nn.Module) -> None:
        self._buffers = [(b, b.clone()) for b in model.buffers()]

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            for buffer, before in self._buffers:
                buffer.copy_(before)
