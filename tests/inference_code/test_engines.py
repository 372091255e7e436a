"""Every engine answers what the model's arithmetic says, from many threads, alone and together."""

import concurrent.futures

import numpy as np
import pytest

from inference_code.classifier import Classifier
from inference_code.engines import EngineUnavailable, UnusableModel, open_engine
from inference_code.engines.onnxruntime import OnnxRuntimeEngine
from tests.inference_code.tiny_model import SIDE, expected, write_artifact, write_onnx

ENGINES = ("openvino", "onnxruntime")
RANDOM = np.random.default_rng(0)
TENSORS = RANDOM.random((40, 3, SIDE, SIDE), dtype=np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_artifact(tmp_path_factory.mktemp("engines")) / "model.onnx"


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("cores", [1, 2])
def test_an_engine_answers_what_the_arithmetic_says(model, kind, cores):
    engine = open_engine(model, cores, kind)
    wanted = np.array([expected(tensor) for tensor in TENSORS])
    assert engine.warm_up(TENSORS[:1]) == pytest.approx(wanted[:1], abs=1e-5)
    assert engine.predict(TENSORS) == pytest.approx(wanted, abs=1e-5)
    assert np.concatenate([engine.predict(TENSORS[i : i + 1]) for i in range(40)]) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("kind", ENGINES)
def test_threads_do_not_get_each_others_answers(model, kind):
    engine = open_engine(model, 2, kind)
    alone = [engine.predict(TENSORS[i : i + 1]) for i in range(40)]
    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda i: engine.predict(TENSORS[i : i + 1]), list(range(40)) * 5))
    assert all(np.allclose(answer, alone[i % 40], atol=1e-7) for i, answer in enumerate(together))


@pytest.mark.parametrize("kind", ENGINES)
def test_a_model_with_other_names_or_no_model_is_refused(tmp_path, kind):
    write_onnx(tmp_path / "named.onnx", output="scores")
    (tmp_path / "none.onnx").write_bytes(b"no protobuf")
    for name in ("named.onnx", "none.onnx"):
        with pytest.raises(UnusableModel, match=name):
            open_engine(tmp_path / name, 1, kind)


def test_the_image_decides_and_this_one_has_openvino(model):
    assert Classifier.load(model.parent, 1).engine.name.startswith("openvino 20")


def test_the_gpu_engine_does_not_answer_from_the_cpu_in_silence(model):
    with pytest.raises(EngineUnavailable, match="CUDA"):
        OnnxRuntimeEngine(model, 1, need_gpu=True)


def test_an_engine_that_is_not_there_is_named(model):
    with pytest.raises(EngineUnavailable, match="tensorrt"):
        open_engine(model, 1, "tensorrt")
