"""How long a benchmark measures: what the benchmark keeps to, and what a comparison's estimate counts with."""

from __future__ import annotations

WARM_UP, CALLS, FEWEST_CALLS, CALLS_SECONDS = 10, 300, 20, 6.0
BATCHES, BLOCKS, BLOCK_SECONDS = (1, 4, 16), 3, 1 / 3
LONGEST_ROUND = 3.0  # seconds: a batch that would keep all cores busy for longer is not tried, but the first always is
CALLS_A_CORE = 4  # of the batch, in a round


def round_calls(seconds_per_photo: float, batch: int, cores: int) -> int:
    """Calls of one round of this batch size, all cores together: fewer where they are slow; 0: not to be tried."""
    one_each = seconds_per_photo * batch * cores
    if one_each > LONGEST_ROUND:
        return 0 if batch > min(BATCHES) else cores
    return cores * max(1, min(CALLS_A_CORE, int(LONGEST_ROUND / BLOCKS / max(one_each, 1e-9))))


def seconds(per_photo: float, cores: int) -> float:
    """Of timing a network that takes `per_photo` with all cores busy: single calls twice, then every batch size."""
    single = 2 * (WARM_UP * per_photo + max(FEWEST_CALLS * per_photo, min(CALLS * per_photo, CALLS_SECONDS)))
    batches = 0.0
    for batch in BATCHES:
        if calls := round_calls(per_photo, batch, cores):
            batches += cores * batch * per_photo + BLOCKS * max(BLOCK_SECONDS, calls * batch * per_photo)
    return single + batches
