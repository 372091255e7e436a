"""A trained model in an open format: `model.onnx`, from a normalised photo to calibrated probabilities.

The backbone is traced once; the head (standardising, layers, temperature, softmax, and the mean over a photo and its mirror
image) is a handful of ONNX nodes behind it, so that training on cached features exports without importing torch.
Refuses to hand out a file whose answers differ from what was trained.
"""

from __future__ import annotations

import json
import sys
import warnings
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.failure import JobFailure
from contract.manifest import INPUT_NAME, OUTPUT_NAME
from contract.whole_file import whole_file

if TYPE_CHECKING:
    from torch import nn

FEATURES = "features"
BACKBONE_FILE = "backbone.onnx"
LOADING = "darkroom.loading"
OPSET = 18
TOLERANCE = 2e-3  # of a probability, float32 against float32


@dataclass(frozen=True)
class Layer:
    """One dense layer: weight (inputs, outputs), bias (outputs)."""

    weight: np.ndarray
    bias: np.ndarray


def fold_standardising(layers: list[Layer], mean: np.ndarray, std: np.ndarray) -> list[Layer]:
    """Layers for raw features from layers for standardised ones: W/std, b - mean/std · W."""
    first = layers[0]
    scaled = first.weight.astype(np.float64) / std[:, None].astype(np.float64)
    bias = first.bias - mean.astype(np.float64) @ scaled
    return [Layer(scaled.astype(np.float32), bias.astype(np.float32)), *layers[1:]]


def logits_of(features: np.ndarray, layers: list[Layer]) -> np.ndarray:
    """What the head answers, in NumPy: dense layers with ReLU between them."""
    for index, layer in enumerate(layers):
        features = features @ layer.weight + layer.bias
        if index < len(layers) - 1:
            features = np.maximum(features, 0)
    return features


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def backbone_to_onnx(module: nn.Module, size: tuple[int, int], path: Path) -> Path:
    """Trace a feature extractor: `image` (N x 3 x H x W) → `features` (N x width)."""
    import torch

    loading = getattr(module, "loading", None)
    module = with_weights_standardised(module.float().eval())
    example = torch.zeros(2, 3, *size)
    axes = {INPUT_NAME: {0: "n"}, FEATURES: {0: "n"}}
    names: dict[str, Any] = {"input_names": [INPUT_NAME], "output_names": [FEATURES], "opset_version": OPSET}
    with whole_file(path) as unfinished:
        with warnings.catch_warnings():
            # The tracer takes 1 s where the exporter that follows it takes 7 (EfficientNet-Lite0, 2 cores).
            warnings.simplefilter("ignore")
            try:
                torch.onnx.export(module, (example,), str(unfinished), dynamo=False, dynamic_axes=axes, **names)
            except Exception:
                shapes = ({0: torch.export.Dim("n")},)
                torch.onnx.export(
                    module,
                    (example,),
                    str(unfinished),
                    dynamo=True,
                    dynamic_shapes=shapes,
                    external_data=False,
                    **names,
                )
        if loading is not None:
            _describe(unfinished, {LOADING: json.dumps(loading.to_dict())})
    return path


def _describe(path: Path, facts: dict[str, str]) -> None:
    """Facts into an ONNX file. Protocol buffers put one behind the other are one message, so nothing is read or written again.

    https://protobuf.dev/programming-guides/encoding/#last-one-wins
    """
    import onnx

    props = [onnx.StringStringEntryProto(key=key, value=value) for key, value in facts.items()]
    with path.open("ab") as stream:
        stream.write(onnx.ModelProto(metadata_props=props).SerializeToString())


def loading_of(path: Path) -> dict[str, int]:
    """How many tensors of a weight file were loaded into this traced network; empty for random weights."""
    import onnx

    props = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    return json.loads(props.get(LOADING, "{}"))


def with_weights_standardised(module: nn.Module) -> nn.Module:
    """The network with plain convolutions where timm's standardise their weights at every call (BiT, NFNet).

    Traced as it stands, the file would hold each weight twice, and an engine that folds no constants would standardise it for
    every photo. A network without such convolutions is returned as it is; another is copied.
    """
    # Its import takes as long as extracting a thousand photos; where it has not been imported, none of its layers is here.
    if "timm" not in sys.modules:
        return module
    import torch
    from timm.layers import Conv2dSame, ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d
    from timm.layers.std_conv import StdConv2dSame

    scaled = (ScaledStdConv2d, ScaledStdConv2dSame)
    standardising = (StdConv2d, StdConv2dSame, *scaled)
    if not any(isinstance(part, standardising) for part in module.modules()):
        return module
    module = deepcopy(module)
    for name, part in list(module.named_modules()):
        if not isinstance(part, standardising):
            continue
        with torch.no_grad():
            gain = (part.gain * part.scale).view(-1) if isinstance(part, scaled) else None
            rows = part.weight.reshape(1, part.out_channels, -1)
            weight = torch.nn.functional.batch_norm(rows, None, None, weight=gain, training=True, eps=part.eps)
        kind = Conv2dSame if getattr(part, "same_pad", False) else torch.nn.Conv2d
        plain = kind(
            part.in_channels, part.out_channels, part.kernel_size, part.stride, part.padding, part.dilation, part.groups,
            part.bias is not None,
        )  # fmt: skip
        plain.weight = torch.nn.Parameter(weight.reshape_as(part.weight))
        if part.bias is not None:
            plain.bias = torch.nn.Parameter(part.bias.detach())
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, plain)
    return module


def classifier_to_onnx(
    backbone: Path, layers: list[Layer], path: Path, *, temperature: float = 1.0, flip: bool = False
) -> Path:
    """Put a head behind a traced backbone and write it, whole or not at all."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(backbone))
    graph = model.graph
    classes = int(layers[-1].bias.shape[0])
    nodes: list[Any] = []
    constants: dict[str, np.ndarray] = {}
    if flip:
        _rename_input(graph, INPUT_NAME, "both")
        constants |= {
            f"mirror_{name}": np.array([value], np.int64)
            for name, value in {"start": -1, "end": np.iinfo(np.int64).min, "axis": 3, "step": -1}.items()
        }
        mirror = ["mirror_start", "mirror_end", "mirror_axis", "mirror_step"]
        before = [
            helper.make_node("Slice", [INPUT_NAME, *mirror], ["mirrored"]),
            helper.make_node("Concat", [INPUT_NAME, "mirrored"], ["both"], axis=0),
        ]
        rest = list(graph.node)
        del graph.node[:]
        graph.node.extend(before + rest)
    current = FEATURES
    for index, layer in enumerate(layers):
        scale = temperature if index == len(layers) - 1 else 1.0
        constants[f"head_{index}_weight"] = (layer.weight / scale).astype(np.float32)
        constants[f"head_{index}_bias"] = (layer.bias / scale).astype(np.float32)
        nodes.append(
            helper.make_node("Gemm", [current, f"head_{index}_weight", f"head_{index}_bias"], [f"head_{index}"])
        )
        current = f"head_{index}"
        if index < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [current], [f"{current}_relu"]))
            current += "_relu"
    if flip:
        constants["pairs"] = np.array([2, -1, classes], np.int64)
        constants["first_axis"] = np.array([0], np.int64)
        nodes.append(helper.make_node("Reshape", [current, "pairs"], ["paired"]))
        nodes.append(helper.make_node("ReduceMean", ["paired", "first_axis"], ["mean_logits"], keepdims=0))
        current = "mean_logits"
    nodes.append(helper.make_node("Softmax", [current], [OUTPUT_NAME], axis=-1))
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["n", classes]))
    del graph.value_info[:]
    onnx.checker.check_model(model)
    with whole_file(path) as unfinished:
        onnx.save(model, str(unfinished))
    return path


def _rename_input(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


def run_onnx(path: Path, images: np.ndarray) -> np.ndarray:
    """The file's answers in float32 on OpenVINO: the engine that serves it."""
    import openvino

    core = openvino.Core()
    # A CPU with bf16 units would round: this is a check of the file, not of the engine.
    compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"})
    return compiled(images)[compiled.output(0)]


def verify(path: Path, images: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of a probability between the file and what was trained; too large is a JobFailure."""
    answers = run_onnx(path, images)
    difference = float(np.abs(answers - expected).max()) if answers.shape == expected.shape else float("inf")
    if not difference <= TOLERANCE:
        path.unlink()
        raise JobFailure(
            f"the exported model answers differently from the trained one (by {difference:.3g} where {TOLERANCE} is allowed), "
            "and was not kept. Choose another model, and report this architecture."
        )
    return difference


def backbone_name(weights_sha256: str, size: tuple[int, int], seed: int = 0) -> str:
    """The name of a traced backbone beside its weights: the same if and only if it answers the same."""
    origin = weights_sha256[:16] if weights_sha256 else f"random-{seed}"
    return f"backbone-{origin}-{size[0]}x{size[1]}.onnx"
