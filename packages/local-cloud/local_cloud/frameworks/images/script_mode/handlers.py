"""`model_fn`, `input_fn`, `predict_fn`, `output_fn`, `transform_fn`: the user's where the script has them, else the framework's.

Defaults as in github.com/aws/sagemaker-pytorch-inference-toolkit, sagemaker-scikit-learn-container, sagemaker-xgboost-container.
"""

import importlib.util
import inspect
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from script_mode import FRAMEWORK, MANY, UserError, formats
from script_mode.code import python_path

TEXTS = (formats.CSV, formats.JSON, formats.LINES)


class Handler:
    """A loaded model and the functions around it."""

    def __init__(self, model_dir: Path, code: Path | None, program: str):
        module = _imported(code, program) if code else None
        own: Callable[[str], Any] = lambda name: getattr(module, name, None)  # noqa: E731
        if own("transform_fn") and (own("input_fn") or own("predict_fn") or own("output_fn")):
            raise UserError(
                "Cannot use transform_fn implementation in conjunction with input_fn, predict_fn, and/or output_fn implementation"
            )
        defaults = DEFAULTS[FRAMEWORK]
        self._transform = own("transform_fn")
        self._input = own("input_fn") or defaults.input_fn
        self._predict = own("predict_fn") or defaults.predict_fn
        self._output = own("output_fn") or defaults.output_fn
        self.model = _called(own("model_fn") or defaults.model_fn, str(model_dir))

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """What /invocations answers, with its content type."""
        accept = (
            accept
            if accept and accept != formats.ANY
            else os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", formats.JSON)
        )
        given = body.decode("utf-8") if content_type in TEXTS else body
        if self._transform:
            result = _called(self._transform, self.model, given, content_type, accept)
        else:
            data = _called(self._input, given, content_type)
            result = _called(self._output, _called(self._predict, data, self.model), accept)
        answer, kind = result if isinstance(result, tuple) and len(result) == 2 else (result, accept)
        if hasattr(answer, "response") and hasattr(answer, "mimetype"):  # sagemaker_containers' worker.Response
            answer, kind = answer.get_data(), answer.mimetype
        return (answer.encode() if isinstance(answer, str) else bytes(answer)), kind


def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    """AWS's toolkit hands a `context` to functions that take one more argument; here it is None."""
    takes = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) and each.default is each.empty
    ]
    return function(*arguments, *([None] if len(takes) == len(arguments) + 1 else []))


def _imported(code: Path, program: str) -> ModuleType:
    """The user's module. Each gets a name of its own: two models of one endpoint may both call it `inference`."""
    path = code / program
    if not path.is_file():
        here = ", ".join(sorted(each.name for each in code.glob("*"))) or "nothing"
        raise UserError(f"The entry point {program!r} is not in {code}; there: {here}.")
    for folder in reversed(python_path(code).split(os.pathsep)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    name = f"{path.stem}_{uuid.uuid4().hex}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = sys.modules[path.stem] = module  # pickled classes name the module as the script was called
    spec.loader.exec_module(module)
    return module


class PyTorch:
    """https://github.com/aws/sagemaker-pytorch-inference-toolkit"""

    @staticmethod
    def model_fn(model_dir: str) -> Any:
        import torch

        files = [path for path in Path(model_dir).iterdir() if path.suffix in (".pt", ".pth")]
        named = Path(model_dir) / "model.pt"
        if not named.is_file() and len(files) != 1:
            raise UserError(
                f"Exactly one .pth or .pt file is required for PyTorch models: {sorted(path.name for path in files)}"
            )
        chosen = named if named.is_file() else files[0]
        try:
            return torch.jit.load(chosen, map_location=_device()).to(_device())
        except RuntimeError as error:
            raise UserError(
                f"Failed to load {chosen}. Please ensure model is saved using torchscript, or give an entry_point with model_fn. {error}"
            ) from None

    @staticmethod
    def input_fn(body: Any, content_type: str) -> Any:
        import torch

        array = formats.decode(body, content_type)
        return (torch.FloatTensor(array) if content_type in TEXTS else torch.from_numpy(array)).to(_device())

    @staticmethod
    def predict_fn(data: Any, model: Any) -> Any:
        import torch

        with torch.no_grad():
            model = model.to(_device())
            model.eval()
            return model(data.to(_device()))

    @staticmethod
    def output_fn(answer: Any, accept: str) -> tuple[bytes, str]:
        return formats.encode(answer.detach().cpu().numpy().tolist() if hasattr(answer, "detach") else answer, accept)


def _device() -> Any:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class ScikitLearn:
    """https://github.com/aws/sagemaker-scikit-learn-container"""

    @staticmethod
    def model_fn(model_dir: str) -> Any:
        raise UserError("Please provide a model_fn implementation: a function model_fn(model_dir) in the entry point.")

    @staticmethod
    def input_fn(body: Any, content_type: str) -> Any:
        array = formats.decode(body, content_type)
        # AWS's container takes one record without its outer brackets where it serves several models, and only there.
        if array.ndim == 1 and MANY:
            array = array.reshape(1, -1)
        return array.astype("float32") if content_type in TEXTS else array

    @staticmethod
    def predict_fn(data: Any, model: Any) -> Any:
        return model.predict(data)

    @staticmethod
    def output_fn(answer: Any, accept: str) -> tuple[bytes, str]:
        return formats.encode(answer, accept)


class XGBoost(ScikitLearn):
    """https://github.com/aws/sagemaker-xgboost-container; without an entry point the built-in algorithm's model is served."""

    @staticmethod
    def model_fn(model_dir: str) -> Any:
        from script_mode.xgboost_algorithm import load

        return load(Path(model_dir))

    @staticmethod
    def input_fn(body: Any, content_type: str) -> Any:
        from script_mode.xgboost_algorithm import matrix

        return matrix(body, content_type)

    @staticmethod
    def predict_fn(data: Any, model: Any) -> Any:
        return model.predict(data, validate_features=False)


class BuiltInXGBoost(XGBoost):
    """The built-in algorithm's own answers: CSV where nothing else is asked for, one line a record in batch transform."""

    @staticmethod
    def output_fn(answer: Any, accept: str) -> tuple[bytes, str]:
        from script_mode.xgboost_algorithm import written

        return written(answer, accept)


DEFAULTS = {"pytorch": PyTorch, "scikit-learn": ScikitLearn, "xgboost": XGBoost}
