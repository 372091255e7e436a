"""Plans for tests: what `prepare` decides of small made-up sets of photos."""

from __future__ import annotations

from collections.abc import Sequence

from contract.execution_input import ExecutionInput
from contract.plan import BiasPlan, DataSet, Features, Plan, make_plan

NO_BIAS = BiasPlan(False, "the test has none")


def planned(
    execution: ExecutionInput, *, classes: Sequence[str] = ("ant", "bee"), depths: int = 1, bias: BiasPlan = NO_BIAS
) -> Plan:
    features = Features("k", 1280, "onnxruntime", {"precision": "float32", "difference": None}, 0, 12, depths)
    return make_plan(execution, DataSet("f" * 16, {"train": 10}, 0, tuple(classes)), bias, features)
