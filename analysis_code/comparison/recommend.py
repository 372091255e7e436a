"""Which candidate to take, for which purpose, and why. A recommendation names the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis_code.comparison.statistics import Pair

Row = Mapping[str, Any]

MOST_ACCURATE, CHEAPEST, BY_WEIGHTS = "Most accurate", "Cheapest that is accurate enough", "By your weights"
TAKE = "Take"


@dataclass(frozen=True)
class Recommendation:
    purpose: str
    candidate: str | None
    reason: str


def pareto_front(rows: Sequence[Row], cost: str, quality: str = "balanced_accuracy") -> set[str]:
    """Names of the rows that no other row beats: none is at least as good in both and better in one."""
    known = [r for r in rows if r.get(cost) is not None and r.get(quality) is not None]
    return {
        r["name"]
        for r in known
        if not any(
            o[quality] >= r[quality] and o[cost] <= r[cost] and (o[quality] > r[quality] or o[cost] < r[cost])
            for o in known
        )
    }


def _best(rows: Sequence[Row], key: str, largest: bool) -> Row | None:
    known = [r for r in rows if r.get(key) is not None]
    return (max if largest else min)(known, key=lambda r: r[key], default=None)


def _tied_with(name: str, pairs: Sequence[Pair]) -> list[str]:
    return [p.b if p.a == name else p.a for p in pairs if name in (p.a, p.b) and not p.distinguishable]


def recommend(
    rows: Sequence[Row], pairs: Sequence[Pair], minimum: float | None = None, weights: Mapping[str, float] | None = None
) -> list[Recommendation]:
    """The purposes of the page. `minimum`: wished balanced accuracy; `weights`: the user's own, by column.

    Smoke tests from random weights are never recommended; where there is nothing else, speed and size are all that is known.
    """
    rows = [r for r in rows if r.get("balanced_accuracy") is not None]
    smoke, rows = [r for r in rows if not r.get("pretrained", True)], [r for r in rows if r.get("pretrained", True)]
    if not rows and smoke:
        reason = "every candidate that finished has random weights: a smoke test says nothing of accuracy"
        return [Recommendation(MOST_ACCURATE, None, reason), _fastest(smoke), _smallest(smoke)]
    if not rows:
        return [Recommendation(MOST_ACCURATE, None, "no candidate finished, so there is nothing to recommend")]
    best = _best(rows, "balanced_accuracy", True)
    tied = [name for name in _tied_with(best["name"], pairs) if name in {r["name"] for r in rows}]
    reason = f"balanced accuracy {best['balanced_accuracy']:.1%} on the test photos"
    if tied:
        reason += f"; on this test set it cannot be told apart from {', '.join(tied)} (McNemar, Holm-corrected)"
    advice = [Recommendation(MOST_ACCURATE, best["name"], reason)]
    advice += [_fastest(rows), _smallest(rows)]
    advice.append(_cheapest(rows, best, tied, minimum))
    if weights:
        advice.append(_weighted(rows, weights))
    return advice


def choose(advice: Sequence[Recommendation]) -> Recommendation:
    """The one candidate to go on with, for the page, the command line and `--start-pipeline` alike.

    The user's weights decide where there are some. Else it is the cheapest of those that are accurate enough: among models that the test
    photos cannot tell apart, the one that is a photo ahead by chance is no better, only dearer.
    """
    by_purpose = {one.purpose: one for one in advice}
    for purpose in (BY_WEIGHTS, CHEAPEST, MOST_ACCURATE):
        one = by_purpose.get(purpose)
        if one and one.candidate:
            return Recommendation(TAKE, one.candidate, f"{purpose[0].lower()}{purpose[1:]}: {one.reason}")
    return Recommendation(TAKE, None, advice[0].reason)


def _extreme(rows: Sequence[Row], purpose: str, key: str, say: Callable[[Row], str]) -> Recommendation:
    row = _best(rows, key, False)
    if row is None:
        return Recommendation(purpose, None, f"{key} was not measured for any candidate")
    judged = f"balanced accuracy {row['balanced_accuracy']:.1%}" if row.get("pretrained", True) else "random weights"
    return Recommendation(purpose, row["name"], f"{say(row)}, {judged}")


def _fastest(rows: Sequence[Row]) -> Recommendation:
    return _extreme(rows, "Fastest", "latency_p50_ms", lambda r: f"{r['latency_p50_ms']:.1f} ms a photo (p50)")


def _smallest(rows: Sequence[Row]) -> Recommendation:
    return _extreme(rows, "Smallest", "disk_bytes", lambda r: f"{r['disk_bytes'] / 1e6:.1f} MB on disk")


def _cheapest(rows: Sequence[Row], best: Row, tied: Sequence[str], minimum: float | None) -> Recommendation:
    """Cheapest per prediction among the good enough: above the wish or, without one, not worse than the best."""
    if minimum is not None:
        enough, rule = [r for r in rows if r["balanced_accuracy"] >= minimum], f"reaches the wished {minimum:.1%}"
    else:
        # On few photos a test tells little apart: what is measured far below the best is not "accurate enough" for that.
        low = (best.get("balanced_accuracy_interval") or (0.0, 1.0))[0]
        enough = [r for r in rows if r["name"] in {best["name"], *tied} and r["balanced_accuracy"] >= low]
        rule = "cannot be told apart from the most accurate and lies within its interval"
    purpose = CHEAPEST
    if not enough:
        reached = f"the best reaches {best['balanced_accuracy']:.1%}"
        return Recommendation(purpose, None, f"no candidate {rule}; {reached}")
    key = (
        "dollars_per_million" if any(r.get("dollars_per_million") is not None for r in enough) else "seconds_per_photo"
    )
    row = _best(enough, key, False)
    if row is None:
        return Recommendation(purpose, None, "neither price nor speed was measured for these candidates")
    price = (
        f"${row[key]:.2f} a million predictions" if key.startswith("dollars") else f"{row[key] * 1e3:.1f} ms a photo"
    )
    return Recommendation(purpose, row["name"], f"{price}; {rule} (balanced accuracy {row['balanced_accuracy']:.1%})")


LARGER_IS_BETTER = {"accuracy", "balanced_accuracy", "second_accuracy", "second_balanced_accuracy"}


def _weighted(rows: Sequence[Row], weights: Mapping[str, float]) -> Recommendation:
    """Highest weighted sum of columns scaled to 0 (worst) … 1 (best) over the candidates that have them all."""
    known = [r for r in rows if all(isinstance(r.get(k), int | float) for k in weights)]
    if not known:
        return Recommendation(BY_WEIGHTS, None, f"no candidate has a value for all of {sorted(weights)}")
    scores = dict.fromkeys((r["name"] for r in known), 0.0)
    for column, weight in weights.items():
        values = [r[column] for r in known]
        low, high = min(values), max(values)
        for r in known:
            scaled = 1.0 if high == low else (r[column] - low) / (high - low)
            scores[r["name"]] += weight * (scaled if column in LARGER_IS_BETTER else 1 - scaled)
    winner = max(scores, key=scores.__getitem__)
    total = sum(weights.values())
    weighed = ", ".join(f"{k} × {v:g}" for k, v in weights.items())
    how = f"score {scores[winner]:.2f} of {total:g}: {weighed}, each from 0 (worst candidate) to 1 (best)"
    return Recommendation(BY_WEIGHTS, winner, how)
