"""Backbone and head as one torch model, and which of its parts learn how fast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from contract.hyperparameters import Hyperparameters
from training_code.models.export import Layer, fold_standardising

SLOWEST = 0.3  # learning rate of the first layers, as a share of the last ones'


class Classifier(nn.Module):
    """Normalised photo → backbone → standardised features → dropout → dense layers → logits."""

    def __init__(
        self, backbone: nn.Module, layers: Sequence[Layer], mean: np.ndarray, std: np.ndarray, dropout: float
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("mean", torch.from_numpy(np.array(mean)))
        self.register_buffer("std", torch.from_numpy(np.array(std)))
        modules: list[nn.Module] = []
        for index, layer in enumerate(layers):
            if index == len(layers) - 1 and dropout:
                modules.append(nn.Dropout(dropout))
            linear = nn.Linear(*layer.weight.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(layer.weight.T.copy()))
                linear.bias.copy_(torch.from_numpy(layer.bias.copy()))
            modules.append(linear)
            if index < len(layers) - 1:
                modules.append(nn.ReLU())
        self.head = nn.Sequential(*modules)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head((self.backbone(image).float() - self.mean) / self.std)

    def layers(self) -> list[Layer]:
        """The head for raw features."""
        linears = [module for module in self.head if isinstance(module, nn.Linear)]
        layers = [
            Layer(one.weight.detach().cpu().numpy().T.copy(), one.bias.detach().cpu().numpy().copy()) for one in linears
        ]
        return fold_standardising(layers, self.mean.cpu().numpy(), self.std.cpu().numpy())


def blocks_of(backbone: nn.Module) -> list[nn.Module]:
    """The backbone as a list of blocks in order: containers are opened, a block that computes something is not."""
    blocks: list[nn.Module] = []

    def open_up(module: nn.Module) -> None:
        for child in module.children():
            if isinstance(child, nn.Sequential | nn.ModuleList) or (
                len(list(module.children())) == 1 and list(child.children())
            ):
                open_up(child)
            elif any(True for _ in child.parameters()):
                blocks.append(child)

    open_up(backbone)
    return blocks or [backbone]


def frozen_blocks(backbone: nn.Module, fine_tune: str, share: float) -> list[nn.Module]:
    """Everything for `head`; for `last_block` all but the last blocks that together hold that share of the parameters."""
    blocks = blocks_of(backbone)
    if fine_tune == "all":
        return []
    if fine_tune == "head":
        return [backbone]
    total = sum(p.numel() for p in backbone.parameters())
    held = 0
    for index in reversed(range(len(blocks))):
        held += sum(p.numel() for p in blocks[index].parameters())
        if held >= share * total:
            return blocks[:index]
    return []


def parameter_groups(model: Classifier, settings: Hyperparameters) -> list[dict]:
    """Optimizer groups with `share` of the learning rate: head 1, last blocks `backbone_learning_rate`, first ones 0.3 of it.

    Vectors (biases, scales) are not decayed.
    """
    frozen = frozen_blocks(model.backbone, settings.fine_tune, settings.last_block_share)
    for block in frozen:
        block.requires_grad_(False)
    learning = [block for block in blocks_of(model.backbone) if block not in frozen]
    seen = {id(p) for p in model.head.parameters()}
    groups = _split(list(model.head.parameters()), 1.0, settings)
    for index, block in enumerate(learning):
        depth = (index + 1) / len(learning)
        mine = [p for p in block.parameters() if id(p) not in seen]
        seen |= {id(p) for p in mine}
        groups += _split(mine, settings.backbone_learning_rate * SLOWEST ** (1 - depth), settings)
    rest = [p for p in model.backbone.parameters() if id(p) not in seen and p.requires_grad]
    if settings.fine_tune == "last_block":
        for parameter in rest:
            parameter.requires_grad_(False)
        rest = []
    groups += _split(rest, settings.backbone_learning_rate * SLOWEST, settings)
    return [group for group in groups if group["params"]]


def _split(parameters: list[nn.Parameter], share: float, settings: Hyperparameters) -> list[dict]:
    decayed = [p for p in parameters if p.ndim > 1]
    plain = [p for p in parameters if p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": settings.weight_decay, "share": share},
        {"params": plain, "weight_decay": 0.0, "share": share},
    ]


def optimizer_for(model: Classifier, settings: Hyperparameters) -> torch.optim.Optimizer:
    groups = parameter_groups(model, settings)
    rate = settings.learning_rate
    if settings.optimizer in ("adamw", "adam"):
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        return kind(groups, lr=rate, eps=settings.epsilon, fused=True)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum, fused=True)
    return torch.optim.RMSprop(groups, lr=rate, eps=settings.epsilon, momentum=settings.momentum)
