"""Steps, phases and the machine's use over one time axis, as one inline SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from training_code.health.observations import PHASES, Observations, Record, mean
from training_code.health.page import ticks

COLOURS = {
    "initialization": "#94a3b8", "data": "#dc2626", "forward": "#2563eb", "backward": "#7c3aed", "optimizer": "#059669",
    "other": "#64748b", "evaluation": "#d97706", "between": "#cbd5e1", "finalization": "#b0a08f",
}  # fmt: skip
WIDTH, LEFT, RIGHT, LANE, GAP, COLUMNS = 960, 96, 12, 74, 22, 420


class Timeline:
    """Draws lanes below each other; every lane shares the axis `process start … end`."""

    def __init__(self, observed: Observations) -> None:
        self.observed = observed
        self.start, self.end = observed.started or 0.0, observed.ended or 1.0
        self.seconds = max(self.end - self.start, 1e-6)
        self.top, self.out = 8.0, []

    def draw(self) -> str:
        if not self.observed.steps:
            return '<p class="muted">No step was observed, so there is no timeline.</p>'
        self._what_ran()
        self._phases()
        self._step_lengths()
        self._machine()
        self._rates()
        self._axis()
        height = self.top + 22
        return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="timeline of the training">{"".join(self.out)}</svg>'

    def _x(self, time: float) -> float:
        return LEFT + (min(max(time, self.start), self.end) - self.start) / self.seconds * (WIDTH - LEFT - RIGHT)

    def _label(self, text: str, detail: str = "") -> None:
        self.out.append(f'<text x="0" y="{self.top + 14:.0f}" font-weight="600">{escape(text)}</text>')
        self.out.append(f'<text x="0" y="{self.top + 29:.0f}">{escape(detail)}</text>')

    def _box(self, begin: float, end: float, y: float, height: float, colour: str) -> None:
        x = self._x(begin)
        width = max(self._x(end) - x, 0.35)
        self.out.append(f'<rect x="{x:.2f}" y="{y:.1f}" width="{width:.2f}" height="{height:.1f}" fill="{colour}"/>')

    def _what_ran(self) -> None:
        """Initialisation, training, evaluation, what lies between, finalisation."""
        self._label("what ran")
        first, last = self.observed.stepping or (self.start, self.end)
        self._box(self.start, first, self.top, 26, COLOURS["initialization"])
        self._box(first, last, self.top, 26, COLOURS["between"])
        for mode, colour in (("TRAIN", COLOURS["forward"]), ("EVAL", COLOURS["evaluation"])):
            for begin, end in _runs(self.observed.of_mode(mode), self.seconds / COLUMNS):
                self._box(begin, end, self.top, 26, colour)
        self._box(last, self.end, self.top, 26, COLOURS["finalization"])
        self.top += 26 + GAP

    def _columns(self, records: Sequence[Record]) -> list[list[Record]]:
        columns: list[list[Record]] = [[] for _ in range(COLUMNS)]
        for record in records:
            begin = int((record["time"] - self.start) / self.seconds * COLUMNS)
            finish = int((record["time"] + record["seconds"] - self.start) / self.seconds * COLUMNS)
            for column in range(max(0, begin), min(COLUMNS - 1, finish) + 1):
                columns[column].append(record)
        return columns

    def _phases(self) -> None:
        """In each column of time, the shares of the phases in the training steps that ran then."""
        self._label("phases", "share of step")
        for index, records in enumerate(self._columns(self.observed.train)):
            total = sum(r["seconds"] for r in records)
            if not total:
                continue
            shares = [(name, sum(r.get(name, 0.0) for r in records) / total) for name in PHASES]
            shares.append(("other", max(0.0, 1 - sum(s for _, s in shares))))
            y = self.top + LANE
            begin = self.start + index * self.seconds / COLUMNS
            for name, share in shares:
                y -= share * LANE
                if share > 0.004:
                    self._box(begin, begin + self.seconds / COLUMNS, y, share * LANE, COLOURS[name])
        self.top += LANE + GAP

    def _step_lengths(self) -> None:
        lengths = [
            max(r["longest"] for r in records) if records else None for records in self._columns(self.observed.train)
        ]
        high = max((v for v in lengths if v), default=0.0)
        self._label("slowest step", f"up to {_short(high)}")
        for index, value in enumerate(lengths):
            if value:
                begin = self.start + index * self.seconds / COLUMNS
                height = max(1.0, value / high * LANE * 0.7)
                self._box(
                    begin, begin + self.seconds / COLUMNS, self.top + LANE * 0.7 - height, height, COLOURS["forward"]
                )
        self.top += LANE * 0.7 + GAP

    def _machine(self) -> None:
        samples = self.observed.system
        self._label("use in %", "0 to 100")
        lines: list[tuple[str, Callable[[Record], float | None]]] = [
            ("#94a3b8", lambda s: mean(s["cores"])),
            ("#2563eb", lambda s: 100 * s["process_cpu"] / s["cpus"]),
            ("#059669", lambda s: 100 * s["memory_used"] / s["memory_total"]),
            ("#db2777", lambda s: mean(g["utilization"] for g in s["gpus"]) if s.get("gpus") else None),
        ]
        self._lane(samples, lines, 100.0)

    def _rates(self) -> None:
        samples = self.observed.system
        high = max((max(_disk(s), _network(s)) for s in samples), default=0.0)
        self._label("bytes / s", f"up to {high / 1e9:.1f} GB" if high >= 1e9 else f"up to {high / 1e6:.3g} MB")
        self._lane(samples, [("#b45309", _disk), ("#0891b2", _network)], high or 1.0)

    def _lane(
        self, samples: Sequence[Record], lines: Sequence[tuple[str, Callable[[Record], float | None]]], high: float
    ) -> None:
        bottom = self.top + LANE
        self.out.append(
            f'<rect x="{LEFT}" y="{self.top:.1f}" width="{WIDTH - LEFT - RIGHT}" height="{LANE}" class="lane"/>'
        )
        if not samples:
            self.out.append(
                f'<text x="{LEFT + 10}" y="{self.top + LANE / 2:.0f}">no system samples (profiler_interval_ms)</text>'
            )
        for colour, value in lines:
            points = [(self._x(s["time"] - s["interval"] / 2), v) for s in samples if (v := value(s)) is not None]
            path = " ".join(f"{x:.1f},{bottom - min(v / high, 1.0) * LANE:.1f}" for x, v in points)
            if path:
                self.out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        self.top = bottom + GAP

    def _axis(self) -> None:
        for tick in ticks(0.0, self.seconds, 10):
            x = self._x(self.start + tick)
            self.out.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{self.top - 8:.1f}" style="stroke:var(--ink)" '
                f'stroke-opacity=".07"/>'
            )
            self.out.append(f'<text x="{x:.1f}" y="{self.top + 8:.1f}" text-anchor="middle">{tick:g} s</text>')


def _runs(records: Sequence[Record], gap: float) -> list[tuple[float, float]]:
    """Neighbouring records closer than `gap` as one box: boxes thinner than a pixel are not worth their bytes."""
    runs: list[tuple[float, float]] = []
    for record in records:
        begin, end = record["time"], record["time"] + record["seconds"]
        if runs and begin - runs[-1][1] <= gap:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((begin, end))
    return runs


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _disk(sample: Record) -> float:
    return sample.get("disk_read", 0) + sample.get("disk_write", 0)


def _network(sample: Record) -> float:
    return sample.get("network_in", 0) + sample.get("network_out", 0)
