"""Samples what the machine and the training on it do: processors, memory, disk, network and, where there is one, the GPU.

Runs in a process of its own, so that sampling neither waits for the training's interpreter lock nor holds it. Processor use of
the training is read per thread, with the core each thread last ran on: on a shared machine the neighbours are told apart.
Everything comes from /proc (https://docs.kernel.org/filesystems/proc.html): SageMaker's machines are Linux, and importing a library
for it would cost a short training more than all of its samples.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # without the module `typing`: this is imported by a process that must start at once
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = 1.0 / os.sysconf("SC_CLK_TCK")


class SystemSampler:
    """`sample()` describes the interval since the call before it. Units: percent, bytes, bytes per second, processors.

    `process_wanted`: processors that the training would have kept busy, had it never had to wait for one. A thread that ran
    r seconds and waited q in the queue did nothing for the rest; alone it would have run r of every (interval - q).
    `workers_wanted`: the same of its child processes alone.
    """

    def __init__(
        self,
        pid: int,
        root: str = "",
        clock: Callable[[], float] = time.time,
        gpus: Sequence[Callable[[], dict[str, float]]] | None = None,
    ) -> None:
        """`root`: where the machine's /proc and /sys lie, so that a recorded one can be read."""
        self._pid, self._root, self._clock = pid, root, clock
        self._gpus = _gpus() if gpus is None else gpus
        self._at = clock()
        self._threads = self._thread_times()
        self._moved = _bytes_moved(root)
        self._ticks = _core_ticks(root)

    def sample(self) -> dict[str, Any]:
        now = self._clock()
        interval = max(now - self._at, 1e-3)
        threads = self._thread_times()
        ticks = _core_ticks(self._root)
        cores, waiting = _use(self._ticks, ticks)
        by_core, wanted_by_core, workers = [0.0] * len(cores), [0.0] * len(cores), 0.0
        for thread, (ran, core, queued) in threads.items():
            ran_before, _, queued_before = self._threads.get(thread, (0.0, core, 0.0))
            used = ran - ran_before
            by_core[core % len(cores)] += used
            wanted = used / max(used, interval - (queued - queued_before), 1e-9)
            wanted_by_core[core % len(cores)] += wanted
            workers += wanted if thread[0] != self._pid else 0.0
        total, available = _memory_of_machine(self._root)
        moved = _bytes_moved(self._root)
        record: dict[str, Any] = {
            "time": now, "interval": round(interval, 4), "cores": cores,
            "iowait": waiting, "cpus": self._allowed(len(cores)),
            "process_cores": [round(min(100.0, 100 * busy / interval), 1) for busy in by_core],
            "wanted_cores": [round(min(100.0, 100 * wanted), 1) for wanted in wanted_by_core],
            "process_cpu": round(sum(by_core) / interval, 3), "process_wanted": round(sum(wanted_by_core), 3),
            "workers_wanted": round(workers, 3), "process_memory": self._memory(),
            "memory_used": total - available, "memory_total": total,
            **{name: round((moved[name] - before) / interval) for name, before in self._moved.items() if name in moved},
        }  # fmt: skip
        if self._gpus:
            record["gpus"] = [gpu() for gpu in self._gpus]
        self._at, self._threads, self._ticks, self._moved = now, threads, ticks, moved
        return record

    def _allowed(self, cores: int) -> int:
        """Processors that the training may run on."""
        try:
            return len(os.sched_getaffinity(self._pid))
        except (OSError, AttributeError):
            return cores  # it ended meanwhile

    def _tree(self) -> list[int]:
        """The training and its descendants, without this process; other processes of the machine are not looked at."""
        found, own = [self._pid], os.getpid()
        for pid in found:
            found += [child for child in _children(self._root, pid) if child != own]
        return found

    def _thread_times(self) -> dict[tuple[int, int], tuple[float, int, float]]:
        """(pid, thread) → (seconds it ran, core it last ran on, seconds it was ready but had no processor)."""
        found = {}
        for pid in self._tree():
            try:
                tasks = os.listdir(f"{self._root}/proc/{pid}/task")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
            for task in tasks:
                try:
                    found[pid, int(task)] = _thread_time(f"{self._root}/proc/{pid}/task/{task}")
                except (FileNotFoundError, ProcessLookupError):
                    continue
        return found

    def _memory(self) -> int:
        """Resident bytes; proc(5): the second field of statm, in pages."""
        total = 0
        for pid in self._tree():
            try:
                total += int(_text(f"{self._root}/proc/{pid}/statm").split()[1]) * PAGE
            except (FileNotFoundError, ProcessLookupError):
                continue
        return total


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def _core_ticks(root: str) -> list[tuple[int, int, int]]:
    """(all, idle, waiting for disk) of each core since the machine started. Guests are counted in user time already."""
    found = []
    for line in (
        _text(f"{root}/proc/stat").splitlines() if os.path.exists(f"{root}/proc/stat") else []
    ):  # macOS has no /proc
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            numbers = [int(field) for field in fields[:8]]
            found.append((sum(numbers), numbers[3], numbers[4]))
    return found


def _use(before: list[tuple[int, int, int]], after: list[tuple[int, int, int]]) -> tuple[list[float], float]:
    """Percent of each core that was busy, and percent of all that waited for disk; waiting is not work."""
    busy, waited, passed = [], 0, 0
    for (total, idle, waiting), (total_before, idle_before, waiting_before) in zip(after, before, strict=False):
        ticks, disk = max(0, total - total_before), max(0, waiting - waiting_before)
        worked = max(0, ticks - max(0, idle - idle_before) - disk)
        busy.append(round(100.0 * worked / ticks, 1) if ticks else 0.0)
        waited, passed = waited + disk, passed + ticks
    return busy, round(100.0 * waited / passed, 1) if passed else 0.0


def _memory_of_machine(root: str) -> tuple[int, int]:
    """Bytes: in all, and to be had without swapping. Zeros where the system does not say (macOS has no /proc)."""
    found = {}
    for line in _text(f"{root}/proc/meminfo").splitlines() if os.path.exists(f"{root}/proc/meminfo") else []:
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) * 1024
    return found.get("MemTotal", 0), found.get("MemAvailable", found.get("MemFree", 0))


def _bytes_moved(root: str) -> dict[str, int]:
    """Since the machine started, over all whole disks and all network interfaces; what cannot be read is left out."""
    found: dict[str, int] = {}
    try:
        disks = set(os.listdir(f"{root}/sys/block"))
        rows = [line.split() for line in _text(f"{root}/proc/diskstats").splitlines()]
        whole = [row for row in rows if row[2] in disks and not row[2].startswith(("loop", "ram", "zram", "dm-", "md"))]
        # Fields 3 and 7 count sectors of 512 bytes: https://docs.kernel.org/admin-guide/iostats.html
        found["disk_read"], found["disk_write"] = (512 * sum(int(row[k]) for row in whole) for k in (5, 9))
    except (OSError, IndexError, ValueError):
        pass
    try:
        rows = [line.partition(":")[2].split() for line in _text(f"{root}/proc/net/dev").splitlines()[2:]]
        found["network_in"], found["network_out"] = (sum(int(row[k]) for row in rows) for k in (0, 8))
    except (OSError, IndexError, ValueError):
        pass
    return found


def _children(root: str, pid: int) -> list[int]:
    try:
        tasks = os.listdir(f"{root}/proc/{pid}/task")
        return [int(child) for task in tasks for child in _text(f"{root}/proc/{pid}/task/{task}/children").split()]
    except (FileNotFoundError, ProcessLookupError):
        return []  # it ended meanwhile


def _thread_time(task: str) -> tuple[float, int, float]:
    """proc(5): field 39 of stat is the core. Times from schedstat, in nanoseconds, where the kernel keeps it; otherwise
    fields 14 and 15 of stat, in ticks, and no time in the queue."""
    fields = _text(f"{task}/stat").rpartition(")")[2].split()
    core = int(fields[36])
    try:
        ran, queued, _ = _text(f"{task}/schedstat").split()
        return int(ran) / 1e9, core, int(queued) / 1e9
    except (FileNotFoundError, ValueError):
        pass
    return (float(fields[11]) + float(fields[12])) * TICK, core, 0.0


def _gpus() -> list[Any]:
    """One reader per GPU, through NVML where driver and `nvidia-ml-py` are there; an empty list otherwise."""
    if not os.path.exists("/dev/nvidiactl"):
        return []
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(k) for k in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # no driver, no permission, no module: the machine is sampled without its GPU
        return []

    def reader(handle: Any) -> Any:
        def read() -> dict[str, float]:
            rates, memory = pynvml.nvmlDeviceGetUtilizationRates(handle), pynvml.nvmlDeviceGetMemoryInfo(handle)
            return {"utilization": rates.gpu, "memory_used": memory.used, "memory_total": memory.total}

        return read

    return [reader(handle) for handle in handles]
