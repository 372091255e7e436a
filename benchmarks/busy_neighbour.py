"""What a busy neighbour costs a training step on PyTorch: `python -m benchmarks.busy_neighbour`, in the training image's packages.

OpenMP's threads wait for each other at the end of every operation, and by default they spin while they wait. With a core taken by
somebody else, the thread that waits burns the time that the other one needs. Each row is a process of its own with these variables, so
many threads, and so many neighbours that do nothing but count; wall seconds of the same steps, and processor seconds beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
WAYS = {
    "as it comes": {},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "GOMP_SPINCOUNT=0": {"GOMP_SPINCOUNT": "0"},
}
STEPS = """
import json, sys, time
import torch
from torch import nn
torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
blocks = [nn.Conv2d(3, 32, 3, 2, 1)]
for _ in range(6):
    blocks += [nn.Conv2d(32, 32, 3, 1, 1, groups=32), nn.BatchNorm2d(32), nn.ReLU6(), nn.Conv2d(32, 32, 1)]
net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2))
learn = torch.optim.SGD(net.parameters(), 0.01)
photos, labels = torch.randn(8, 3, 64, 64), torch.arange(8) % 2
def step():
    learn.zero_grad()
    nn.functional.cross_entropy(net(photos), labels).backward()
    learn.step()
for _ in range(3):
    step()
found = {"wall": [], "processor": []}
for _ in range(int(sys.argv[3])):
    began, used = time.perf_counter(), time.process_time()
    for _ in range(int(sys.argv[2])):
        step()
    found["wall"].append(time.perf_counter() - began)
    found["processor"].append(time.process_time() - used)
print(json.dumps(found))
"""
BUSY = "while True: pass"


def measured(threads: int, variables: dict[str, str], steps: int, repeats: int) -> dict[str, list[float]]:
    names = {name for way in WAYS.values() for name in way}
    own = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", STEPS, str(threads), str(steps), str(repeats)], env={**own, **variables}, cwd=REPOSITORY,
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def shown(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy_neighbour", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--neighbours", type=int, nargs="*", default=[0, 1])
    asked = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {asked.steps} steps, n = {asked.repeats}")
    print(
        "| neighbours | threads | variables | wall seconds, median (range) | processor seconds |\n| --- | --- | --- | --- | --- |"
    )
    for neighbours in asked.neighbours:
        others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(neighbours)]
        try:
            for threads, way in [(1, "as it comes"), *((os.cpu_count() or 1, way) for way in WAYS)]:
                found = measured(threads, WAYS[way], asked.steps, asked.repeats)
                print(
                    f"| {neighbours} | {threads} | {way} | {shown(found['wall'])} | {shown(found['processor'])} |",
                    flush=True,
                )
        finally:
            for other in others:
                other.kill()
                other.wait()


if __name__ == "__main__":
    main()
