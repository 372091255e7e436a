"""Which arithmetic extracts features when `precision` is `auto`: bfloat16 where it is fast and changes the features little enough.

Processors with matrix units for bfloat16 (AMX) extract more than twice as fast with it. Whether a model bears it is tried: a sample
of the photos goes through both arithmetics, and the difference, as a share of the features' own spread, must stay below a bound.
The verdict is recorded in `plan.json` and kept beside the cached features, so that it is given once for a model.
Measured with EfficientNet-Lite0: a difference of 0.06; heads trained on either, served in float32, are equally accurate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from training_code.features.cache import Store
from training_code.features.engine import Engine, has_gpu

SAMPLE = 64
ALLOWED = 0.1  # of the features' spread: a hundredth of their variance
FAST = frozenset(
    {"amx_bf16"}
)  # AVX-512's bfloat16 instructions without matrix units gain too little for any difference


@dataclass(frozen=True)
class Choice:
    """`difference`: root of the mean squared change by bfloat16, as a share of the features' spread; None: not tried."""

    precision: str
    reason: str
    difference: float | None = None
    photos: int = 0


def choose(
    asked: str,
    open_engine: Callable[[str], Engine],
    pixels: Callable[[int], np.ndarray],
    photos: Sequence[int],
    store: Store | None,
    key: str,
    flags: frozenset[str] | None = None,
) -> Choice:
    """`key`: names model, weights and preprocessing; `photos`: those that will be extracted."""
    if asked != "auto":
        return Choice(asked, "asked for")
    if has_gpu():
        return Choice("float32", "a GPU waits for the decoding of photos, not for arithmetic")
    if not FAST & (processor_flags() if flags is None else flags):
        return Choice("float32", "this processor has no matrix units for bfloat16")
    known = _known(store, key)
    if known:
        return known
    chosen = list(photos)[:: max(1, len(photos) // SAMPLE)][:SAMPLE]
    if len(chosen) < SAMPLE:
        return Choice("float32", f"fewer than {SAMPLE} photos to try bfloat16 on")
    work = [(index, "plain") for index in chosen]
    exact, fast = (open_engine(name).extract(work, pixels) for name in ("float32", "bfloat16"))
    choice = judge(exact, fast)
    if store is not None:
        try:
            store.write(_name(key), json.dumps(asdict(choice)).encode())
        except Exception as error:
            print(f"warning: the choice of arithmetic could not be cached ({error})", flush=True)
    return choice


def judge(exact: np.ndarray, fast: np.ndarray) -> Choice:
    spread = np.linalg.norm(exact - exact.mean(axis=0))
    difference = float(np.linalg.norm(fast - exact) / spread) if spread else float("inf")
    small = difference <= ALLOWED  # False for NaN too
    verdict = f"bfloat16 changes features by {difference:.3f} of their spread; allowed: {ALLOWED}"
    return Choice("bfloat16" if small else "float32", verdict, round(difference, 5), len(exact))


def _known(store: Store | None, key: str) -> Choice | None:
    if store is None:
        return None
    try:
        if _name(key) not in store.list("arithmetic/"):
            return None
        facts = json.loads(store.read(_name(key)))
        return Choice(**facts) if facts["precision"] in ("float32", "bfloat16") else None
    except Exception as error:
        print(f"warning: the choice of arithmetic could not be read from the cache ({error})", flush=True)
        return None


def _name(key: str) -> str:
    return f"arithmetic/{key}.json"


def processor_flags() -> frozenset[str]:
    """As Linux lists them; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    found = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(found.partition(":")[2].split())
