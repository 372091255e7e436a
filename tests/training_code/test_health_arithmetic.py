"""The health rules on numbers that are made up: each limit at its edge, each number that is said, without a training.

`test_health_rules.py` shows the same rules on real trainings. What a rule means stands in docs/health.md, made from its definition.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from contract.failure import JobFailure
from contract.health_rules import RULE_NAMES
from training_code.health.chosen import BY_NAME, PROFILER_REPORT, PROFILER_RULES, chosen_rules
from training_code.health.managed import in_service_terms, read_statuses, with_service_outcomes, write_evaluations
from training_code.health.observations import Observations, mean, median, percentile
from training_code.health.report import loss_series
from training_code.health.rule import Outcome, Rule, healthy, no_data
from training_code.health.verdict import status_of, stop_of, verdict
from training_code.health.watch import LiveRules, watch


def step(number: int, loss: float | None = 1.0, **fields: Any) -> dict[str, Any]:
    """One record of training steps, a second after the one before it."""
    return {
        "time": float(number), "mode": "TRAIN", "step": number, "steps": 1, "seconds": 1.0, "samples": 8, "longest": 1.0,
        "longest_step": number, "loss": loss, "nonfinite": int(loss is None), **fields,
    }  # fmt: skip


def falling(count: int = 20, **fields: Any) -> list[dict[str, Any]]:
    return [step(n, 2.0 - n / count, **fields) for n in range(count)]


def says(name: str, observed: Observations, **parameters: float) -> dict[str, Any]:
    return BY_NAME[name].evaluate(observed, parameters)


def status(name: str, observed: Observations, **parameters: float) -> str:
    return says(name, observed, **parameters)["status"]


# --- what all rules share


def test_there_is_a_rule_for_each_name_and_every_rule_is_silent_without_evidence():
    assert tuple(BY_NAME) == RULE_NAMES
    for name in RULE_NAMES:
        found = says(name, Observations())
        assert found["status"] == "NoData" and found["seen"] and found["parameters"] == BY_NAME[name].parameters


def test_an_issue_that_gains_less_than_the_least_is_told_as_none():
    def outcome(gain: float, least: float) -> dict[str, Any]:
        rule = Rule(
            "R", "", {"min_gain_seconds": least}, lambda *_: Outcome("IssuesFound", "seen", "why", gain_seconds=gain)
        )
        return rule.evaluate(Observations())

    assert outcome(10, 10)["status"] == "IssuesFound" and outcome(9.9, 10)["status"] == "NoIssuesFound"
    assert "could be gained is 9.9 s" in outcome(9.9, 10)["seen"] and outcome(9.9, 10)["why"] == ""
    assert healthy("fine", a=1).values == {"a": 1} and no_data("nothing").status == "NoData"


def test_a_rule_that_fails_is_an_error_of_that_rule_alone():
    found = Rule("R", "", {"a": 1.0}, lambda *_: {}["gone"]).evaluate(Observations(), {"b": 2})
    assert (found["status"], found["seen"], found["parameters"]) == ("Error", "KeyError: 'gone'", {"a": 1.0, "b": 2})


def test_means_medians_and_percentiles():
    assert mean([]) == 0 and mean(iter([1, 2])) == 1.5
    assert median([3, 1, 2]) == 2 and median([4, 1, 2, 3]) == 2.5
    values = list(range(1, 101))
    assert (percentile(values, 0), percentile(values, 5), percentile(values, 95), percentile(values, 100)) == (
        1,
        6,
        95,
        100,
    )
    assert percentile([7], 95) == 7


# --- what was observed


def test_observations_are_read_up_to_the_line_that_is_being_written(tmp_path):
    (tmp_path / "steps.jsonl").write_text(json.dumps(step(0)) + "\n" + json.dumps(step(1))[:20])
    (tmp_path / "run.json").write_text('{"closed": 7}')
    observed = Observations.read(tmp_path)
    assert [record["step"] for record in observed.steps] == [0] and observed.run == {"closed": 7}
    assert observed.epochs == observed.system == observed.tensors == []
    assert Observations.read(tmp_path / "none") == Observations()


def test_times_are_added_by_mode_and_phase():
    steps = [
        step(0, seconds=2.0, data=0.5, steps=3),
        step(3, seconds=1.0, data=0.25),
        step(0, mode="EVAL", seconds=4.0, data=9.0),
    ]
    observed = Observations(steps=steps)
    assert (observed.train_steps, observed.train_seconds, observed.evaluation_seconds) == (4, 3.0, 4.0)
    assert (observed.phase_seconds("data"), observed.phase_seconds("data", "EVAL")) == (0.75, 9.0)
    assert observed.data_share == 0.25 and observed.has_phases and Observations().data_share == 0
    assert not Observations(steps=[step(0)]).has_phases
    assert observed.stepping == (0.0, 4.0) and Observations().stepping is None


def test_a_training_lasts_from_its_process_to_its_end_or_to_the_last_thing_seen():
    steps, system = [step(5, seconds=2.0)], [{"time": 6.5}]
    assert Observations(steps=steps).seconds == 2.0
    assert Observations({"process_started": 1.0}, steps, [], system).seconds == 6.0
    assert Observations({"process_started": 1.0}, steps, [{"time": 9.0, "epoch": 1}], system).seconds == 8.0
    assert Observations({"process_started": 1.0, "closed": 3.0}, steps).seconds == 2.0
    assert Observations({"process_started": 5.0, "closed": 3.0}).seconds == 0.0 and Observations().seconds == 0.0


def test_a_sample_counts_when_more_than_half_of_its_interval_lies_in_training_steps():
    steps = [step(0, time=10.0, seconds=1.0), step(1, time=11.02, seconds=1.0), step(2, time=20.0, seconds=1.0)]
    samples = [{"time": t, "interval": 1.0} for t in (10.4, 10.6, 11.01, 12.4, 12.6, 15.0, 20.6, 21.4, 21.6)]
    found = Observations(steps=steps, system=samples).system_while_training
    assert [sample["time"] for sample in found] == [10.6, 11.01, 12.4, 20.6, 21.4]
    long = [{"time": 21.0, "interval": 20.0}, {"time": 12.0, "interval": 0.0}]
    assert Observations(steps=steps, system=long).system_while_training == []
    spread = [step(n, time=2.0 * n, seconds=1.0) for n in range(10)]
    assert Observations(steps=spread, system=[{"time": 19.0, "interval": 19.0}]).system_while_training, (
        "10 of 19 seconds"
    )


def test_a_metric_is_read_under_both_of_its_spellings():
    epochs = [
        {"epoch": 1, "validation:loss": 0.5},
        {"epoch": 2, "validation_loss": 1},
        {"epoch": 3, "validation:loss": None},
    ]
    assert Observations(epochs=epochs).epoch_series("validation:loss") == [(1, 0.5), (2, 1.0)]
    assert Observations(epochs=epochs).epoch_series("validation_loss") == [(1, 0.5), (2, 1.0)]


def test_the_loss_of_evaluations_stands_where_training_was_by_then():
    steps = [
        step(0, 2.0, steps=4),
        step(0, 1.0, mode="EVAL", steps=1),
        step(1, 4.0, mode="EVAL", steps=3),
        step(4, None),
        step(5, 1.0),
    ]
    (_, _, train), (_, _, evaluation) = loss_series(Observations(steps=steps))
    assert train == [(1.5, 2.0), (5.0, 1.0)] and evaluation == [(4, 3.25)]


# --- losses


def test_a_loss_must_fall_by_its_percentage():
    assert status("LossNotDecreasing", Observations(steps=falling())) == "NoIssuesFound"
    flat = Observations(steps=[step(n, 1.0) for n in range(20)])
    found = says("LossNotDecreasing", flat)
    assert found["status"] == "IssuesFound" and found["gain_seconds"] == 20.0 and found["steps"] == (19,)
    assert found["values"] == {"first_loss": 1.0, "last_loss": 1.0, "lowest_loss": 1.0, "noise": 0.0}
    for drop, expected in ((0.021, "NoIssuesFound"), (0.019, "IssuesFound")):
        steps = [step(n, 1.0 if n < 10 else 1.0 - drop) for n in range(20)]
        assert status("LossNotDecreasing", Observations(steps=steps), diff_percent=2.0) == expected
    assert status("LossNotDecreasing", Observations(steps=[step(n, 0.019) for n in range(20)])) == "NoIssuesFound"
    assert status("LossNotDecreasing", Observations(steps=[step(n, 0.021) for n in range(20)])) == "IssuesFound"


def test_few_steps_say_nothing_about_a_loss():
    assert status("LossNotDecreasing", Observations(steps=[step(n) for n in range(9)])) == "NoData"
    assert status("LossNotDecreasing", Observations(steps=[step(n) for n in range(10)])) == "IssuesFound"
    assert status("LossNotDecreasing", Observations(steps=[step(0, steps=50)])) == "NoData", (
        "one record: nothing to compare"
    )


def test_a_loss_that_rises_again_is_found_also_when_it_is_below_the_first():
    losses = [2.0] * 5 + [0.5] * 11 + [0.8] * 4
    found = says("LossNotDecreasing", Observations(steps=[step(n, loss) for n, loss in enumerate(losses)]))
    assert found["status"] == "IssuesFound" and "rises again" in found["seen"] and found["gain_seconds"] == 0
    milder = [2.0] * 5 + [0.5] * 11 + [0.74] * 4
    assert (
        status("LossNotDecreasing", Observations(steps=[step(n, loss) for n, loss in enumerate(milder)]))
        == "NoIssuesFound"
    )
    tiny = [2.0] * 5 + [0.001] * 11 + [0.015] * 4
    assert (
        status("LossNotDecreasing", Observations(steps=[step(n, loss) for n, loss in enumerate(tiny)]))
        == "NoIssuesFound"
    )


def test_noise_is_not_taken_for_learning():
    noisy = [step(n, 1.0 + (0.5 if n % 2 else -0.5) - 0.03 * (n > 15)) for n in range(20)]
    found = says("LossNotDecreasing", Observations(steps=noisy))
    assert found["status"] == "IssuesFound" and found["values"]["noise"] > 0.5


def test_groups_of_steps_weigh_by_their_steps():
    steps = [step(0, 2.0, steps=1), step(1, 1.0, steps=9), step(10, 0.5, steps=90)]
    found = says("LossNotDecreasing", Observations(steps=steps))["values"]
    assert found["first_loss"] == pytest.approx((2.0 + 4 * 1.0) / 5) and found["last_loss"] == 0.5


def test_a_loss_that_is_no_number_is_found_at_its_step():
    for name in ("LossNotDecreasing", "ExplodingTensor"):
        found = says(
            name, Observations(steps=[*falling(12), step(12, None, nonfinite=2), *[step(n) for n in range(13, 20)]])
        )
        assert found["status"] == "IssuesFound" and found["steps"] == (12,)


def epochs(*losses: tuple[float, float], seconds: float = 10.0, first: int = 1) -> Observations:
    return Observations(
        epochs=[
            {"epoch": n, "time": seconds * n, "train:loss": train, "validation:loss": validation}
            for n, (train, validation) in enumerate(losses, first)
        ]
    )


def test_overfitting_is_a_gap_that_lasts_beside_a_validation_loss_above_its_lowest():
    apart = [(1.0, 1.0), (0.5, 0.8), (0.4, 0.9), (0.3, 1.0)]
    found = says("Overfit", epochs(*apart))
    assert found["status"] == "IssuesFound" and found["steps"] == (4,)
    assert found["values"] == {"train_loss": 0.3, "validation_loss": 1.0, "lowest_validation_loss": 0.8}
    assert status("Overfit", epochs(*apart[:2])) == "NoData" and status("Overfit", epochs(*apart[:3])) == "IssuesFound"
    assert status("Overfit", epochs((1.0, 1.0), (0.9, 1.0), (0.3, 1.1))) == "NoIssuesFound", "one epoch is no habit"
    assert status("Overfit", epochs((1.0, 1.0), (0.5, 0.81), (0.3, 0.81), (0.2, 0.8))) == "NoIssuesFound", (
        "it is at its lowest"
    )
    small = [(0.05, 0.05), (0.02, 0.11), (0.02, 0.119)]
    assert (
        status("Overfit", epochs(*small)) == "NoIssuesFound"
        and status("Overfit", epochs(*small), min_gap=0.08) == "IssuesFound"
    )
    half = [(1.0, 0.9), (1.0, 1.49), (1.0, 1.49)]
    assert (
        status("Overfit", epochs(*half)) == "NoIssuesFound"
        and status("Overfit", epochs(*half), ratio_threshold=0.4) == "IssuesFound"
    )


def test_epochs_after_the_best_one_are_counted_and_cost_what_they_took():
    losses = [1.0, 0.5, 0.52, 0.53, 0.54]
    found = says("Overtraining", epochs(*((1.0, loss) for loss in losses)))
    assert found["status"] == "IssuesFound" and found["gain_seconds"] == 30.0 and found["steps"] == (5,)
    assert found["values"]["epochs_since"] == 3 and found["values"]["best_epoch"] == 2
    assert found["change"].startswith("train 2 epochs,") and "tend to make the model worse" in found["why"]
    assert status("Overtraining", epochs(*((1.0, loss) for loss in losses[:4]))) == "NoIssuesFound"
    assert status("Overtraining", epochs(*((1.0, loss) for loss in losses[:3]))) == "NoData"
    still = [1.0, 0.5, 0.5, 0.5, 0.5]
    short = epochs(*((1.0, loss) for loss in still), seconds=3.3)
    assert (
        status("Overtraining", short) == "NoIssuesFound"
        and "it stays, which cost 9.9 s" in says("Overtraining", short)["seen"]
    )
    costly = says("Overtraining", epochs(*((1.0, loss) for loss in still), seconds=3.4))
    assert costly["status"] == "IssuesFound" and costly["why"] == "epochs that change nothing cost money"
    creeping = says("Overtraining", epochs(*((1.0, loss) for loss in (0.5, 0.499, 0.498, 0.497))))
    assert "within 1% of it since epoch 1" in creeping["seen"] and creeping["change"].startswith("train 1 epoch,")
    from_zero = says("Overtraining", epochs(*((1.0, loss) for loss in (0.5, 0.6, 0.6, 0.6)), first=0))
    assert from_zero["change"].startswith("train 1 epoch,"), "epochs that count from 0: the best is the first"
    long = [1.0 - n / 20 for n in range(16)] + [0.5] * 4
    assert status("Overtraining", epochs(*((1.0, loss) for loss in long))) == "NoIssuesFound", (
        "4 of 20 are less than a quarter"
    )


# --- the machine


def sample(time: float, wanted: float = 3.6, **fields: Any) -> dict[str, Any]:
    return {
        "time": time, "interval": 1.0, "cpus": 4, "process_cpu": wanted, "process_wanted": wanted, "workers_wanted": 0.0,
        "process_memory": 10, "memory_total": 100, "wanted_cores": [25 * wanted] * 4, **fields,
    }  # fmt: skip


def machine(steps: list[dict[str, Any]] | None = None, count: int = 19, **fields: Any) -> Observations:
    return Observations(steps=steps or falling(20), system=[sample(n + 1.0, **fields) for n in range(count)])


def gpu(utilization: float, memory: int = 10) -> dict[str, Any]:
    return {"gpus": [{"utilization": utilization, "memory_used": memory, "memory_total": 100}]}


LOUD = {"min_gain_seconds": 0.0}


def test_processors_that_do_nothing_are_found():
    assert status("LowCPUUtilization", machine(wanted=2.0), **LOUD) == "NoIssuesFound", "half is enough"
    found = says("LowCPUUtilization", machine(wanted=1.8), **LOUD)
    assert found["status"] == "IssuesFound" and found["values"] == {"percent": pytest.approx(45), "cpus": 4}
    assert found["gain_seconds"] == pytest.approx(20 * (1 - 45 / 90))
    assert status("LowCPUUtilization", machine(wanted=1.8)) == "IssuesFound", "ten seconds can be gained"
    assert status("LowCPUUtilization", machine(wanted=1.9)) == "NoIssuesFound", "and here less"
    crowded = says("LowCPUUtilization", machine(wanted=3.0, process_cpu=1.0), **LOUD)
    assert crowded["status"] == "NoIssuesFound" and "would have used 75 %" in crowded["seen"]
    assert status("LowCPUUtilization", machine(**gpu(90)), **LOUD) == "NoData"
    assert status("LowCPUUtilization", machine(count=4), **LOUD) == "NoData"
    assert status("LowCPUUtilization", machine(count=5, wanted=0.1), **LOUD) == "IssuesFound"
    assert says("LowCPUUtilization", machine(wanted=9.0), **LOUD)["values"]["percent"] == 100


def test_a_gpu_that_waits_is_found_and_why():
    assert status("LowGPUUtilization", machine(), **LOUD) == "NoData"
    assert status("LowGPUUtilization", machine(**gpu(70)), **LOUD) == "NoIssuesFound"
    found = says("LowGPUUtilization", machine(**gpu(69)), **LOUD)
    assert found["status"] == "IssuesFound" and found["gain_seconds"] == pytest.approx(20 * (1 - 69 / 90))
    assert "use larger batches" in found["change"]
    waiting = says("LowGPUUtilization", machine(falling(20, data=0.5), **gpu(60)), **LOUD)
    assert "feed it faster" in waiting["change"] and waiting["gain_seconds"] == pytest.approx(10 - 0.05 * 10)
    idle = Observations(steps=falling(20), system=[sample(n + 1.0, **gpu(100 if n % 5 < 2 else 0)) for n in range(19)])
    assert status("LowGPUUtilization", idle, **LOUD) == "IssuesFound", "bursts: high at the 95th, idle at the 5th"
    mostly = Observations(
        steps=falling(20), system=[sample(n + 1.0, **gpu(0 if n % 5 < 2 else 100)) for n in range(19)]
    )
    assert status("LowGPUUtilization", mostly, **LOUD) == "NoIssuesFound", "its mean is above a half"


def test_who_waits_for_data_is_told_by_who_is_busy_meanwhile():
    computing = falling(20, data=0.5, data_cpu=0.4)
    found = says("CPUBottleneck", machine(computing), **LOUD)
    assert found["status"] == "IssuesFound" and found["values"] == {
        "data_share": 0.5,
        "busy_processors": pytest.approx(0.8),
    }
    assert found["gain_seconds"] == pytest.approx(9.5)
    assert status("IOBottleneck", machine(computing), **LOUD) == "NoIssuesFound"
    waiting = falling(20, data=0.5, data_cpu=0.25)
    assert status("IOBottleneck", machine(waiting), **LOUD) == "IssuesFound"
    assert status("CPUBottleneck", machine(waiting), **LOUD) == "NoIssuesFound"
    assert status("CPUBottleneck", machine(waiting, workers_wanted=0.1), **LOUD) == "IssuesFound", "workers count, too"
    for name, steps in (
        ("CPUBottleneck", falling(20, data=0.3, data_cpu=0.3)),
        ("IOBottleneck", falling(20, data=0.3, data_cpu=0.0)),
    ):
        assert status(name, machine(steps), **LOUD) == "NoIssuesFound", "30 % is the limit"
        assert status(name, machine(steps, count=2), **LOUD) == "NoData" and status(name, machine(), **LOUD) == "NoData"
        assert status(name, machine(steps, count=3), threshold=29.0, **LOUD) == "IssuesFound"


def test_a_gpu_that_starves_beside_full_processors_waits_for_them():
    steps = falling(20, data=0.1, data_cpu=0.0)
    assert status("CPUBottleneck", machine(steps, wanted=3.8, **gpu(5)), **LOUD) == "IssuesFound"
    assert status("CPUBottleneck", machine(steps, wanted=3.5, **gpu(5)), **LOUD) == "NoIssuesFound"
    assert status("CPUBottleneck", machine(steps, wanted=3.8, **gpu(15)), **LOUD) == "NoIssuesFound"


def test_a_batch_may_grow_where_machine_and_memory_have_room():
    found = says("BatchSize", machine(wanted=2.0), **LOUD)
    assert found["status"] == "IssuesFound" and found["gain_seconds"] == pytest.approx(20 * (1 - 50 / 90) / 2)
    assert found["values"] == {"batch": 8.0, "utilization": pytest.approx(50), "memory": 10.0, "data_share": 0.0}
    assert status("BatchSize", machine(wanted=2.5), **LOUD) == "NoIssuesFound"
    assert status("BatchSize", machine(wanted=2.0, process_memory=70), **LOUD) == "NoIssuesFound"
    assert status("BatchSize", machine(falling(20, data=0.31), wanted=2.0), **LOUD) == "NoIssuesFound"
    on_gpu = says("BatchSize", machine(wanted=4.0, **gpu(50, memory=30)), **LOUD)
    assert on_gpu["status"] == "IssuesFound" and (on_gpu["values"]["utilization"], on_gpu["values"]["memory"]) == (
        50,
        30,
    )
    assert status("BatchSize", machine(**gpu(50, memory=80)), **LOUD) == "NoIssuesFound"
    assert says("BatchSize", machine(falling(20, steps=2), wanted=2.0), **LOUD)["values"]["batch"] == 4.0


def test_one_busy_device_beside_idle_ones_is_found():
    alone = says("LoadBalancing", machine(wanted=1.0, wanted_cores=[100, 0, 0, 0]), **LOUD)
    assert alone["status"] == "IssuesFound" and alone["gain_seconds"] == pytest.approx(20 * (1 - 25 / 100))
    for cores in ([69, 0, 0, 0], [100, 50, 50, 50], [100, 100, 100, 100]):
        assert status("LoadBalancing", machine(wanted=1.0, wanted_cores=cores), **LOUD) == "NoIssuesFound"
    assert status("LoadBalancing", machine(wanted=3.0, wanted_cores=[100, 100, 100, 0]), **LOUD) == "NoIssuesFound", (
        "threads for three quarters"
    )
    assert (
        status("LoadBalancing", machine(wanted=3.0, cpus=3, wanted_cores=[100, 100, 100, 0]), **LOUD) == "IssuesFound"
    ), "pinned"
    assert status("LoadBalancing", machine(wanted=1.0, wanted_cores=[100]), **LOUD) == "NoData"
    two = {"gpus": [{"utilization": used, "memory_used": 1, "memory_total": 2} for used in (90, 20)]}
    assert status("LoadBalancing", machine(**two), **LOUD) == "IssuesFound"
    even = {"gpus": [{"utilization": used, "memory_used": 1, "memory_total": 2} for used in (90, 40)]}
    assert status("LoadBalancing", machine(**even), **LOUD) == "NoIssuesFound"
    assert (
        status("LoadBalancing", machine(wanted=1.0, wanted_cores=[100, 0, 0, 0], **gpu(90)), **LOUD) == "NoIssuesFound"
    )


# --- inside the model


def inside(*records: dict[str, Any], steps: list[dict[str, Any]] | None = None, **run: Any) -> Observations:
    return Observations(
        run=run, steps=steps or falling(20), tensors=[{"step": n, "mode": "TRAIN", **r} for n, r in enumerate(records)]
    )


def gradients(**sizes: float | None) -> dict[str, Any]:
    return {"gradients": {name.replace("__", "."): {"abs_mean": size, "dimensions": 2} for name, size in sizes.items()}}


def test_a_gradient_vanishes_below_the_threshold_or_far_below_the_largest():
    fine = gradients(a__weight=0.1, b__weight=0.1)
    assert (
        status("VanishingGradient", inside(fine, fine)) == "NoIssuesFound"
        and status("VanishingGradient", inside(fine)) == "NoData"
    )
    for small in (9e-8, 9e-7):
        gone = gradients(a__weight=small, b__weight=0.1)
        found = says("VanishingGradient", inside(gone, gone, fine))
        assert (
            found["status"] == "IssuesFound"
            and found["values"]["vanished"] == ["a.weight"]
            and found["steps"] == (0, 1)
        )
        assert status("VanishingGradient", inside(gone, fine)) == "NoIssuesFound", (
            "half of the steps are not more than half"
        )
    edge = gradients(a__weight=1.1e-6, b__weight=0.1)
    assert status("VanishingGradient", inside(edge, edge)) == "NoIssuesFound"
    tiny = gradients(a__weight=9e-8, b__weight=9e-8)
    assert status("VanishingGradient", inside(tiny, tiny)) == "IssuesFound"


def test_biases_and_normalisations_are_not_judged_nor_a_finished_model():
    bias = {"gradients": {"a.bias": {"abs_mean": 0.0, "dimensions": 1}, "n.weight": {"abs_mean": 0.0, "dimensions": 1}}}
    assert status("VanishingGradient", inside(bias, bias)) == "NoData"
    gone = gradients(a__weight=1e-9)
    done = [step(0, 2.0), *[step(n, 0.19) for n in range(1, 20)]]
    assert (
        says("VanishingGradient", inside(gradients(a__weight=0.1), gone, gone, gone, steps=done))["status"]
        == "NoIssuesFound"
    )
    nearly = [step(0, 2.0), *[step(n, 0.21) for n in range(1, 20)]]
    assert (
        status("VanishingGradient", inside(gradients(a__weight=0.1), gone, gone, gone, steps=nearly)) == "IssuesFound"
    )
    other_mode = [{"step": n, "mode": "EVAL", **gone} for n in range(3)]
    assert status("VanishingGradient", Observations(steps=falling(), tensors=other_mode)) == "NoData"


def test_a_tensor_explodes_when_it_is_not_finite_or_far_above_its_usual_norm():
    usual = {"gradients": {"a": {"l2": 1.0, "abs_mean": 1.0}}}

    def huge(norm: float) -> dict[str, Any]:
        return {"gradients": {"a": {"l2": norm, "abs_mean": 1.0}}}

    calm = says("ExplodingTensor", inside(usual, usual))
    assert (
        calm["status"] == "NoIssuesFound"
        and "all of 2 observed" in calm["seen"]
        and calm["values"] == {"largest_norm": 1.0}
    )
    found = says("ExplodingTensor", inside(usual, usual, huge(10_001)))
    assert found["status"] == "IssuesFound" and found["steps"] == (2,)
    assert status("ExplodingTensor", inside(usual, usual, huge(9_999))) == "NoIssuesFound"
    small = {"gradients": {"a": {"l2": 0.01}}}
    assert status("ExplodingTensor", inside(small, small, huge(999))) == "NoIssuesFound", (
        "a norm below 1000 explodes nothing"
    )
    for kind in ("gradients", "weights", "activations"):
        lost = says("ExplodingTensor", inside(usual, {kind: {"b": {"nonfinite": True, "l2": None}}}))
        assert (
            lost["status"] == "IssuesFound" and lost["steps"] == (1,) and f"{kind[:-1]} b is not finite" in lost["seen"]
        )
    assert (
        says("ExplodingTensor", Observations(steps=falling()))["seen"]
        == "no tensors were observed; the losses are finite"
    )


def weights(**layers: dict[str, Any]) -> dict[str, Any]:
    usual = {"fan_in": 100, "dimensions": 2, "std": 0.1, "row_spread": 1.0}
    return {"weights": {name: {**usual, **stats} for name, stats in layers.items()}}


def test_weights_that_begin_equal_or_out_of_scale_are_found_where_the_loss_says_so_too():
    stuck = [step(n, 1.0) for n in range(20)]
    assert status("PoorWeightInitialization", inside(weights(a={}, b={}), steps=stuck)) == "NoIssuesFound"
    equal = says("PoorWeightInitialization", inside(weights(a={"row_spread": 0.0}, b={}), steps=falling()))
    assert equal["status"] == "IssuesFound" and equal["values"]["tensor"] == "a"
    assert (
        status("PoorWeightInitialization", inside(weights(a={}, b={"row_spread": 0.0}), steps=falling()))
        == "NoIssuesFound"
    ), "the last one"
    large, small = weights(a={"std": 2.1}, b={}), weights(a={"std": 0.004}, b={})
    for odd in (large, small):
        assert status("PoorWeightInitialization", inside(odd, steps=stuck)) == "IssuesFound"
        quick = [step(n, 1.0 if n < 3 else 0.89) for n in range(20)]
        assert status("PoorWeightInitialization", inside(odd, steps=quick)) == "NoIssuesFound", "it learns all the same"
    high = [step(n, 7.0 - n / 4) for n in range(20)]
    assert status("PoorWeightInitialization", inside(large, steps=high, class_counts={"a": 1, "b": 1})) == "IssuesFound"
    usual = [step(n, 3 * math.log(2) - 0.01 - n / 20) for n in range(20)]
    assert (
        status("PoorWeightInitialization", inside(large, steps=usual, class_counts={"a": 1, "b": 1})) == "NoIssuesFound"
    )
    for within in (weights(a={"std": 1.9}, b={}), weights(a={"std": 0.006}, b={}), weights(a={}, b={"std": 0.0001})):
        assert status("PoorWeightInitialization", inside(within, steps=stuck)) == "NoIssuesFound"
    later = Observations(steps=stuck, tensors=[{"step": 5, "mode": "TRAIN", **large}])
    assert status("PoorWeightInitialization", later) == "NoData", (
        "weights that were trained say nothing of how they began"
    )
    assert status("PoorWeightInitialization", inside(weights(a={"dimensions": 1}), steps=stuck)) == "NoData"


@pytest.mark.parametrize(("name", "key"), [("DeadRelu", "dead"), ("SaturatedActivation", "saturated")])
def test_units_that_do_nothing_in_most_steps_are_counted_by_layer(name, key):
    def record(a: float, b: float = 0.0) -> dict[str, Any]:
        return {"activations": {"a": {key: a}, "b": {key: b}, "other": {}}}

    found = says(name, inside(record(0.6), record(0.6), record(0.0)))
    assert found["status"] == "IssuesFound" and found["values"] == {"layer": "a", "share": 0.6, "layers": ["a"]}
    assert found["steps"] == (0, 1, 2) and "1 layer(s) over 50 %" in found["seen"]
    assert (
        status(name, inside(record(0.5), record(0.5))) == "NoIssuesFound"
        and status(name, inside(record(0.9))) == "NoData"
    )
    assert says(name, inside(*[record(0.9, 0.8)] * 5))["steps"] == (2, 3, 4)
    assert status(name, inside({"activations": {"a": {}}}, {"activations": {"a": {}}})) == "NoData"


# --- data and time


def test_classes_are_balanced_until_ten_to_one_and_five_photos():
    def classes(accuracy: float = 0.9, balanced: float = 0.9, **counts: int) -> Observations:
        last = {"epoch": 1, "validation:accuracy": accuracy, "validation:balanced_accuracy": balanced}
        return Observations(run={"class_counts": counts}, epochs=[{"epoch": 0, "validation:accuracy": 0.1}, last])

    assert status("ClassImbalance", classes(a=50, b=6)) == "NoIssuesFound"
    found = says("ClassImbalance", classes(a=60, b=6))
    assert (
        found["status"] == "IssuesFound"
        and found["values"]["ratio"] == 10
        and (found["values"]["smallest"], found["values"]["largest"]) == ("b", "a")
    )
    assert (
        status("ClassImbalance", classes(a=5, b=5)) == "NoIssuesFound"
        and status("ClassImbalance", classes(a=5, b=4)) == "IssuesFound"
    )
    assert status("ClassImbalance", classes(0.9, 0.79, a=9, b=9)) == "IssuesFound"
    assert status("ClassImbalance", classes(0.9, 0.81, a=9, b=9)) == "NoIssuesFound"
    assert says("ClassImbalance", classes(a=9, b=0))["values"]["ratio"] == 9, "nothing is divided by nothing"
    assert (
        says("ClassImbalance", Observations(run={"class_counts": {"a": 9, "b": 9}}))["seen"]
        == "2 classes of 9 photos each"
    )


def test_steps_that_take_longer_are_outliers_when_they_cost_a_share():
    def run(slow: float, **fields: Any) -> Observations:
        steps = [step(n, seconds=slow if n == 7 else 1.0, longest=slow if n == 7 else 1.0, **fields) for n in range(30)]
        return Observations(steps=steps)

    found = says("StepOutlier", run(4.0), **LOUD)
    assert found["status"] == "IssuesFound" and found["steps"] == (7,) and found["gain_seconds"] == pytest.approx(3.0)
    assert found["values"] == {
        "median_seconds": 1.0,
        "limit_seconds": 2.0,
        "outliers": 1,
        "share": pytest.approx(3 / 33),
    }
    assert (
        status("StepOutlier", run(2.0), **LOUD) == "NoIssuesFound"
        and status("StepOutlier", run(2.5), **LOUD) == "NoIssuesFound"
    )
    assert status("StepOutlier", run(2.5), share=0.04, **LOUD) == "IssuesFound"
    assert status("StepOutlier", Observations(steps=run(4.0).steps[:19]), **LOUD) == "NoData"
    assert status("StepOutlier", Observations(steps=run(4.0).steps[:20]), **LOUD) == "IssuesFound"
    assert status("StepOutlier", Observations(steps=[step(0, steps=50)]), **LOUD) == "NoData"
    first = [step(n, seconds=9.0 if n == 0 else 1.0, longest=9.0 if n == 0 else 1.0) for n in range(30)]
    assert status("StepOutlier", Observations(steps=first), **LOUD) == "NoIssuesFound", "the first step warms up"
    warm = Observations(steps=run(9.0).steps, epochs=[{"epoch": 1, "time": 7.0, "train_steps": 7}])
    assert status("StepOutlier", warm, **LOUD) == "NoIssuesFound", "so does the first one of an epoch"
    detailed = Observations({"hyperparameters": {"profiler_steps": "8"}}, run(9.0).steps)
    assert status("StepOutlier", detailed, **LOUD) == "NoIssuesFound", "and those that are recorded in detail"
    groups = [
        step(
            10 * n, steps=10, seconds=10.0 if n != 2 else 14.0, longest=1.0 if n != 2 else 5.0, longest_step=10 * n + 3
        )
        for n in range(5)
    ]
    grouped = says("StepOutlier", Observations(steps=groups), **LOUD)
    assert grouped["steps"] == (23,) and grouped["gain_seconds"] == pytest.approx(4.0)
    named = says("StepOutlier", run(4.0, data=0.1, forward=0.2, backward=0.4, optimizer=0.1), **LOUD)
    assert (
        "mostly in backward" in named["seen"]
        and "here it is the data" in says("StepOutlier", run(4.0, data=0.9), **LOUD)["change"]
    )


def test_the_time_before_the_first_step_is_long_after_twenty_minutes_or_half_of_a_training():
    def run(first: float, closed: float = 10_000.0) -> Observations:
        return Observations(
            {"process_started": 100.0, "observed_from": 101.0, "first_step": 100 + first, "closed": 100 + closed}
        )

    assert status("MaxInitializationTime", run(1200)) == "NoIssuesFound"
    found = says("MaxInitializationTime", run(1201))
    assert found["status"] == "IssuesFound" and found["gain_seconds"] == 1171
    assert found["values"] == {"seconds": 1201, "share": 0.1201, "before_observation": 1.0}
    assert (
        status("MaxInitializationTime", run(31, 60)) == "IssuesFound"
        and status("MaxInitializationTime", run(31, 62)) == "NoIssuesFound"
    )
    assert status("MaxInitializationTime", run(30, 40)) == "NoIssuesFound"
    assert says("MaxInitializationTime", run(20, 30), min_seconds=0, threshold_seconds=10)["gain_seconds"] == 20


def test_evaluation_is_long_above_half_of_the_training():
    def run(seconds: float) -> Observations:
        return Observations(steps=[step(0, seconds=100.0), step(0, mode="EVAL", seconds=seconds)])

    assert status("LongEvaluation", run(50.0)) == "NoIssuesFound"
    found = says("LongEvaluation", run(60.0))
    assert found["status"] == "IssuesFound" and found["gain_seconds"] == pytest.approx(40.0)
    assert (
        "takes a large part of the time" in found["seen"]
        and "takes longer than training" in says("LongEvaluation", run(101.0))["seen"]
    )
    assert status("LongEvaluation", run(29.0), max_ratio=0.1) == "NoIssuesFound", "nine seconds could be gained"
    assert status("LongEvaluation", run(60.0), min_seconds=61.0) == "NoIssuesFound"
    assert says("LongEvaluation", Observations(steps=[step(0)]))["seen"] == "no evaluation steps have been observed"


# --- which rules, and what is made of them


def test_a_configuration_names_rules_and_their_parameters():
    assert [rule.name for rule, _ in chosen_rules({})] == list(RULE_NAMES)
    asked = {
        "rules": [
            {"name": "Overfit", "parameters": {"patience": "3"}},
            {"RuleParameters": {"rule_to_invoke": "DeadRelu", "other": "x"}},
        ]
    }
    assert [(rule.name, given) for rule, given in chosen_rules(asked)] == [
        ("Overfit", {"patience": 3.0}),
        ("DeadRelu", {}),
    ]
    for entry, said in (
        ({"name": "Overfitt"}, "rule 'Overfitt' is not known; allowed: LossNotDecreasing"),
        ({"name": "Overfit", "parameters": {"pat": 1}}, "rule Overfit has no parameter pat; allowed: ratio_threshold"),
        ({"name": "Overfit", "parameters": {"patience": "x"}}, "patience of rule Overfit is 'x'; allowed: a number"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            chosen_rules({"rules": [entry]})


def test_the_profiler_report_is_all_rules_about_time_and_machine_in_one():
    observed = Observations(steps=[step(0, seconds=100.0), step(0, mode="EVAL", seconds=60.0)])
    ((rule, given),) = chosen_rules(
        {"rules": [{"name": PROFILER_REPORT, "parameters": {"LongEvaluation_max_ratio": "0.7"}}]}
    )
    found = rule.evaluate(observed, given)
    assert found["status"] == "NoIssuesFound" and found["name"] == PROFILER_REPORT
    assert [part["name"] for part in found["values"]["rules"]] == list(PROFILER_RULES)
    worse = rule.evaluate(observed, {})
    assert worse["status"] == "IssuesFound" and worse["seen"].startswith("LongEvaluation: evaluation 60 s")
    assert rule.evaluate(Observations(), {})["status"] == "NoData"


def outcomes(*statuses: str) -> list[dict[str, Any]]:
    return [{"name": name, "status": status, "seen": "s"} for name, status in zip(RULE_NAMES, statuses, strict=False)]


def test_a_verdict_counts_and_names_and_never_says_well_without_evidence():
    assert (
        status_of(outcomes("NoData", "NoData")) == "NoData"
        and status_of(outcomes("NoData", "NoIssuesFound")) == "NoIssuesFound"
    )
    assert (
        status_of(outcomes("Error", "NoIssuesFound")) == "Error"
        and status_of(outcomes("Error", "IssuesFound")) == "IssuesFound"
    )
    said = verdict(outcomes("IssuesFound", "NoData", "IssuesFound", "NoIssuesFound"), {"name": "Overfit"})
    assert said == {
        "status": "IssuesFound", "issues_found": 2, "no_data": 1, "issues": [RULE_NAMES[0], RULE_NAMES[2]],
        "issue_names": f"{RULE_NAMES[0]} {RULE_NAMES[2]}", "stopped_by": "Overfit",
    }  # fmt: skip
    assert verdict(outcomes("NoData"), None)["issue_names"] == verdict(outcomes("NoData"), None)["stopped_by"] == "none"
    many = verdict(outcomes(*["IssuesFound"] * 18), None)["issue_names"]
    assert len(many) <= 256 and many.endswith(" ...") and many.split()[:2] == list(RULE_NAMES[:2])


def test_a_stop_is_read_where_there_was_one(tmp_path):
    assert stop_of(tmp_path) is None
    (tmp_path / "stop.json").write_text('{"name": "Overfit"}')
    assert stop_of(tmp_path) == {"name": "Overfit"}


def test_what_the_platform_says_takes_the_place_of_ours(tmp_path):
    statuses = {
        "DebugRuleEvaluationStatuses": [
            {
                "RuleConfigurationName": "Overfit",
                "RuleEvaluationStatus": "IssuesFound",
                "StatusDetails": "x",
                "RuleEvaluationJobArn": "arn",
            },
            {"RuleConfigurationName": "DeadRelu", "RuleEvaluationStatus": "Error", "StatusDetails": "NoData: none"},
            {"RuleConfigurationName": "Own", "RuleEvaluationStatus": "Stopped"},
        ],
        "ProfilerRuleEvaluationStatuses": [{"RuleConfigurationName": "P", "RuleEvaluationStatus": "NoIssuesFound"}],
    }
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(statuses))
    overfit, relu, own, profiler = read_statuses(path)
    assert overfit["status"] == "IssuesFound" and overfit["change"] == "see the log of arn and rule-output/Overfit/"
    assert (relu["status"], relu["seen"]) == ("NoData", "none")
    assert (own["status"], own["seen"], own["why"]) == ("NoData", "the evaluation was Stopped.", "")
    assert profiler["seen"] == "the platform says NoIssuesFound and no more"
    ours = [{"name": "DeadRelu", "status": "NoIssuesFound"}, {"name": "BatchSize", "status": "NoData"}]
    assert [one["name"] for one in with_service_outcomes(ours, [overfit, relu])] == ["DeadRelu", "BatchSize", "Overfit"]
    assert with_service_outcomes(ours, [relu])[0] is relu
    path.write_text("[1]")
    with pytest.raises(JobFailure, match="cannot be read"):
        read_statuses(path)


def test_in_the_platforms_words_no_data_is_an_error_that_says_so():
    assert in_service_terms({"status": "NoData", "seen": "none"}) == {
        "RuleEvaluationStatus": "Error",
        "StatusDetails": "NoData: none",
    }
    assert in_service_terms({"status": "IssuesFound", "seen": "x" * 2000})["StatusDetails"] == "x" * 1024


def test_a_platform_finds_a_folder_for_each_of_its_configurations(tmp_path):
    (tmp_path / "Mine").mkdir()
    (tmp_path / "Mine" / "old").write_text("of an earlier evaluation")
    part = {"name": "BatchSize", "status": "NoData", "seen": "ü"}
    found = [{"name": "Overfit", "status": "IssuesFound", "seen": "ü"},
             {"name": PROFILER_REPORT, "status": "NoData", "seen": "none", "values": {"rules": [part]}}]  # fmt: skip
    pages = {"health.html": "<p>ü", "profiler-report.html": "<p>é"}
    write_evaluations(tmp_path, [{"RuleConfigurationName": name} for name in ("Mine", "Profile")], found, pages)
    mine, profile = tmp_path / "Mine", tmp_path / "Profile"
    assert sorted(path.name for path in mine.iterdir()) == ["Overfit.json", "health.html", "outcome.json"]
    assert json.loads((mine / "Overfit.json").read_text()) == found[0]
    assert json.loads((mine / "outcome.json").read_text()) == {
        "RuleEvaluationStatus": "IssuesFound",
        "StatusDetails": "ü",
    }
    assert (mine / "health.html").read_text(encoding="utf-8") == "<p>ü"
    reports = profile / "profiler-output"
    assert (reports / "profiler-report.html").read_text(encoding="utf-8") == "<p>é"
    assert json.loads((reports / "profiler-reports" / "BatchSize.json").read_text()) == part
    assert json.loads((profile / "outcome.json").read_text())["StatusDetails"] == "NoData: none"
    with pytest.raises(ValueError, match="argument 2 is longer"):
        write_evaluations(tmp_path, [{"RuleConfigurationName": "Mine"}], found, pages)


def test_an_outcome_of_the_platform_has_the_form_of_ours(tmp_path):
    path = tmp_path / "rules.json"
    path.write_text(
        json.dumps(
            {"DebugRuleEvaluationStatuses": [{"RuleConfigurationName": "A", "RuleEvaluationStatus": "NoIssuesFound"}]}
        )
    )
    (outcome,) = read_statuses(path)
    ours = BY_NAME["Overfit"].evaluate(Observations())
    assert set(outcome) == set(ours)
    assert (outcome["parameters"], outcome["values"], outcome["steps"], outcome["gain_seconds"]) == ({}, {}, (), 0.0)


def test_the_first_loss_and_whether_it_fell_early():
    odd = weights(a={"std": 2.1}, b={})
    lost = [step(0, None, nonfinite=0), *[step(n, 1.0) for n in range(1, 20)]]
    assert says("PoorWeightInitialization", inside(odd, steps=lost))["values"]["first_loss"] == 1.0
    late = [step(0, 2.0), step(50, 1.0), *[step(n, 1.0) for n in range(51, 60)]]
    assert status("PoorWeightInitialization", inside(odd, steps=late)) == "NoIssuesFound", (
        "its next record is all there is to see"
    )
    slow = [step(n, 2.0 - 0.19 * (n == 30)) for n in range(60)]
    assert status("PoorWeightInitialization", inside(odd, steps=slow)) == "IssuesFound"
    assert status("PoorWeightInitialization", inside(odd, steps=slow[:1] * 2)) == "NoIssuesFound", (
        "two steps say nothing"
    )
    without = [step(n, None, nonfinite=0) for n in range(20)]
    assert status("PoorWeightInitialization", inside(odd, steps=without)) == "IssuesFound", (
        "no loss at all is none that falls"
    )
    assert (
        status("PoorWeightInitialization", Observations(tensors=[{"step": 0, "mode": "TRAIN", **odd}]))
        == "NoIssuesFound"
    )


def test_noise_of_groups_is_that_of_one_step():
    steps = [
        step(0, 1.0, steps=4),
        step(4, 1.0, steps=4),
        step(8, 1.0, steps=4),
        step(12, 1.4, steps=2),
        step(14, 1.0, steps=2),
    ]
    found = says("LossNotDecreasing", Observations(steps=steps))["values"]
    pairs = [(0.4**2) / (1 / 4 + 1 / 2), (0.4**2) / (1 / 2 + 1 / 2)]
    assert found["noise"] == pytest.approx(2 * (mean(pairs) * (1 / 1 + 1 / 3.2)) ** 0.5)


def test_samples_without_workers_have_none_that_are_busy():
    system = [{name: value for name, value in sample(n + 1.0).items() if name != "workers_wanted"} for n in range(19)]
    found = says("CPUBottleneck", Observations(steps=falling(20, data=0.5, data_cpu=0.4), system=system), **LOUD)
    assert found["values"]["busy_processors"] == pytest.approx(0.8)


def test_a_wrong_parameter_of_a_rule_in_the_profiler_report_is_named():
    ((rule, _),) = chosen_rules({"rules": [{"name": PROFILER_REPORT}]})
    with pytest.raises(ValueError, match="parameter max_ratio of rule LongEvaluation is 'x'; allowed: a number"):
        rule.evaluate(Observations(), {"LongEvaluation_max_ratio": "x"})


# --- rules beside a training that runs


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def live(
    tmp_path: Path, found: list[str], stop_on: list[str], costs: float = 0.0
) -> tuple[LiveRules, Clock, list[int]]:
    """Rules whose one outcome at each evaluation is the next of `found`; and the processes that were told to stop."""
    clock, stopped = Clock(), []

    worked = Clock()

    def evaluate(directory: str) -> list[dict[str, Any]]:
        worked.now += costs
        clock.now += 100 * costs  # the machine is crowded
        return [{"name": "Overfit", "status": found.pop(0), "seen": "s", "why": "w", "change": "c", "steps": (3,)}]

    return LiveRules(str(tmp_path), 77, 5.0, stop_on, clock, evaluate, stopped.append, worked), clock, stopped


def test_a_training_is_stopped_when_a_rule_finds_an_issue_twice_in_a_row(tmp_path):
    rules, clock, stopped = live(
        tmp_path, ["IssuesFound", "NoIssuesFound", "IssuesFound", "IssuesFound", "IssuesFound"], ["Overfit"]
    )
    told = []
    for _ in range(5):
        clock.now += 5.0
        rules.evaluate_when_due()
        told.append(len(stopped))
    assert told == [0, 0, 0, 1, 1] and stopped == [77]
    kept = json.loads((tmp_path / "stop.json").read_text())
    assert kept.pop("time") > 0 and kept == {"name": "Overfit", "seen": "s", "why": "w", "change": "c", "steps": [3]}
    assert json.loads((tmp_path / "live.json").read_text())["rules"][0]["status"] == "IssuesFound"


def test_a_rule_that_was_not_asked_to_stops_nothing(tmp_path):
    rules, clock, stopped = live(tmp_path, ["IssuesFound"] * 3, ["DeadRelu"])
    for _ in range(3):
        clock.now += 5.0
        rules.evaluate_when_due()
    assert stopped == [] and not (tmp_path / "stop.json").exists()


def test_an_evaluation_that_took_long_is_followed_by_a_longer_pause(tmp_path):
    rules, clock, _ = live(tmp_path, ["NoIssuesFound"] * 2, [], costs=1.0)
    clock.now = 4.9
    rules.evaluate_when_due()
    assert not (tmp_path / "live.json").exists(), "it is not due"
    clock.now = 5.0
    rules.evaluate_when_due()
    (tmp_path / "live.json").unlink()
    began = clock.now
    assert began == 105.0
    clock.now = began + 49.0
    rules.evaluate_when_due()
    assert not (tmp_path / "live.json").exists(), "a second of work is two per cent of fifty"
    clock.now = began + 50.0
    rules.evaluate_when_due()
    assert (tmp_path / "live.json").exists()


class Ended:
    """The event that ends the watching after so many waits; each wait moves the clock."""

    def __init__(self, clock: Clock, waits: int) -> None:
        self.clock, self.left, self.waited = clock, waits, []

    def wait(self, seconds: float) -> bool:
        self.waited.append(round(seconds, 3))
        self.clock.now += seconds
        self.left -= 1
        return self.left < 0


class Sampled:
    """Samples that take so many seconds each."""

    def __init__(self, clock: Clock, *costs: float) -> None:
        self.clock, self.costs, self.count = clock, list(costs), 0

    def sample(self) -> dict[str, Any]:
        self.clock.now += self.costs.pop(0) if self.costs else 0.0
        self.count += 1
        return {"sample": self.count}

    def evaluate_when_due(self) -> None:
        pass


def test_samples_are_taken_at_even_times_and_late_ones_are_not_made_up_for(tmp_path):
    clock = Clock()
    ended, sampler = Ended(clock, 4), Sampled(clock, 0.4, 2.5)
    watch(str(tmp_path), 7, 1.0, 5.0, [], ended, sampler, sampler, clock, lambda: 7)
    assert ended.waited == [1.0, 0.6, 0.0, 1.0, 1.0]
    assert len((tmp_path / "system.jsonl").read_text().splitlines()) == 5, "the last one when it ends"


def test_watching_ends_with_the_training(tmp_path):
    clock, parents = Clock(), iter([7, 7, 1, 1])
    ended, sampler = Ended(clock, 99), Sampled(clock)
    watch(str(tmp_path), 7, 1.0, 5.0, [], ended, sampler, sampler, clock, lambda: next(parents))
    assert sampler.count == 2 and len(ended.waited) == 3
