"""The real smdebug hook, driven by the training loop's observer calls.

smdebug's own registration stays on every module and every gradient for the whole training and calls Python for each of them
in each step. Here the model carries one hook, which asks smdebug whether this step is to be saved; only then are modules and
gradients connected, for that step. Names and files are smdebug's, so that `smdebug.trials.create_trial` reads them.
"""

from __future__ import annotations

import atexit
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training_code.debugging.smdebug_compatibility import hook_class
from training_code.observation import Guard, Mode, NoObserver, TensorKind

LOSS_INTERVAL, TENSOR_INTERVAL = "25", "250"
MODULE_COLLECTION = re.compile("(relu|tanh|sigmoid|softmax|linear|conv2d|batchnorm2d)_(input|output)")
BUDGET = 0.02
LOOK_AHEAD = 512
NOTHING = r"(?!)"  # a regular expression that matches nothing
REDUCTIONS = "min,max,mean,std,abs_mean,l2_norm"

log = logging.getLogger("darkroom.observation")


def open_configuration(choice: str, directory: Path) -> dict[str, Any]:
    """What SageMaker would have written to debughookconfig.json, for `debug_hook` = losses or reductions."""
    kept = {"reductions": REDUCTIONS, "train.save_interval": TENSOR_INTERVAL, "eval.save_interval": TENSOR_INTERVAL}
    collections: list[dict[str, Any]] = [
        {
            "CollectionName": "losses",
            "CollectionParameters": {"train.save_interval": LOSS_INTERVAL, "eval.save_interval": LOSS_INTERVAL},
        }
    ]
    if choice == "reductions":
        collections += [
            {"CollectionName": name, "CollectionParameters": kept} for name in ("weights", "gradients", "biases")
        ]
        outputs = {**kept, "include_regex": "^(?!.*[Ll]oss).*_output_"}
        collections.append({"CollectionName": "activations", "CollectionParameters": outputs})
    return {"LocalPath": str(directory), "CollectionConfigurations": collections}


class SmdebugHook(NoObserver):
    """`configuration`: the path of a debughookconfig.json, or `losses` or `reductions` (written to `directory`)."""

    def __init__(self, configuration: Path | str, directory: Path) -> None:
        kind = hook_class()
        self._within_budget = isinstance(configuration, str)  # what SageMaker configures is saved whatever it costs
        if isinstance(configuration, str):
            directory.parent.mkdir(parents=True, exist_ok=True)
            path = directory.parent / "debughookconfig.json"
            path.write_text(json.dumps(open_configuration(configuration, directory), indent=1), encoding="utf-8")
            configuration = path
        from smdebug.core.modes import ModeKeys

        self._hook = kind.create_from_json_file(str(configuration))
        if self._hook is None or not hasattr(self._hook, "out_dir"):
            raise RuntimeError(f"smdebug made no hook from {configuration}; its log above says why")
        self._modes = {"TRAIN": ModeKeys.TRAIN, "EVAL": ModeKeys.EVAL}
        self._hook.set_mode(ModeKeys.TRAIN)
        self._module_collections = self._set_apart_module_collections()
        self._guard = Guard()
        self._model: Any = None
        self._loss_name = "Loss"
        self._handles: list[Any] = []
        self._root_handle: Any = None
        self._begun, self._saving = False, frozenset()
        self._mode: Mode = "TRAIN"
        self._idle = {"TRAIN": 0, "EVAL": 0}  # steps until smdebug is to be asked again
        self._passed = {"TRAIN": 0, "EVAL": 0}  # steps it has not been told of
        self._saved_modes: set[Mode] = set()
        self._began, self._spent = time.perf_counter(), 0.0

    def model_ready(self, model: Any, loss_function: Any, optimizer: Any) -> None:
        name = getattr(loss_function, "__name__", None) or type(loss_function).__name__
        self._loss_name = name if name.endswith(("Loss", "loss")) else f"{name}_Loss"
        if not hasattr(model, "named_modules"):
            return
        self._model = model
        for module_name, module in model.named_modules():
            module._module_name = module_name  # smdebug names tensors after this attribute
        model._module_name = model._get_name()
        self._include_modules()
        self._root_handle = model.register_forward_pre_hook(self._guard.guarded(lambda *_: self._begin()))

    def mode(self, mode: Mode) -> None:
        self._finish()
        self._mode = mode
        self._hook.set_mode(self._modes[mode])

    def tensors(self, kind: TensorKind, read: Callable[[], Mapping[str, Any]]) -> None:
        self._begin()
        if not self._saving - {"losses"}:
            return
        for name, value in read().items():
            named = {"gradient": f"gradient/{name}", "weight": name, "activation": f"{name}_output_0"}[kind]
            self._hook._save_for_tensor(named, value)

    def step(self, loss: Any, batch_size: int) -> None:
        self._guard.check()
        self._begin()
        if self._saving:
            self._charged(self._save_loss)(loss)
        self._finish()

    def close(self) -> None:
        self._disconnect()
        if self._root_handle:
            self._root_handle.remove()
        atexit.unregister(self._hook._cleanup)
        self._hook.close()

    def _set_apart_module_collections(self) -> list[str]:
        """smdebug refuses a collection without tensors; `relu_output` and the like get theirs once the model is known."""
        manager = self._hook.collection_manager
        empty = [
            name for name, c in manager.get_collections().items()
            if name not in self._hook._get_default_collections() and not c.include_regex and not c.tensor_names
        ]  # fmt: skip
        for name in empty:
            if not MODULE_COLLECTION.fullmatch(name):
                log.warning("smdebug: collection %s has no include_regex, so nothing of it is saved", name)
            manager.get(name).include(NOTHING)
        return [name for name in empty if MODULE_COLLECTION.fullmatch(name)]

    def _include_modules(self) -> None:
        for name in self._module_collections:
            kind, end = name.split("_")
            modules = [n for n, m in self._model.named_modules() if type(m).__name__.lower().startswith(kind)]
            for module_name in modules:
                self._hook.collection_manager.get(name).include(f"^{re.escape(module_name)}_{end}_")

    def _begin(self) -> None:
        """Once per step, at the first sign of it."""
        if self._begun:
            return
        self._begun = True
        if self._idle[self._mode] > 0:
            self._idle[self._mode] -= 1
            self._passed[self._mode] += 1
        else:
            self._charged(self._ask)()

    def _ask(self) -> None:
        """Lets smdebug count the steps and say what of this one is to be saved."""
        hook, mode = self._hook, self._modes[self._mode]
        if not hook.prepared_collections:
            hook._prepare_collections()
        for name, steps in self._passed.items():
            if steps:
                hook.step += steps
                hook.mode_steps[self._modes[name]] += steps
                self._passed[name] = 0
        hook._increment_step()
        if self._too_expensive():
            hook._collections_to_save_for_step = set()
        self._saving = frozenset(c.name for c in hook._get_collections_to_save_for_step())
        self._idle[self._mode] = self._steps_without_saving(mode, hook.mode_steps[mode])
        if self._saving:
            self._saved_modes.add(self._mode)
            hook._initialize_writers()
            if self._model is not None and self._saving - {"losses"}:
                self._connect()

    def _too_expensive(self) -> bool:
        """In open mode saving keeps below `BUDGET` of the time, after the first step of each mode."""
        over = self._spent > BUDGET * (time.perf_counter() - self._began)
        return self._within_budget and self._mode in self._saved_modes and over

    def _steps_without_saving(self, mode: Any, step: int) -> int:
        collections = self._hook._get_all_collections_to_save()
        for ahead in range(1, LOOK_AHEAD):
            if any(c.save_config.should_save_step(mode, step + ahead) for c in collections):
                return ahead - 1
        return LOOK_AHEAD - 1

    def _charged(self, call: Callable[..., None]) -> Callable[..., None]:
        """`call`, its time added to what saving has cost."""

        def charged(*arguments: Any) -> None:
            began = time.perf_counter()
            try:
                call(*arguments)
            finally:
                self._spent += time.perf_counter() - began

        return charged

    def _save_loss(self, loss: Any) -> None:
        self._hook._save_for_tensor(f"{self._loss_name}_output_0", _array(loss))
        self._hook.last_saved_step = self._hook.step

    def _finish(self) -> None:
        self._begun = False
        if self._saving:
            self._charged(self._write_out)()
            self._saving = frozenset()

    def _write_out(self) -> None:
        self._disconnect()
        self._hook._close_writers()
        self._hook._close_tb_writer()
        if not self._hook.exported_collections:
            self._hook.export_collections()
            self._hook.exported_collections = True

    def _connect(self) -> None:
        hook = self._hook
        hook._log_params(self._model)
        for module in self._model.modules():
            self._handles.append(module.register_forward_hook(self._guard.guarded(self._charged(self._write_module))))
        prefix = self._model._get_name() + "_"
        for name, parameter in self._model.named_parameters():
            if parameter.requires_grad and hook.mode.name == "TRAIN":
                self._handles.append(parameter.register_hook(self._write_gradient(prefix + name)))

    def _write_module(self, module: Any, inputs: Any, outputs: Any) -> None:
        self._hook._write_inputs(module._module_name, inputs)
        self._hook._write_outputs(module._module_name, outputs)

    def _write_gradient(self, name: str) -> Callable[[Any], None]:
        def write(gradient: Any) -> None:
            self._hook._save_for_tensor(self._hook.GRADIENT_PREFIX + name, gradient)

        return self._guard.guarded(self._charged(write))

    def _disconnect(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


def _array(loss: Any) -> Any:
    import numpy

    return loss.detach().cpu().numpy() if hasattr(loss, "detach") else numpy.asarray(loss, dtype="float32")
