"""How others train the same model on the same photos: the peers of `benchmarks.training`.

- the usual recipe, as its authors would write it: torchvision ImageFolder, default DataLoader, eager PyTorch, frozen backbone, Adam;
- a plain loop over the whole model: the same, with every layer learning;
- timm's training script, which its wheel does not hold: the same loop from timm's own loader, optimizer and scheduler, with the
  script's defaults, and with the flags `--channels-last --amp --amp-dtype bfloat16`.

Each gives the time of every step, its data included; the first ones warm up and do not count.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

MODEL = "efficientnet_lite0"
RATES = (3e-4, 1e-3, 2e-3, 3e-3, 1e-2, 2e-2)
WARM_UP = 2  # steps


def folders(data: Path) -> tuple[Path, Path]:
    validation = next((data / name for name in ("val", "valid", "validation") if (data / name).is_dir()), None)
    if not (data / "train").is_dir() or validation is None:
        raise SystemExit(
            f"{data}: received no train/ and val/; give a folder that holds both, a folder per class each."
        )
    return data / "train", validation


def photos_of(folder: Path) -> list[tuple[Path, str]]:
    found = [
        (path, path.parent.name)
        for path in sorted(folder.glob("*/*"))
        if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    ]
    if not found:
        raise SystemExit(f"{folder}: received no JPEG or PNG in folders of classes.")
    return found


def loaded(seed: int = 0) -> tuple[Any, int, Any]:
    from training_code.models import backbone, resolve, weights

    spec = resolve(MODEL)
    module, width = backbone.load(spec, weights.resolve(MODEL).path, seed)
    return module, width, spec


def whole_model(train: Path) -> tuple[Any, Any]:
    from torch import nn

    module, width, spec = loaded()
    return nn.Sequential(module, nn.Linear(width, len({name for _, name in photos_of(train)}))), spec


def image_folder(folder: Path, spec: Any, *, augment: bool) -> Any:
    from torchvision import datasets, transforms

    size, wanted = spec.preprocessing.input_size[0], spec.preprocessing
    view = (
        [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip()]
        if augment
        else [transforms.Resize(wanted.resize.size), transforms.CenterCrop(size)]
    )
    steps = transforms.Compose([*view, transforms.ToTensor(), transforms.Normalize(wanted.mean, wanted.std)])
    return datasets.ImageFolder(str(folder), steps)


def timed_steps(batches: Iterable[Any], work: Callable[[Any, Any], None], steps: int, photos: int) -> dict[str, float]:
    """Photos per second by the median step, and how far steps lie apart. A last, smaller batch does not count."""
    stamps = [time.perf_counter()]
    for images, labels in batches:
        if len(labels) < photos:
            break
        work(images, labels)
        stamps.append(time.perf_counter())
        if len(stamps) > steps + WARM_UP:
            break
    return rate_of(stamps, photos)


def rate_of(stamps: list[float], batch: int) -> dict[str, float]:
    seconds = sorted(after - before for before, after in pairwise(stamps[WARM_UP:]))
    if not seconds:
        raise SystemExit(f"too few photos for {WARM_UP} steps of warm-up and one that counts; give more photos.")
    quarter = len(seconds) // 4
    return {
        "photos_per_s": batch / statistics.median(seconds),
        "slower_quarter_photos_per_s": batch / seconds[-1 - quarter],
        "faster_quarter_photos_per_s": batch / seconds[quarter],
        "n": len(seconds),
    }


def usual_recipe(data: Path, steps: int, batch: int) -> dict[str, Any]:
    """Training and evaluation of a frozen backbone, step by step."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    train, validation = folders(data)
    model, spec = whole_model(train)
    for parameter in model[0].parameters():
        parameter.requires_grad = False
    optimizer, loss_of = torch.optim.Adam(model[1].parameters()), nn.CrossEntropyLoss()

    def learn(images: Any, labels: Any) -> None:
        model.train()
        optimizer.zero_grad()
        loss = loss_of(model(images), labels)
        loss.backward()
        optimizer.step()

    def look(images: Any, labels: Any) -> None:
        model.eval()
        with torch.no_grad():
            (model(images).argmax(1) == labels).sum().item()

    def batches(folder: Path) -> Iterator[Any]:
        while True:  # small sets: further epochs
            yield from DataLoader(
                image_folder(folder, spec, augment=False), batch_size=batch, shuffle=True, drop_last=True
            )

    return {
        "training": timed_steps(batches(train), learn, steps, batch),
        "evaluation": timed_steps(batches(validation), look, max(3, steps // 3), batch),
    }


def recipe_accuracy(data: Path, epochs: int, batch: int, trials: int) -> dict[str, float]:
    """Best validation accuracy of the recipe's trials. A frozen backbone without augmentation gives every epoch the same features, so
    that training the recipe's head on them once computed (in float32) is the recipe's own arithmetic."""
    import torch
    from torch import nn

    from contract.decode import decode
    from contract.preprocessing import resize_and_crop
    from training_code.features.engine import open_engine
    from training_code.models import resolve, weights

    spec = resolve(MODEL)
    engine = open_engine(spec, weights.resolve(MODEL).path, "float32", 0)
    sets = {}
    for name, folder in zip(("train", "validation"), folders(data), strict=True):
        photos = photos_of(folder)
        classes = sorted({label for _, label in photos})

        def pixels(index: int, photos: list[tuple[Path, str]] = photos) -> Any:
            return resize_and_crop(decode(photos[index][0].read_bytes()), spec.preprocessing)

        found = engine.extract([(index, "plain") for index in range(len(photos))], pixels)
        sets[name] = torch.from_numpy(found), torch.tensor([classes.index(label) for _, label in photos])
    best = 0.0
    for rate in RATES[:trials]:
        torch.manual_seed(0)
        head = nn.Linear(engine.width, int(sets["train"][1].max()) + 1)
        optimizer = torch.optim.Adam(head.parameters(), rate)
        for _ in range(epochs):
            for indices in torch.randperm(len(sets["train"][1])).split(batch):
                optimizer.zero_grad()
                nn.functional.cross_entropy(head(sets["train"][0][indices]), sets["train"][1][indices]).backward()
                optimizer.step()
            right = head(sets["validation"][0]).argmax(1) == sets["validation"][1]
            best = max(best, right.float().mean().item())
    return {"best_validation_accuracy": best}


def plain_loop(data: Path, batch: int, steps: int) -> dict[str, float]:
    """Every layer learns; default DataLoader."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    train, _ = folders(data)
    model, spec = whole_model(train)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)

    def learn(images: Any, labels: Any) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    batches = DataLoader(image_folder(train, spec, augment=True), batch_size=batch, shuffle=True)
    return timed_steps(batches, learn, steps, batch)


def timm_script(data: Path, batch: int, steps: int, *, tuned: bool) -> dict[str, float]:
    """timm's train.py, its main loop: `tuned` are its flags for channels last and bfloat16."""
    import torch
    from timm.data import create_dataset, create_loader
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2

    train, _ = folders(data)
    model, spec = whole_model(train)
    if tuned:
        model = model.to(memory_format=torch.channels_last)
    wanted, cpu = spec.preprocessing, torch.device("cpu")
    loader = create_loader(
        create_dataset("", root=str(train), split="train", is_training=True, batch_size=batch),
        input_size=(3, *wanted.input_size), batch_size=batch, is_training=True, color_jitter=0.4, interpolation="random",
        mean=wanted.mean, std=wanted.std, num_workers=os.cpu_count() or 1, pin_memory=False, device=cpu,
    )  # fmt: skip
    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.05, weight_decay=2e-5, momentum=0.9)
    scheduler, _ = create_scheduler_v2(optimizer, num_epochs=5, updates_per_epoch=len(loader))
    loss_of = LabelSmoothingCrossEntropy(0.1)
    model.train()

    def learn(images: Any, labels: Any) -> None:
        learn.updates += 1
        if tuned:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16) if tuned else nullcontext():
            loss = loss_of(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step_update(num_updates=learn.updates, metric=None)

    learn.updates = 0
    return timed_steps(loader, learn, steps, batch)
