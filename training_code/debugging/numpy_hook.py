"""smdebug's hook for arrays, in the image that has no PyTorch: its core does all the work, only `smdebug.pytorch` needs the framework.

Names of collections, their patterns and the files are those of smdebug's hook for PyTorch, so that a trial of either is read alike.
"""

from __future__ import annotations

from typing import Any

from smdebug.core.collection import DEFAULT_PYTORCH_COLLECTIONS, CollectionKeys
from smdebug.core.collection_manager import CollectionManager
from smdebug.core.hook import CallbackHook
from smdebug.core.json_config import DEFAULT_WORKER_NAME
from smdebug.core.reductions import get_numpy_reduction
from smdebug.core.utils import FRAMEWORK, make_numpy_array
from smdebug.profiler.profiler_config_parser import get_profiler_config_parser

PATTERNS = {
    CollectionKeys.WEIGHTS: "^(?!gradient).*weight",
    CollectionKeys.BIASES: "^(?!gradient).*bias",
    CollectionKeys.GRADIENTS: "^gradient",
    CollectionKeys.LOSSES: "[Ll]oss_(?!input).*output",
}


def _collections() -> CollectionManager:
    manager = CollectionManager(create_default=True)
    for name in DEFAULT_PYTORCH_COLLECTIONS:
        manager.create_collection(name)
    for name, pattern in PATTERNS.items():
        manager.get(name).include(pattern)
    return manager


class NumpyHook(CallbackHook):
    """One worker, no modules: `debugging/hook.py` gives it arrays by name."""

    def __init__(self, **configured: Any) -> None:
        super().__init__(
            collection_manager=_collections(),
            default_include_collections=[CollectionKeys.LOSSES],
            profiler_config_parser=get_profiler_config_parser(FRAMEWORK.PYTORCH),
            data_type_name="ndarray",
            **configured,
        )
        self.worker = self._get_worker_name()

    def _get_worker_name(self) -> str:
        return DEFAULT_WORKER_NAME

    def _get_num_workers(self) -> int:
        return 1

    def _get_default_collections(self) -> Any:
        return DEFAULT_PYTORCH_COLLECTIONS

    def _export_model(self) -> None:
        pass

    def close(self) -> None:
        self._cleanup()

    @staticmethod
    def _get_reduction_of_data(reduction_name: str, tensor_value: Any, tensor_name: str, abs: bool) -> Any:
        return get_numpy_reduction(reduction_name, tensor_value, abs)

    @staticmethod
    def _make_numpy_array(tensor_value: Any) -> Any:
        return make_numpy_array(tensor_value)
