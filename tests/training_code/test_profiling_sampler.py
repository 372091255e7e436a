"""The sampler on a machine that is made up: a folder with the files of /proc and /sys that the kernel documents.

https://docs.kernel.org/filesystems/proc.html, https://docs.kernel.org/admin-guide/iostats.html
"""

from __future__ import annotations

from pathlib import Path

import pytest

from training_code.profiling.system import PAGE, TICK, SystemSampler

TRAINING, WORKER, STRANGER = 70, 71, 99


class Machine:
    """Two cores, one disk, one network card, a training with a worker process, and somebody else's program."""

    def __init__(self, root: Path) -> None:
        self.root, self.now = root, 1000.0
        self.write("proc/meminfo", "MemTotal:  1000 kB\nMemFree:  100 kB\nMemAvailable:  400 kB\n")
        (root / "sys/block/sda").mkdir(parents=True)
        (root / "sys/block/loop0").mkdir()
        self.children(TRAINING, f"{WORKER} ")
        self.children(WORKER, "")
        self.cores((0, 0, 0), (0, 0, 0))
        self.moved(0, 0, 0, 0)
        for pid in (TRAINING, WORKER, STRANGER):
            self.thread(pid, core=0, ran=0.0)
            self.write(f"proc/{pid}/statm", "999 10 3 0 0 0 0")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def children(self, pid: int, text: str) -> None:
        self.write(f"proc/{pid}/task/{pid}/children", text)

    def thread(self, pid: int, core: int, ran: float, queued: float = 0.0, name: str = "a (b) c") -> None:
        """Field 39 of stat is the core; schedstat holds nanoseconds."""
        fields = ["S", *["0"] * 49]
        fields[36] = str(core)
        fields[11], fields[12] = str(round(ran / TICK)), "0"
        self.write(f"proc/{pid}/task/{pid}/stat", f"{pid} ({name}) {' '.join(fields)}")
        self.write(f"proc/{pid}/task/{pid}/schedstat", f"{round(ran * 1e9)} {round(queued * 1e9)} 5")

    def cores(self, *busy_idle_disk: tuple[int, int, int]) -> None:
        lines = [f"cpu{n} {busy} 0 0 {idle} {disk} 0 0 0 9 9" for n, (busy, idle, disk) in enumerate(busy_idle_disk)]
        self.write("proc/stat", "\n".join(["cpu 1 1 1 1", *lines, "ctxt 5"]))

    def moved(self, read: int, written: int, received: int, sent: int) -> None:
        """Sectors of a disk, bytes of a network card."""
        rows = [f"8 0 {name} 1 1 {read} 1 1 1 {written} 1 1 1 1" for name in ("sda", "sda1", "loop0")]
        self.write("proc/diskstats", "\n".join(rows))
        self.write("proc/net/dev", f"Inter-|\n face |\n  lo: {received} 1 1 1 1 1 1 1 {sent} 1 1\n")

    def sampler(self, **options) -> SystemSampler:
        return SystemSampler(TRAINING, str(self.root), lambda: self.now, **{"gpus": [], **options})


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


def test_a_sample_tells_of_the_interval_since_the_one_before(machine):
    sampler = machine.sampler()
    machine.now += 2.0
    machine.thread(TRAINING, core=1, ran=1.5)
    machine.thread(WORKER, core=0, ran=0.5)
    machine.thread(STRANGER, core=0, ran=2.0)
    machine.cores((150, 50, 0), (100, 60, 40))
    machine.moved(10, 20, 3000, 5000)
    record = sampler.sample()
    assert (record["time"], record["interval"], record["cpus"] > 0) == (1002.0, 2.0, True)
    assert record["cores"] == [75.0, 50.0] and record["iowait"] == 10.0
    assert record["process_cores"] == [25.0, 75.0] and record["process_cpu"] == 1.0
    assert record["process_memory"] == 2 * 10 * PAGE, "the stranger's memory is not the training's"
    assert (record["memory_total"], record["memory_used"]) == (1000 * 1024, 600 * 1024)
    assert (record["disk_read"], record["disk_write"]) == (10 * 512 / 2, 20 * 512 / 2), (
        "the disk, not its parts and no loop"
    )
    assert (record["network_in"], record["network_out"]) == (1500, 2500)
    assert "gpus" not in record
    machine.now += 1.0
    quiet = sampler.sample()
    assert quiet["process_cpu"] == quiet["process_wanted"] == quiet["disk_read"] == quiet["iowait"] == 0 and quiet[
        "cores"
    ] == [0.0, 0.0]


def test_time_in_the_queue_is_time_that_was_wanted(machine):
    sampler = machine.sampler()
    machine.now += 1.0
    machine.thread(TRAINING, core=0, ran=0.25, queued=0.75)
    machine.thread(WORKER, core=1, ran=0.25, queued=0.5)
    record = sampler.sample()
    assert record["process_cpu"] == 0.5, "what it had"
    assert record["wanted_cores"] == [100.0, 50.0] and record["process_wanted"] == 1.5, "what it would have had alone"
    assert record["workers_wanted"] == 0.5


def test_a_kernel_without_schedstat_gives_ticks(machine):
    for pid in (TRAINING, WORKER):
        (machine.root / f"proc/{pid}/task/{pid}/schedstat").unlink()
    sampler = machine.sampler()
    machine.now += 1.0
    machine.thread(TRAINING, core=0, ran=0.5)
    (machine.root / f"proc/{TRAINING}/task/{TRAINING}/schedstat").unlink()
    assert sampler.sample()["process_cpu"] == pytest.approx(0.5, abs=TICK)


def test_a_worker_that_ended_meanwhile_is_left_out(machine):
    sampler = machine.sampler()
    machine.now += 1.0
    machine.thread(TRAINING, core=0, ran=0.5)
    for file in (machine.root / f"proc/{WORKER}").rglob("*"):
        if file.is_file():
            file.unlink()
    record = sampler.sample()
    assert record["process_cpu"] == 0.5 and record["process_memory"] == 10 * PAGE


def test_what_a_system_does_not_say_is_left_out(tmp_path):
    """macOS has no /proc: the training itself is sampled as nothing, and nothing fails."""
    now = iter((1.0, 3.0))
    record = SystemSampler(TRAINING, str(tmp_path), lambda: next(now), gpus=[]).sample()
    assert (record["interval"], record["cores"], record["memory_total"], record["process_memory"]) == (2.0, [], 0, 0)
    assert "disk_read" not in record and "network_in" not in record


def test_each_gpu_is_read_at_each_sample(machine):
    used = iter((10.0, 90.0))
    sampler = machine.sampler(gpus=[lambda: {"utilization": next(used)}])
    machine.now += 1.0
    assert sampler.sample()["gpus"] == [{"utilization": 10.0}]
    assert sampler.sample()["gpus"] == [{"utilization": 90.0}]
