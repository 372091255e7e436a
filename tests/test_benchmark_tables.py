"""The table of what was run of a comparison is made from its results: it says how, and what was not run and why."""

from __future__ import annotations

from benchmarks.comparison import table


def row(name: str, **changed) -> dict:
    known = {
        "name": name, "status": "finished", "pretrained": True, "weights": "torchvision IMAGENET1K_V1", "n": 153,
        "accuracy": 0.9, "accuracy_interval": [0.85, 0.94], "latency_p50_ms": 4.0, "disk_bytes": 2e6, "training_seconds": 9.0,
        "features_from_cache": None, "second_accuracy": None, "reason": None,
    }  # fmt: skip
    return known | changed


def test_published_weights_count_before_a_smoke_test_and_a_reason_where_nothing_finished():
    smoke = {"pretrained": False, "weights": "random weights: architecture smoke test", "n": 500}
    first = {
        "candidates": [row("resnet18"), row("alexnet-random", **smoke)],
        "estimated_seconds": 90.0,
        "seconds": 60.0,
    }
    failed = row("vgg11", status="failed", reason="no weights\nfor resnet34") | {"name": "resnet34"}
    second = {"candidates": [row("resnet18-random", **smoke), failed], "estimated_seconds": 10.0, "seconds": 20.0}
    lines = table([("ants", first), ("cifar", second)]).splitlines()
    by_name = {line.split("`")[1]: line for line in lines if line.startswith("| `")}
    assert "with torchvision IMAGENET1K_V1 | ants | 90.0% [85.0%, 94.0%]" in by_name["resnet18"]
    assert sum("`resnet18`" in line for line in lines) == 1
    assert "smoke test, random weights | ants" in by_name["alexnet"]
    assert "not run: no weights for resnet34" in by_name["resnet34"]
    assert "not run: never asked for" in by_name["densenet201"]
    assert "| ants | 2 | 90 s | 60 s | 1.50 |" in lines
    assert "| cifar | 1 | 10 s | 20 s | 0.50 |" in lines
