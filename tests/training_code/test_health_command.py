"""The `health` command, the companion process, and the pages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from contract.health_rules import RULE_NAMES
from tests.browser import fits
from tests.training_code.observed_training import perceptron, photos, slow_storage, train
from training_code.__main__ import main
from training_code.health.chosen import PROFILER_REPORT
from training_code.health.observations import Observations, percentile
from training_code.health.rules import RULES
from training_code.observation import ObserverGroup
from training_code.profiling.summary import parts

pytestmark = pytest.mark.alone
ROOT = Path(__file__).resolve().parents[2]
FETCHING = ("src=", "href=", "<script", "@import", "url(")


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory) -> Path:
    """What a training job leaves in S3: output.tar.gz beside its model. It waited for data, as the dog-breed example did."""
    base = tmp_path_factory.mktemp("job")
    torch.set_num_threads(1)  # OpenMP's threads spin for a while after each operation: that would count as busy
    settings = {"profiler_interval_ms": "100", "profiler_steps": "5"}
    with pytest.MonkeyPatch.context() as patch:
        # The test runner's process is old: without this, all its earlier tests would count as this job's initialization.
        patch.setattr("training_code.profiling.steps._process_started", time.time)
        train(base, perceptron(), photos(), samples=36, load=slow_storage, settings=settings)
    folder = tmp_path_factory.mktemp("artifacts") / "darkroom-1-final" / "output"
    folder.mkdir(parents=True)
    with tarfile.open(folder / "output.tar.gz", "w:gz") as packed:
        packed.add(base / "output" / "data", arcname=".")
    return folder.parent.parent


@pytest.fixture(scope="module")
def judged(left_behind, tmp_path_factory) -> Path:
    """Of a training of seconds, for which no rule about time would say a word: here they speak of the least gain."""
    out = tmp_path_factory.mktemp("health")
    modest = [rule.name for rule in RULES if "min_gain_seconds" in rule.parameters]
    loud = {name: {"min_gain_seconds": 0} for name in modest}
    loud[PROFILER_REPORT] = {f"{name}_min_gain_seconds": 0 for name in modest}
    rules = [{"name": name, "parameters": loud.get(name, {})} for name in RULE_NAMES]
    (out.parent / "rules.json").write_text(json.dumps({"rules": rules}))
    words = ["--rules-config", str(out.parent / "rules.json"), "--input", str(left_behind), "--output", str(out)]
    assert main(["health", *words]) == 0
    return out


def test_a_training_of_seconds_is_not_worth_a_word_about_time(left_behind, tmp_path):
    assert main(["health", "--input", str(left_behind), "--output", str(tmp_path)]) == 0
    rules = {rule["name"]: rule for rule in json.loads((tmp_path / "health.json").read_text())["rules"]}
    assert (
        rules["IOBottleneck"]["status"] == "NoIssuesFound" and "too little to act on" in rules["IOBottleneck"]["seen"]
    )


def test_health_json_holds_every_rule_and_the_profile(judged):
    result = json.loads((judged / "health.json").read_text())
    assert [rule["name"] for rule in result["rules"]] == list(RULE_NAMES)
    assert result["status"] == "IssuesFound" and "IOBottleneck" in result["issues"]
    assert result["issues_found"] == len(result["issues"])
    assert all("not SageMaker's built-in" in rule["implementation"] for rule in result["rules"])
    assert sum(part["seconds"] for part in result["profile"]["parts"]) == pytest.approx(
        result["profile"]["seconds"], rel=0.02
    )


def test_the_change_that_would_help_most_is_named_with_its_gain(judged):
    best = json.loads((judged / "health.json").read_text())["suggestion"]
    assert best["rule"] == "IOBottleneck"
    assert best["gain_seconds"] > 0.3


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "line", "rect", "circle", "polyline", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("line", "rect", "circle", "polyline"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("name", ["health.html", "profiler-report.html"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_page_fits_into_a_window(judged, name, width):
    assert fits(judged / name, width)


@pytest.mark.parametrize("name", ["health.html", "profiler-report.html"])
def test_a_page_is_whole_and_fetches_nothing(judged, name):
    page = (judged / name).read_text()
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    assert not [sign for sign in FETCHING if sign in page.lower()]


def test_the_profile_names_what_the_time_went_to(judged):
    page = (judged / "profiler-report.html").read_text()
    assert "Pack the photos into few large objects" in page and "Expected gain" in page
    assert "from process start to the first step" in page and "after the last step" in page


def test_the_detailed_window_is_a_chrome_trace(left_behind, tmp_path):
    with tarfile.open(next(left_behind.rglob("output.tar.gz"))) as packed:
        packed.extractall(tmp_path, filter="data")
    events = json.loads((tmp_path / "observations" / "trace.json").read_text())["traceEvents"]
    assert any("linear" in event.get("name", "") or "addmm" in event.get("name", "") for event in events)
    samples = Observations.read(tmp_path / "observations").system
    assert percentile([s["interval"] for s in samples[:-1]], 50) == pytest.approx(0.1, rel=0.5)


def test_names_in_the_data_cannot_become_markup(tmp_path):
    train(tmp_path, perceptron(), photos(), epochs=1, counts={"<script>alert(1)</script>": 1, "b": 100})
    assert main(["health", "--input", str(tmp_path / "output"), "--output", str(tmp_path / "health")]) == 0
    assert "<script" not in (tmp_path / "health" / "health.html").read_text()


def test_only_the_rules_of_the_configuration_are_evaluated(left_behind, tmp_path):
    (tmp_path / "rules.json").write_text(
        json.dumps({"rules": [{"name": "IOBottleneck", "parameters": {"threshold": 100}}]})
    )
    main(
        [
            "health",
            "--input",
            str(left_behind),
            "--output",
            str(tmp_path),
            "--rules-config",
            str(tmp_path / "rules.json"),
        ]
    )
    result = json.loads((tmp_path / "health.json").read_text())
    assert [(rule["name"], rule["status"]) for rule in result["rules"]] == [("IOBottleneck", "NoIssuesFound")]


def test_a_training_that_left_nothing_is_not_called_healthy(tmp_path):
    (tmp_path / "training").mkdir()
    main(["health", "--input", str(tmp_path / "training"), "--output", str(tmp_path / "out")])
    result = json.loads((tmp_path / "out" / "health.json").read_text())
    assert result["status"] == "NoData" and result["no_data"] == len(RULE_NAMES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "/nowhere"], "no folder /nowhere"),
        (["--rules-config", "rules.json"], "rule 'Overfitting' is not known; allowed: LossNotDecreasing"),
    ],
)
def test_what_the_job_cannot_do_is_said_in_its_exit_message(tmp_path, monkeypatch, arguments, message):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.json").write_text('[{"name": "Overfitting"}]')
    assert main(["health", *arguments]) == 1
    assert message in (tmp_path / "output" / "message").read_text()


def test_an_archive_cannot_write_outside_its_folder(tmp_path):
    (tmp_path / "training").mkdir()
    (tmp_path / "evil").write_text("x")
    with tarfile.open(tmp_path / "training" / "output.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "evil", arcname="../../escaped")
    with pytest.raises(tarfile.OutsideDestinationError):
        from training_code.health.command import judge

        judge(tmp_path / "training", tmp_path / "out", {})


def test_the_parts_of_the_time_do_not_overlap(tmp_path):
    observed = train(tmp_path, perceptron(), photos(), epochs=3, evaluations=3)
    found = {name: seconds for name, _, seconds in parts(observed)}
    assert sum(found.values()) == pytest.approx(observed.seconds, rel=0.02)
    assert found["evaluation"] == pytest.approx(observed.evaluation_seconds)
    assert min(found.values()) >= 0


WATCHED = """
import signal, sys, time
from pathlib import Path
from training_code.health.companion import Companion
from training_code.observation import ObserverGroup
from training_code.profiling.steps import StepTimeline
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
directory, rate, limit = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
observer = ObserverGroup([StepTimeline(directory, {}), Companion(directory, 100, ("LossNotDecreasing",), evaluate_every=0.2)])
observer.mode("TRAIN")
loss, began = 1.0, time.monotonic()
while not asked and time.monotonic() - began < limit:
    with observer.phase("forward"):
        sum(range(200_000))
    loss *= 1 - rate
    observer.step(loss, 8)
observer.close()
print("stopped" if asked else "finished")
"""


@pytest.mark.parametrize(("rate", "limit", "end"), [("0", "30", "stopped"), ("0.01", "2", "finished")])
def test_a_rule_that_may_stop_the_training_stops_one_that_has_the_fault(tmp_path, rate, limit, end):
    script = [sys.executable, "-c", WATCHED, str(tmp_path), rate, limit]
    run = subprocess.run(script, cwd=ROOT, timeout=60, capture_output=True, text=True)
    assert run.stdout.strip() == end, run.stderr
    assert (tmp_path / "stop.json").exists() == (end == "stopped")
    assert json.loads((tmp_path / "live.json").read_text())["rules"], "the rules were evaluated while it ran"
    if end == "stopped":
        assert "does not fall" in json.loads((tmp_path / "stop.json").read_text())["seen"]
        main(["health", "--input", str(tmp_path), "--output", str(tmp_path / "out")])
        assert json.loads((tmp_path / "out" / "health.json").read_text())["stopped_by"]["name"] == "LossNotDecreasing"


def test_the_companion_does_not_outlive_a_training_that_is_killed(tmp_path):
    script = [sys.executable, "-c", WATCHED, str(tmp_path), "0.01", "60"]
    with subprocess.Popen(script, cwd=ROOT, stdout=subprocess.DEVNULL) as training:
        _until(lambda: (tmp_path / "system.jsonl").exists() and (tmp_path / "system.jsonl").stat().st_size > 0)
        companions = _children(training.pid)
        assert companions
        training.send_signal(signal.SIGKILL)
    _until(lambda: not any(Path(f"/proc/{pid}").exists() and _state(pid) != "Z" for pid in companions))


def _children(pid: int) -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _parent(p) == pid]


def _parent(process: Path) -> int | None:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def _until(holds, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        os.sched_yield()
        time.sleep(0.02)


def test_shares_of_tiny_steps_are_right_though_few_of_them_are_timed(tmp_path, monkeypatch):
    from training_code.profiling import steps

    now = 0.0  # a clock of our own: whatever else runs on the machine meanwhile takes no time
    monkeypatch.setattr(steps.time, "perf_counter", lambda: now)
    timeline, entered = steps.StepTimeline(tmp_path, {}), []
    timed = timeline._timers["data"]
    observer = ObserverGroup([timeline])
    observer.mode("TRAIN")
    for _ in range(3000):
        with observer.phase("data"):
            now += 0.00006
        entered.append(timeline.phases["data"] is timed)
        with observer.phase("forward"):
            now += 0.00002
        observer.step(0.5, 1)
    observer.close()
    observed = Observations.read(tmp_path)
    assert observed.train_steps == 3000 and observed.train_seconds == pytest.approx(3000 * 0.00008)
    assert observed.data_share == pytest.approx(0.75, abs=0.001)
    assert observed.phase_seconds("forward") / observed.train_seconds == pytest.approx(0.25, abs=0.001)
    assert sum(entered) < 600, "few steps pay for being split"


def test_the_process_beside_a_training_imports_little():
    """Its start is most of what a short training pays for being watched."""
    script = "import sys, training_code.health.watch; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-S", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"psutil", "dataclasses", "subprocess", "training_code.health.rule", "numpy"} & set(run.stdout.split())
