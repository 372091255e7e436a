"""An architecture without its last layer: a module from a normalised photo to one feature vector.

One split for every library, so that a cached feature, a fine-tuned model and an exported one mean the same thing. Weights are
loaded as `fitting` says; what was loaded stands in the module's `loading` (None: random weights).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from contract.failure import JobFailure
from training_code.models.catalogue import ModelSpec
from training_code.models.fitting import (
    UNIMPORTANT,
    Loading,
    fit,
    head_names,
    require_finite,
    require_kinds,
    told,
    unfitting,
    watched,
    without_prefix,
)
from training_code.models.weights import read_state


def load(spec: ModelSpec, weights: Path | None, seed: int = 0) -> tuple[nn.Module, int]:
    """The feature extractor (NCHW float32 → N x features) in eval mode and its width; no weights: random ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module, loading = _BUILDERS[spec.library](spec, weights)
    module.loading = loading
    if loading:
        print(f"weights of {spec.name}: {_told(loading)}", flush=True)
    return module.eval(), _width(module, spec)


def _told(loading: Loading) -> str:
    beside = f", {loading.beside} of other parts of the file left alone" if loading.beside else ""
    return f"{loading.loaded} tensors loaded, {loading.replaced} of the head replaced{beside}"


def _efficientnet_lite(spec: ModelSpec, weights: Path | None) -> tuple[nn.Module, Loading | None]:
    from efficientnet_lite_pytorch import EfficientNet

    # The package pads statically, for the size it is built with.
    model = EfficientNet.from_name(spec.architecture, image_size=spec.preprocessing.input_size[0])
    pooled = Pooled(model)
    loading = fit(model, read_state(weights), spec, "_fc") if weights else None
    for module in model.modules():
        _pad_inside(module)
    return pooled, loading


def _pad_inside(convolution: nn.Module) -> None:
    """Padding that is the same on both sides is the convolution's own: a padded copy of each activation costs more than some
    convolutions. What a stride of 2 needs on one side only stays a layer of its own."""
    layer = getattr(convolution, "static_padding", None)
    if not isinstance(layer, nn.ZeroPad2d):
        return
    left, right, top, bottom = layer.padding
    if (left, top) == (right, bottom):
        convolution.padding, convolution.static_padding = (top, left), nn.Identity()


class Pooled(nn.Module):
    """EfficientNet-Lite up to its pooled features; the package's own forward pools by the size it was built with."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        model._fc = nn.Identity()
        model._dropout = nn.Identity()
        self.model = model

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.model.extract_features(image).mean(dim=(2, 3))


def _torchvision(spec: ModelSpec, weights: Path | None) -> tuple[nn.Module, Loading | None]:
    from torchvision import models

    extra: dict[str, Any] = {}
    if spec.architecture in ("googlenet", "inception_v3"):
        # Their published weights were trained on TensorFlow's scaling; transform_input brings torchvision's back to it.
        # The auxiliary heads serve training from scratch only.
        extra = {"aux_logits": False, "init_weights": not weights, "transform_input": weights is not None}
    model = models.get_model(spec.architecture, weights=None, **extra)
    head = _drop_last_layer(model, spec)
    if not weights:
        return model, None
    state = read_state(weights)
    if extra:
        state = {name: value for name, value in state.items() if not re.search(r"(^|\.)(aux\d|AuxLogits)\.", name)}
    # DenseNet's published files keep names from before nn.Module forbade dots: norm.1 for norm1.
    state = {
        re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)", r"\1\2", name): value for name, value in state.items()
    }
    return model, fit(model, state, spec, head)


def _drop_last_layer(model: nn.Module, spec: ModelSpec) -> str:
    """Take off the layer that answers ImageNet's classes, and say its name; SqueezeNet's is a convolution before the pooling."""
    last = None
    for name, module in model.named_modules():
        answers = getattr(module, "out_features", None) or (
            getattr(module, "out_channels", None) if spec.architecture.startswith("squeezenet") else None
        )
        if answers == 1000:
            last = name
    if last is None:
        raise JobFailure(f"model: {spec.name} has no last layer with 1,000 classes; choose another model.")
    parent, _, child = last.rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())
    return last


def _timm(spec: ModelSpec, weights: Path | None) -> tuple[nn.Module, Loading | None]:
    import timm

    model = timm.create_model(spec.architecture, pretrained=False, num_classes=0)
    if not weights:
        return model, None
    wanted = model.state_dict()
    state, beside = without_prefix(read_state(weights), wanted)
    require_kinds(state, wanted, spec)
    heads = head_names(timm.get_pretrained_cfg(spec.architecture).classifier, wanted)
    replaced = [name for name in state if name.startswith(heads)]
    try:
        with watched(type(model)) as said:
            # timm maps other trainings' names onto its own: give it the tensors and let it.
            model = timm.create_model(
                spec.architecture, pretrained=True, num_classes=0, pretrained_cfg_overlay={"state_dict": dict(state)},
            )  # fmt: skip
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError, AssertionError) as error:
        missing = [name for name in wanted if name not in state and not name.endswith(UNIMPORTANT)]
        surplus = [name for name in state if name not in wanted and name not in replaced]
        reason = told(wanted, missing, surplus) or f"{type(error).__name__}: {error}"
        raise unfitting(spec, reason) from None
    if not said:
        raise unfitting(spec, "timm has no way to load a file for it")
    given, result = said[-1]
    missing = [name for name in result.missing_keys if not name.endswith(UNIMPORTANT)]
    surplus = [name for name in result.unexpected_keys if not name.startswith(heads) and not name.endswith(UNIMPORTANT)]
    if missing or surplus:
        raise unfitting(spec, told(wanted, missing, surplus))
    require_finite(model, spec)
    return model, Loading(len(given & wanted.keys()), len(replaced), beside)


_BUILDERS = {"efficientnet_lite": _efficientnet_lite, "torchvision": _torchvision, "timm": _timm}


@torch.inference_mode()
def _width(module: nn.Module, spec: ModelSpec) -> int:
    features = module(torch.zeros(1, 3, *spec.preprocessing.input_size))
    if features.ndim != 2:
        raise JobFailure(
            f"model: {spec.name} gives features of the shape {tuple(features.shape)} where one vector a photo is needed; "
            "choose another model."
        )
    return int(features.shape[1])
