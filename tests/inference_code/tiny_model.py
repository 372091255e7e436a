"""A model whose answer is known: how red is the top left patch? Written as a real artifact, without training anything."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from contract.manifest import Manifest
from contract.preprocessing import Preprocessing, Resize

SIDE = 32
PATCH = slice(0, 16)
CLASSES = ("plain", "red corner")
PREPROCESSING = Preprocessing((SIDE, SIDE), Resize("squash", SIDE), "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
GAIN = 8.0


def weights() -> np.ndarray:
    """float32 (3 * SIDE * SIDE, 2): the second logit is GAIN times the mean red of the patch, minus half of it."""
    red = np.zeros((3, SIDE, SIDE), dtype=np.float32)
    red[0, PATCH, PATCH] = GAIN / 256
    return np.stack([np.zeros_like(red), red], axis=-1).reshape(-1, 2)


def expected(tensor: np.ndarray) -> np.ndarray:
    """The model in NumPy: probabilities of one input (3, SIDE, SIDE)."""
    logits = tensor.reshape(1, -1).astype(np.float64) @ weights() - np.array([[0.0, GAIN / 2]])
    powers = np.exp(logits - logits.max())
    return (powers / powers.sum())[0]


def write_onnx(path: Path, output: str = "probabilities", softmax: bool = True) -> None:
    """`model.onnx`, or one with the fault asked for."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
        helper.make_node("Softmax" if softmax else "Identity", ["logits"], [output]),
    ]
    initializers = [
        numpy_helper.from_array(weights(), "weights"),
        numpy_helper.from_array(np.array([0.0, -GAIN / 2], dtype=np.float32), "bias"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])
    answer = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 2])
    graph = helper.make_graph(nodes, "red_corner", [image], [answer], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def write_artifact(folder: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    """Manifest and model, as SageMaker unpacks them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_onnx(folder / "model.onnx")
    Manifest("red_corner", classes, PREPROCESSING, metrics={"validation:accuracy": 1.0}).write(folder)
    return folder
