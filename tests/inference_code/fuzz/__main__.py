"""Fuzz the decoding of photos: `python -m tests.inference_code.fuzz [--cases 100000] [--seed 0]` (make fuzz-decode).

Each case is decoded in a process of its own making, by the same code and under the same limits as in production, so that a
crash, a hang and a hunger for memory are seen. Allowed: pixels, or UnreadablePhoto. Cases that did anything else are written to
build/fuzz/ with what happened; the table says how many there were, and the exit code is 1.
"""

import argparse
import collections
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[3]
FOUND = ROOT / "build" / "fuzz"
SECONDS = 20  # of work, for one case
BLOCK = 5000  # cases of one process


def work(seed: int, first: int, count: int) -> None:
    """In the child: a line before each case, and one with the outcome after it."""
    from contract.unreadable import UnreadablePhoto
    from tests.inference_code.fuzz.cases import Cases
    from tests.inference_code.fuzz.within_limits import decode_here

    cases = Cases(seed)
    for number in range(first, first + count):
        kind, data = cases.case(number)
        print(number, kind, flush=True)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        begin = time.process_time()
        try:
            decode_here(data)
            outcome = "decoded"
        except UnreadablePhoto as refused:
            outcome = refused.reason
        except BaseException as error:
            outcome = f"! {type(error).__name__}: {error}"[:300].replace("\n", " ")
        print(json.dumps([outcome, time.process_time() - begin]), flush=True)
    signal.setitimer(signal.ITIMER_PROF, 0)
    print("end", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)


class Table:
    """Outcomes by format."""

    def __init__(self) -> None:
        self.counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        self.slowest: dict[str, float] = collections.defaultdict(float)
        self.most_kilobytes = 0
        self.bad: list[tuple[int, str]] = []

    def note(self, number: int, kind: str, outcome: str, seconds: float) -> None:
        self.slowest[kind] = max(self.slowest[kind], seconds)
        allowed = not outcome.startswith("!")
        self.counts[kind][outcome if allowed else "not allowed"] += 1
        if not allowed:
            self.bad.append((number, outcome))

    def rows(self) -> list[str]:
        names = sorted({name for counts in self.counts.values() for name in counts} - {"decoded", "not allowed"})
        head = ["format", "cases", "decoded", *names, "not allowed", "slowest"]
        rows = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        for kind, counts in sorted(self.counts.items()):
            values = [counts[name] for name in ("decoded", *names, "not allowed")]
            rows.append(
                f"| {kind} | {sum(counts.values())} | {' | '.join(map(str, values))} | {self.slowest[kind]:.2f} s |"
            )
        return rows


def run(seed: int, total: int, first: int = 0) -> Table:
    """All cases, block by block; a child that dies costs its case and is started again behind it."""
    table, at = Table(), first
    with tempfile.TemporaryFile("w+") as said:  # libraries say much about damaged photos
        _run(table, seed, at, first + total, said)
    return table


def _run(table: Table, seed: int, at: int, end: int, said: IO[str]) -> None:
    while at < end:
        count = min(BLOCK, end - at)
        command = [sys.executable, "-m", "tests.inference_code.fuzz", "--work", f"{seed},{at},{count}"]
        said.seek(0)
        said.truncate()
        number, kind, finished = at - 1, "?", False
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True) as child:
            assert child.stdout
            for line in child.stdout:
                if line.startswith("["):
                    outcome, seconds = json.loads(line)
                    table.note(number, kind, outcome, seconds)
                    at = number + 1
                elif line.startswith("end "):
                    table.most_kilobytes, finished = max(table.most_kilobytes, int(line.split()[1])), True
                else:
                    number, kind = int(line.split()[0]), line.split()[1]
            code = child.wait()
        if not finished:
            if number < at:
                said.seek(0)
                raise SystemExit(f"the fuzzer itself failed: exit code {code}\n{said.read()[-2000:]}")
            what = "hangs" if code == -signal.SIGPROF else f"ends with {code}"
            table.note(number, kind, f"! the process {what}", 0.0)
            at = number + 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(*map(int, given.work.split(",")))
        return 0
    begin = time.monotonic()
    table = run(given.seed, given.cases, given.first)
    print("\n".join(table.rows()))
    cases = sum(sum(counts.values()) for counts in table.counts.values())
    print(f"\n{cases:,} cases of seed {given.seed} in {time.monotonic() - begin:.0f} s; at most "
          f"{table.most_kilobytes / 1024:,.0f} MB of memory")  # fmt: skip
    if table.bad:
        from tests.inference_code.fuzz.cases import Cases

        FOUND.mkdir(parents=True, exist_ok=True)
        for number, what in table.bad:
            kind, data = Cases(given.seed).case(number)
            (FOUND / f"{given.seed}-{number}.{kind.lower()}").write_bytes(data)
            print(f"not allowed: case {number} ({kind}): {what.removeprefix('! ')}")
        print(f"These cases lie in {FOUND}.")
    return 1 if table.bad else 0


if __name__ == "__main__":
    sys.exit(main())
