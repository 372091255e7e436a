"""What a network knows before its last layer: pooled activations of several depths, as one more output of the same ONNX graph.

A depth is a tensor through which everything passes (no shortcut goes around it), so that any traced convolutional network has them
and no architecture is named. Of those that are wider than all before, the last of each width is taken: where a network
has said what it can say at that width. Of one resolution the last `A_RESOLUTION` are kept. Each gives mean and spread over the photo.

Features are nested: those of depth 1 are the network's own, those of depth n begin with those of n - 1. A network with one
resolution (a transformer's tokens) has depth 1 alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.manifest import INPUT_NAME

A_RESOLUTION = 3
MOST = 8


@dataclass(frozen=True)
class Depth:
    """A tensor of the graph, with its channels and its side at the input size at hand."""

    tensor: str
    channels: int
    side: int


def depths_of(traced: Path) -> list[Depth]:
    """From the last to the first."""
    import onnx

    shapes = _shapes(traced)
    model = onnx.load(str(traced), load_external_data=False)
    found: list[Depth] = []
    widest = 0
    for name in _passages(model.graph):
        shape = shapes.get(name, [])
        if len(shape) != 4 or min(shape[1:]) < 1 or shape[2] < 2:
            continue
        if found and shape[1] == found[-1].channels:
            found[-1] = Depth(name, shape[1], shape[2])
        elif shape[1] > widest:
            found.append(Depth(name, shape[1], shape[2]))
        widest = max(widest, shape[1])
    found.reverse()
    kept = [one for place, one in enumerate(found) if sum(o.side == one.side for o in found[:place]) < A_RESOLUTION]
    return kept[: MOST - 1]


def widths_of(width: int, depths: list[Depth]) -> list[int]:
    """Columns of the features up to each depth; `width` are the network's own."""
    widths = [width]
    for place, one in enumerate(depths):
        widths.append(widths[-1] + one.channels * (1 if _is_pooled(place, one, width) else 2))
    return widths


def _is_pooled(place: int, depth: Depth, width: int) -> bool:
    """Whether the network's own features are this depth's mean already: only the spread is new."""
    return place == 0 and depth.channels == width


def with_depths(model: Any, depths: list[Depth], features: str, width: int) -> Any:
    """The model with `features` = its own (`width`), then mean and spread of each depth. The model is changed."""
    if not depths:
        return model
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    own = f"own_{features}"
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name == features:
                node.output[index] = own
        for index, name in enumerate(node.input):
            if name == features:
                node.input[index] = own
    parts = [own]
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([2, 3], np.int64), "depth_axes"),
            numpy_helper.from_array(np.array(0, np.float32), "depth_zero"),
        ]
    )
    for number, one in enumerate(depths):
        name = f"depth_{number}"
        graph.node.extend(
            [
                helper.make_node("ReduceMean", [one.tensor, "depth_axes"], [f"{name}_mean"], keepdims=0),
                helper.make_node("Mul", [one.tensor, one.tensor], [f"{name}_squares"]),
                helper.make_node("ReduceMean", [f"{name}_squares", "depth_axes"], [f"{name}_power"], keepdims=0),
                helper.make_node("Mul", [f"{name}_mean", f"{name}_mean"], [f"{name}_square"]),
                helper.make_node("Sub", [f"{name}_power", f"{name}_square"], [f"{name}_difference"]),
                # Rounding may leave less than nothing.
                helper.make_node("Max", [f"{name}_difference", "depth_zero"], [f"{name}_variance"]),
                helper.make_node("Sqrt", [f"{name}_variance"], [f"{name}_spread"]),
            ]
        )
        parts += [f"{name}_spread"] if _is_pooled(number, one, width) else [f"{name}_mean", f"{name}_spread"]
    graph.node.append(helper.make_node("Concat", parts, [features], axis=1))
    del graph.output[:]
    total = widths_of(width, depths)[-1]
    graph.output.append(helper.make_tensor_value_info(features, TensorProto.FLOAT, ["n", total]))
    return model


def deepened(traced: Path, features: str, place: Path, most: int) -> list[int]:
    """A traced backbone with features of up to `most` depths, written to `place`; the columns up to each depth."""
    import onnx

    depths = depths_of(traced)[: most - 1]
    width = _shapes(traced)[features][1]
    onnx.save(with_depths(onnx.load(str(traced)), depths, features, width), str(place))
    return widths_of(width, depths)


def _shapes(traced: Path) -> dict[str, list[int]]:
    """Dimensions by tensor; 0 where they are not fixed. ONNX's own inference copies all weights and stops at computed paddings."""
    import openvino

    model = openvino.Core().read_model(str(traced))
    found = {}
    for operation in model.get_ordered_ops():
        for output in operation.outputs():
            shape = output.get_partial_shape()
            if not shape.rank.is_static:
                continue
            sides = [int(dim.get_length()) if dim.is_static else 0 for dim in shape]
            found |= dict.fromkeys(output.get_names(), sides)
    return found


def _passages(graph: Any) -> list[str]:
    """Tensors through which everything between the photo and the features passes, in order."""
    last_use: dict[str, int] = {}
    for place, node in enumerate(graph.node):
        last_use |= dict.fromkeys(node.input, place)
    constant = {one.name for one in graph.initializer} | {""}
    alive = {INPUT_NAME}
    found = []
    for place, node in enumerate(graph.node):
        if all(name in constant for name in node.input):
            constant |= set(node.output)
            continue
        alive |= set(node.output)
        alive = {name for name in alive if last_use.get(name, -1) > place}
        if len(alive) == 1:
            found.append(next(iter(alive)))
    return found
