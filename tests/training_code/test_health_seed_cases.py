"""The published systems that this one comes from, as cases: what they asked of Debugger and Profiler, with real training jobs.

The loss plotted over TRAIN and EVAL steps is in test_debugging_hook; data loading that dominates and evaluation that takes longer than
training are in test_health_rules, the idle GPU with recorded samples there too: no GPU is at hand where the tests run.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training_code.tiny_jobs import job_folder, tiny_features, train
from training_code.__main__ import main
from training_code.health.observations import Observations

pytestmark = pytest.mark.slow
# The rules of the Intel scenes example, as its estimator asked for them.
INTEL = (
    "LossNotDecreasing", "VanishingGradient", "Overfit", "Overtraining", "PoorWeightInitialization", "LowGPUUtilization",
    "ProfilerReport",
)  # fmt: skip
HOOK = {
    "S3OutputPath": "s3://any/", "HookParameters": {"save_interval": "2"},
    "CollectionConfigurations": [
        {"CollectionName": "losses", "CollectionParameters": {"train.save_interval": "2", "eval.save_interval": "1"}}
    ],
}  # fmt: skip


def intel(base: Path, **hyperparameters: str) -> dict[str, dict]:
    """One training as that example ran it, and the outcomes of its seven rules by name."""
    features = tiny_features(width=512, train=600)
    if hyperparameters.pop("labels", "") == "shuffled":
        np.random.default_rng(0).shuffle(features.train.labels)
    asked = {
        "epochs": "7", "batch_size": "32", "epsilon": "1e-7", "optimizer": "adam", "objective": "validation:loss",
        "model": "resnet18", "pretrained": "false", "image_size": "32", "profiler_interval_ms": "100", **hyperparameters,
    }  # fmt: skip
    job_folder(base, asked, features=features)
    local = base / "output" / "tensors"
    (base / "input/config/debughookconfig.json").write_text(json.dumps({**HOOK, "LocalPath": str(local)}))
    assert train(base) == 0
    rules = [
        {"RuleConfigurationName": name, "RuleEvaluatorImage": "any", "RuleParameters": {"rule_to_invoke": name}}
        for name in INTEL
    ]
    (base / "rules.json").write_text(json.dumps(rules))
    out = base / "rule-output"
    arguments = ["--rules-config", str(base / "rules.json"), "--input", str(base / "output"), "--output", str(out)]
    assert main(["health", *arguments]) == 0
    return {name: json.loads((out / name / "outcome.json").read_text()) for name in INTEL}


def test_the_seven_rules_of_the_intel_example_pass_a_healthy_training(tmp_path):
    found = intel(tmp_path, learning_rate="0.01")
    for name in ("LossNotDecreasing", "VanishingGradient", "Overfit", "PoorWeightInitialization"):
        assert found[name]["RuleEvaluationStatus"] == "NoIssuesFound", (name, found[name])
    gpu = found["LowGPUUtilization"]  # there is none here, which is no data and not well
    assert gpu["RuleEvaluationStatus"] == "Error" and gpu["StatusDetails"].startswith("NoData: ")
    page = tmp_path / "rule-output/ProfilerReport/profiler-output/profiler-report.html"
    assert "What took the time" in page.read_text()
    from training_code.debugging.smdebug_compatibility import load_smdebug

    load_smdebug()
    from smdebug import modes
    from smdebug.trials import create_trial

    trial = create_trial(str(tmp_path / "output" / "tensors"))
    (name,) = trial.tensor_names(collection="losses")
    assert len(trial.tensor(name).steps(mode=modes.TRAIN)) > 30 and len(trial.tensor(name).steps(mode=modes.EVAL)) == 7


def test_the_seven_rules_find_what_is_wrong_with_a_training_that_learns_nothing(tmp_path):
    found = intel(tmp_path, learning_rate="1e-9", labels="shuffled")
    assert found["LossNotDecreasing"]["RuleEvaluationStatus"] == "IssuesFound"
    # Its validation loss stays and does not rise, and all of it took a second: no cost, nothing to say.
    assert found["Overtraining"]["RuleEvaluationStatus"] == "NoIssuesFound"
    assert found["VanishingGradient"]["RuleEvaluationStatus"] == "NoIssuesFound"


def test_the_seven_rules_find_a_training_that_learns_its_photos_by_heart(tmp_path):
    found = intel(tmp_path, learning_rate="0.05", labels="shuffled", hidden_units="256", epochs="40")
    assert found["Overfit"]["RuleEvaluationStatus"] == "IssuesFound"
    assert found["LossNotDecreasing"]["RuleEvaluationStatus"] == "NoIssuesFound"


@pytest.fixture(scope="module")
def dogs(tmp_path_factory):
    """The dog-breed example: a fine-tuning, its first 50 steps in detail, the machine every 5,000 ms (profilerconfig.json)."""
    asked = {
        "model": "timm/test_efficientnet", "pretrained": "false", "image_size": "32", "fine_tune": "all", "epochs": "30",
        "batch_size": "4", "precision": "float32", "workers": "1", "export": "false", "profiler_steps": "50",
    }  # fmt: skip
    base = job_folder(tmp_path_factory.mktemp("dogs"), asked, photos=True)
    config = {"ProfilingIntervalInMilliseconds": 5000, "S3OutputPath": "s3://any/", "LocalPath": str(base / "profiler")}
    (base / "input/config/profilerconfig.json").write_text(json.dumps(config))
    assert train(base) == 0
    return base / "output" / "data" / "observations"


def test_the_first_fifty_steps_are_recorded_in_detail_and_no_other(dogs):
    events = json.loads((dogs / "trace.json").read_text())["traceEvents"]
    observed = Observations.read(dogs)
    assert observed.train_steps == 180
    assert sum(event.get("name", "").startswith("Optimizer.step#") for event in events) == 50
    assert any(event.get("name") == "aten::convolution_backward" for event in events)
    last = max(event["ts"] + event.get("dur", 0) for event in events if event.get("ph") == "X")
    first = min(event["ts"] for event in events if event.get("ph") == "X")
    assert (last - first) / 1e6 < observed.seconds / 2


def test_the_machine_is_sampled_every_five_seconds(dogs):
    samples = Observations.read(dogs).system
    # The companion begins after two seconds, samples at its interval, and once more at the end.
    assert samples and all(sample["interval"] <= 5.5 for sample in samples)
    assert all(sample["interval"] >= 4.9 for sample in samples[:-1])
    assert {"cores", "process_cpu", "memory_used", "disk_read", "network_in"} <= set(samples[0])
