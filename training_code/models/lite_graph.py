"""EfficientNet-Lite as an ONNX graph, made from its published weights without PyTorch.

The default models need no framework: their weight files are read with care (`weight_values`), batch norms are folded into the
convolutions in front of them, and paddings are those of TensorFlow ("same": the odd pixel goes right and below). A test holds the
graph's answers against PyTorch's. Refuses a file whose names or shapes are not this architecture's, and values that are not finite.
https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet/lite/efficientnet_lite_builder.py
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contract.manifest import INPUT_NAME
from contract.whole_file import whole_file
from training_code.models.catalogue import ModelSpec
from training_code.models.export import FEATURES, LOADING, OPSET
from training_code.models.fitting import UNIMPORTANT, told, unfitting, without_prefix

EPSILON = 1e-3  # of all batch norms
STEM, HEAD = 32, 1280  # channels; the Lite models do not scale them
# width and depth of each model
SCALES = {
    "efficientnet-lite0": (1.0, 1.0),
    "efficientnet-lite1": (1.0, 1.1),
    "efficientnet-lite2": (1.1, 1.2),
}


@dataclass(frozen=True)
class Stage:
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16), Stage(2, 3, 2, 6, 24), Stage(2, 5, 2, 6, 40), Stage(3, 3, 2, 6, 80), Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192), Stage(1, 3, 1, 6, 320),
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """One inverted residual: expand, look around, project."""

    kernel: int
    stride: int
    expansion: int
    inputs: int
    outputs: int


def blocks_of(architecture: str) -> list[Block]:
    width, depth = SCALES[architecture]
    blocks, inputs = [], STEM
    for place, stage in enumerate(STAGES):
        outputs = _rounded(stage.channels * width)
        ends = place in (0, len(STAGES) - 1)
        for number in range(stage.repeats if ends else math.ceil(depth * stage.repeats)):
            blocks.append(Block(stage.kernel, 1 if number else stage.stride, stage.expansion, inputs, outputs))
            inputs = outputs
    return blocks


def _rounded(channels: float) -> int:
    """To a multiple of eight, and never by more than a tenth down."""
    found = max(8, int(channels + 4) // 8 * 8)
    return found + 8 if found < 0.9 * channels else found


def expected_shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    """Every tensor that the architecture needs, by the published files' names."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, norm: str, shape: tuple[int, ...]) -> None:
        shapes[f"{name}.weight"] = shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = shape[:1]

    blocks = blocks_of(architecture)
    convolution("_conv_stem", "_bn0", (STEM, 3, 3, 3))
    for number, block in enumerate(blocks):
        name, middle = f"_blocks.{number}", block.inputs * block.expansion
        if block.expansion != 1:
            convolution(f"{name}._expand_conv", f"{name}._bn0", (middle, block.inputs, 1, 1))
        convolution(f"{name}._depthwise_conv", f"{name}._bn1", (middle, 1, block.kernel, block.kernel))
        convolution(f"{name}._project_conv", f"{name}._bn2", (block.outputs, middle, 1, 1))
    convolution("_conv_head", "_bn1", (HEAD, blocks[-1].outputs, 1, 1))
    return shapes


def checked(state: Mapping[str, np.ndarray], spec: ModelSpec) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """The tensors that the graph needs, and how many of the file were loaded, replaced (the head) and left beside."""
    wanted = expected_shapes(spec.architecture)
    own, beside = without_prefix(state, wanted)
    missing = [name for name in wanted if name not in own]
    counters = [name for name in own if name not in wanted and name.endswith(UNIMPORTANT)]
    replaced = [name for name in own if name.startswith("_fc.")]
    surplus = [name for name in own if name not in wanted and name not in counters and name not in replaced]
    other = [
        f"{name} {own[name].shape} for {shape}"
        for name, shape in wanted.items()
        if name in own and own[name].shape != shape
    ]
    if missing or surplus or other:
        raise unfitting(spec, told(wanted, missing, surplus, other))
    kinds = [name for name in wanted if not np.issubdtype(own[name].dtype, np.floating)]
    if kinds:
        raise unfitting(spec, f"{len(kinds)} tensors hold no floating-point numbers ({', '.join(kinds[:4])})")
    broken = [name for name in wanted if not np.isfinite(own[name]).all()]
    if broken:
        raise unfitting(spec, f"{len(broken)} tensors hold values that are not finite ({', '.join(broken[:4])})")
    found = {name: own[name].astype(np.float32) for name in wanted}
    return found, {"loaded": len(wanted) + len(counters), "replaced": len(replaced), "beside": beside}


class Graph:
    """Nodes and constants as they come."""

    def __init__(self, state: Mapping[str, np.ndarray], side: tuple[int, int]) -> None:
        self.state, self.side = state, side
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def convolution(self, name: str, norm: str, source: str, stride: int = 1, groups: int = 1) -> str:
        """Convolution with its batch norm folded in; the output's name."""
        from onnx import helper

        state = self.state
        scale = state[f"{norm}.weight"].astype(np.float64) / np.sqrt(
            state[f"{norm}.running_var"].astype(np.float64) + EPSILON
        )
        weight = state[f"{name}.weight"] * scale[:, None, None, None]
        self.constants[f"{name}.weight"] = weight.astype(np.float32)
        self.constants[f"{name}.bias"] = (state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale).astype(
            np.float32
        )
        kernel = weight.shape[2]
        before, after = zip(*(_same(side, kernel, stride) for side in self.side), strict=True)
        self.nodes.append(
            helper.make_node(
                "Conv", [source, f"{name}.weight", f"{name}.bias"], [name], kernel_shape=[kernel, kernel],
                strides=[stride, stride], pads=[*before, *after], group=groups,
            )
        )  # fmt: skip
        self.side = (math.ceil(self.side[0] / stride), math.ceil(self.side[1] / stride))
        return name

    def clipped(self, source: str) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node("Clip", [source, "lowest", "highest"], [f"{source}.relu6"]))
        return f"{source}.relu6"


def _same(side: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max(0, (math.ceil(side / stride) - 1) * stride + kernel - side)
    return total // 2, total - total // 2


def lite_to_onnx(state: Mapping[str, np.ndarray], spec: ModelSpec, path: Path) -> Path:
    """`image` (N x 3 x H x W) → `features` (N x 1280), like a traced backbone."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    tensors, loading = checked(state, spec)
    height, width = spec.preprocessing.input_size
    graph = Graph(tensors, (height, width))
    current = graph.clipped(graph.convolution("_conv_stem", "_bn0", INPUT_NAME, stride=2))
    for number, block in enumerate(blocks_of(spec.architecture)):
        name, before = f"_blocks.{number}", current
        if block.expansion != 1:
            current = graph.clipped(graph.convolution(f"{name}._expand_conv", f"{name}._bn0", current))
        middle = block.inputs * block.expansion
        current = graph.convolution(f"{name}._depthwise_conv", f"{name}._bn1", current, block.stride, middle)
        current = graph.convolution(f"{name}._project_conv", f"{name}._bn2", graph.clipped(current))
        if block.stride == 1 and block.inputs == block.outputs:
            graph.nodes.append(helper.make_node("Add", [current, before], [f"{name}.sum"]))
            current = f"{name}.sum"
    current = graph.clipped(graph.convolution("_conv_head", "_bn1", current))
    graph.constants |= {
        "lowest": np.array(0, np.float32), "highest": np.array(6, np.float32), "sides": np.array([2, 3], np.int64),
    }  # fmt: skip
    graph.nodes.append(helper.make_node("ReduceMean", [current, "sides"], [FEATURES], keepdims=0))
    made = helper.make_graph(
        graph.nodes, spec.architecture,
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["n", 3, height, width])],
        [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["n", HEAD])],
        [numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    model.metadata_props.append(onnx.StringStringEntryProto(key=LOADING, value=json.dumps(loading)))
    onnx.checker.check_model(model)
    with whole_file(path) as unfinished:
        onnx.save(model, str(unfinished))
    return path
