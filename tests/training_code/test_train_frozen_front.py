"""Blocks that do not learn are computed once, and nothing changes by it; a backbone that cannot be cut is left whole."""

import random

import pytest

from tests.training_code.test_train_fine_tuning import SMALL, epochs, same, state, with_weights
from tests.training_code.tiny_jobs import (
    checkpoints_written,
    ended,
    in_child,
    job_folder,
    killed_at,
    train,
    training_json,
)

LAST = {**SMALL, "pretrained": "true", "fine_tune": "last_block", "learning_rate": "0.001", "batch_size": "5"}


def run(base, **asked):
    base = with_weights(job_folder(base, {**LAST, **asked}, photos=True))
    log = base.with_suffix(".log")
    assert ended(in_child(lambda: train(base), log), 120) == 0, log.read_text()
    return base


@pytest.mark.slow
@pytest.mark.parametrize("augmentation", ["mirror", "none"])
def test_a_training_with_a_kept_front_takes_the_steps_of_one_without(tmp_path, augmentation):
    """Tolerance: 2e-3 of a loss, because what is kept is rounded to 16 bits."""
    asked = {"augmentation": augmentation, "test_time_flip": "true"}
    once = run(tmp_path / "once", **asked)
    anew = run(tmp_path / "anew", **asked, frozen_views="0")
    assert "computed once" in training_json(once)["frozen_blocks"]
    assert "frozen_blocks" not in training_json(anew)
    for kept, computed in zip(epochs(once), epochs(anew), strict=True):
        for name in ("train:loss", "validation:loss"):
            assert kept[name] == pytest.approx(computed[name], abs=2e-3)
    assert epochs(once)[-1]["train:loss"] < epochs(once)[0]["train:loss"]


@pytest.mark.slow
def test_a_kept_front_survives_kills_bitwise_and_is_whole_when_exported(tmp_path):
    """The export compares the file's answers for photos with the training's own: a cut backbone would fail there."""
    asked = {**LAST, "epochs": "40", "export": "true", "augmentation": "light", "frozen_views": "3"}
    whole, cut = (with_weights(job_folder(tmp_path / name, asked, photos=True)) for name in ("whole", "cut"))
    log = tmp_path / "log"
    assert ended(in_child(lambda: train(whole), log), 120) == 0, log.read_text()
    moments, kills = random.Random(5), 0
    for _ in range(2):
        reached = checkpoints_written(cut, moments.randint(1, 12), "fine_tuning.pt")
        kills += killed_at(in_child(lambda: train(cut), log), reached)
    assert kills == 2 and state(cut)["epoch"] < 40, "killed too late to say anything"
    assert ended(in_child(lambda: train(cut), log), 120) == 0, log.read_text()
    assert same(state(whole)["model"], state(cut)["model"])
    assert epochs(whole) == epochs(cut)
    assert (cut / "model/model.onnx").exists()
    assert "3 views" in training_json(cut)["frozen_blocks"]


def blocks_in_a_row(shortcut: bool):
    from torch import nn

    class Backbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.middle = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)
            self.last = nn.Conv2d(4, 8, 3, 1, 1)

        def forward(self, image):
            early = self.stem(image).relu()
            late = self.last(self.middle(early).relu()).mean((2, 3))
            return late + early.mean((1, 2, 3))[:, None] * 10 if shortcut else late

    return Backbone().eval()


def test_a_backbone_starts_at_the_cut_and_is_whole_again_afterwards():
    import torch

    from training_code.train.frozen_front import FrozenFront

    backbone, photos = blocks_in_a_row(shortcut=False), torch.rand(3, 3, 32, 32)
    front = FrozenFront(backbone, [backbone.stem, backbone.middle])
    whole, activations = backbone(photos), front.answer(photos)
    front.cut(photos)
    backbone.stem.weight.data.zero_()
    assert torch.allclose(backbone(activations), whole, atol=1e-5), "the stem is not asked any more"
    front.join()
    assert not torch.allclose(backbone(photos), whole, atol=1e-5), "and now it is"


def test_a_backbone_whose_front_is_needed_behind_the_cut_is_refused_and_left_whole():
    import torch

    from training_code.train.frozen_front import CannotCut, FrozenFront

    backbone, photos = blocks_in_a_row(shortcut=True), torch.rand(3, 3, 32, 32)
    whole = backbone(photos)
    with pytest.raises(CannotCut, match="differ"):
        FrozenFront(backbone, [backbone.stem, backbone.middle]).cut(photos)
    assert torch.equal(backbone(photos), whole)


@pytest.mark.parametrize(
    "name", ["resnet18", "timm/test_efficientnet", "timm/test_vit", "timm/test_convnext", "densenet121"]
)
def test_known_architectures_can_be_cut(name):
    import torch

    from training_code.models import backbone as backbones
    from training_code.models import resolve
    from training_code.train.classifier import frozen_blocks
    from training_code.train.frozen_front import FrozenFront

    spec = resolve(name)
    module, _ = backbones.load(spec, None)
    photos = torch.rand(2, 3, *spec.preprocessing.input_size)
    front = FrozenFront(module, frozen_blocks(module, "last_block", 0.2))
    with torch.inference_mode():
        whole, activations = module(photos), front.answer(photos)
        front.cut(photos)
        assert torch.allclose(module(activations), whole, atol=1e-3)


@pytest.fixture(scope="module", autouse=True)
def imported_once():
    """Children are forked: what they import is imported here, with nothing computed and so no thread started."""
    import timm  # noqa: F401
    import torch

    import training_code.train.fine_tuning  # noqa: F401

    torch.set_num_threads(1)


def test_the_share_of_parameters_that_learn_decides_where_the_backbone_is_cut():
    from training_code.models import backbone as backbones
    from training_code.models import resolve
    from training_code.train.classifier import frozen_blocks

    module = backbones.load(resolve("efficientnet_lite0", 64), None)[0]
    total = sum(p.numel() for p in module.parameters())
    for share in (0.2, 0.8):
        frozen = sum(p.numel() for block in frozen_blocks(module, "last_block", share) for p in block.parameters())
        assert frozen <= (1 - share) * total
    assert len(frozen_blocks(module, "last_block", 0.8)) < len(frozen_blocks(module, "last_block", 0.2))
    assert frozen_blocks(module, "last_block", 1.0) == []


@pytest.mark.parametrize(("flips", "different"), [("horizontal", 2), ("both", 4)])
def test_flips_decide_in_how_many_ways_a_photo_is_mirrored(flips, different):
    import numpy as np

    from training_code.train.loader import Loader
    from training_code.train.photos import PhotoSplit

    photo = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(1, 64, 64, 3)
    loader = Loader(PhotoSplit(photo, np.zeros(1, np.int64), ["one"]), (64, 64), 0, 1, "mirror", flips)
    views = [loader.kept_view(0, view).tobytes() for view in range(loader.kept_views(8, 8))]
    loader.close()
    assert len(set(views)) == len(views) == different
