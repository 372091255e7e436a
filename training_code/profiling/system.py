"""Samples what the machine and the training on it do: processors, memory, disk, network and, where there is one, the GPU.

Runs in a process of its own, so that sampling neither waits for the training's interpreter lock nor holds it. Processor use of
the training is read per thread, with the core each thread last ran on: on a shared machine the neighbours are told apart.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import psutil

PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = 1.0 / os.sysconf("SC_CLK_TCK")


class SystemSampler:
    """`sample()` describes the interval since the call before it. Units: percent, bytes, bytes per second, processors.

    `process_wanted`: processors that the training would have kept busy, had it never had to wait for one. A thread that ran
    r seconds and waited q in the queue did nothing for the rest; alone it would have run r of every (interval - q).
    `workers_wanted`: the same of its child processes alone.
    """

    def __init__(self, pid: int) -> None:
        self._training = psutil.Process(pid)
        self._gpus = _gpus()
        self._at = time.time()
        self._threads = self._thread_times()
        self._disk, self._network = psutil.disk_io_counters(), psutil.net_io_counters()
        psutil.cpu_percent(percpu=True)
        psutil.cpu_times_percent()

    def sample(self) -> dict[str, Any]:
        now = time.time()
        interval = max(now - self._at, 1e-3)
        threads = self._thread_times()
        cores = psutil.cpu_percent(percpu=True)
        by_core, wanted_by_core, workers = [0.0] * len(cores), [0.0] * len(cores), 0.0
        for thread, (ran, core, queued) in threads.items():
            ran_before, _, queued_before = self._threads.get(thread, (0.0, core, 0.0))
            used = ran - ran_before
            by_core[core % len(cores)] += used
            wanted = used / max(used, interval - (queued - queued_before), 1e-9)
            wanted_by_core[core % len(cores)] += wanted
            workers += wanted if thread[0] != self._training.pid else 0.0
        memory = psutil.virtual_memory()
        record: dict[str, Any] = {
            "time": now, "interval": round(interval, 4), "cores": cores,
            "iowait": getattr(psutil.cpu_times_percent(), "iowait", 0.0),
            "cpus": len(self._training.cpu_affinity()) if hasattr(self._training, "cpu_affinity") else len(cores),
            "process_cores": [round(min(100.0, 100 * busy / interval), 1) for busy in by_core],
            "wanted_cores": [round(min(100.0, 100 * wanted), 1) for wanted in wanted_by_core],
            "process_cpu": round(sum(by_core) / interval, 3), "process_wanted": round(sum(wanted_by_core), 3),
            "workers_wanted": round(workers, 3), "process_memory": self._memory(),
            "memory_used": memory.total - memory.available, "memory_total": memory.total,
        }  # fmt: skip
        record |= self._rates(interval)
        if self._gpus:
            record["gpus"] = [gpu() for gpu in self._gpus]
        self._at, self._threads = now, threads
        return record

    def _rates(self, interval: float) -> dict[str, float]:
        disk, network, rates = psutil.disk_io_counters(), psutil.net_io_counters(), {}
        if disk and self._disk:
            rates["disk_read"] = round((disk.read_bytes - self._disk.read_bytes) / interval)
            rates["disk_write"] = round((disk.write_bytes - self._disk.write_bytes) / interval)
        if network and self._network:
            rates["network_in"] = round((network.bytes_recv - self._network.bytes_recv) / interval)
            rates["network_out"] = round((network.bytes_sent - self._network.bytes_sent) / interval)
        self._disk, self._network = disk, network
        return rates

    def _tree(self) -> list[int]:
        """The training and its descendants, without this process. psutil would read every process of the machine."""
        found, own = [self._training.pid], os.getpid()
        for pid in found:
            found += [child for child in _children(pid) if child != own]
        return found

    def _thread_times(self) -> dict[tuple[int, int], tuple[float, int, float]]:
        """(pid, thread) → (seconds it ran, core it last ran on, seconds it was ready but had no processor)."""
        found = {}
        for pid in self._tree():
            try:
                tasks = os.listdir(f"/proc/{pid}/task")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
            for task in tasks:
                try:
                    found[pid, int(task)] = _thread_time(Path(f"/proc/{pid}/task/{task}"))
                except (FileNotFoundError, ProcessLookupError):
                    continue
        return found

    def _memory(self) -> int:
        """Resident bytes; proc(5): the second field of statm, in pages."""
        total = 0
        for pid in self._tree():
            try:
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
            except (FileNotFoundError, ProcessLookupError):
                continue
        return total


def _children(pid: int) -> list[int]:
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        return [int(child) for task in tasks for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []  # it ended meanwhile


def _thread_time(task: Path) -> tuple[float, int, float]:
    """proc(5): field 39 of stat is the core. Times from schedstat, in nanoseconds, where the kernel keeps it; otherwise
    fields 14 and 15 of stat, in ticks, and no time in the queue."""
    fields = (task / "stat").read_text().rpartition(")")[2].split()
    core = int(fields[36])
    schedule = task / "schedstat"
    if schedule.exists():
        ran, queued, _ = schedule.read_text().split()
        return int(ran) / 1e9, core, int(queued) / 1e9
    return (float(fields[11]) + float(fields[12])) * TICK, core, 0.0


def _gpus() -> list[Any]:
    """One reader per GPU, through NVML where driver and `nvidia-ml-py` are there; an empty list otherwise."""
    if not Path("/dev/nvidiactl").exists():
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
