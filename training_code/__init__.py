"""Image 1: the jobs that prepare photos, learn from them, and judge what was learnt. A third of it trains; what the folders do:

- `prepare/`: the data set read, split, packed and planned (`prepare`); `comparison/`: the same for a comparison, once for all candidates
  (`prepare-comparison`), and one candidate's features (`extract`)
- `features/`, `models/`: backbones, their weights, and the features that they give (`fetch-weights`, `check-weights`)
- `train/`: heads on features, fine-tuning of the network, the search for hyperparameters (`train`)
- `observation.py`, `observers.py`: what a training tells about itself and to whom; `debugging/`: smdebug's hook and statistics;
  `profiling/`: where the time goes; `health/`: rules over both (`health`)
- `evaluate.py`, `measurement.py`: the answers on the test photos, measured and judged (`evaluate`)

smdebug imports pyinstrument, whose one C function (`pyinstrument_cext`) is published for Python ≤ 3.10 only; building it
would ask every machine for a compiler. Its few lines are here in Python instead, under its name, unless the real one is
there. Nothing calls it but smdebug's optional Python profiler.
"""

import sys
import time
from importlib.util import find_spec
from types import ModuleType


def _setstatprofile(target, interval=0.001):
    """Call `target(frame, event, arg)` from Python's profile hook, at most once every `interval` seconds; None: stop."""
    if target is None:
        sys.setprofile(None)
        return
    due = time.perf_counter() + interval

    def sample(frame, event, arg):
        nonlocal due
        if time.perf_counter() >= due:
            due = time.perf_counter() + interval
            target(frame, event, arg)

    sys.setprofile(sample)


if "pyinstrument_cext" not in sys.modules and find_spec("pyinstrument_cext") is None:
    _module = ModuleType("pyinstrument_cext", _setstatprofile.__doc__)
    _module.setstatprofile = _setstatprofile  # type: ignore[attr-defined]
    sys.modules["pyinstrument_cext"] = _module
