"""The metrics that SageMaker knows of its own algorithms: a job with such an image need not define them.

An image is known by its repository's name, as on AWS by its registry. Only XGBoost's are here.
https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost-tuning.html
"""

from __future__ import annotations

from typing import Any

XGBOOST = (
    "accuracy", "auc", "error", "f1", "f1_binary", "f1_macro", "logloss", "mae", "map", "merror", "mlogloss", "mse", "ndcg",
    "precision", "r2", "recall", "rmse",
)  # fmt: skip
REPOSITORIES = ("xgboost", "sagemaker-xgboost")
NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"


def metric_definitions(algorithm: dict[str, Any]) -> list[dict[str, str]]:
    """The definitions of an AlgorithmSpecification, or those that its algorithm brings."""
    given = algorithm.get("MetricDefinitions")
    repository = algorithm.get("TrainingImage", "").rpartition("/")[2].partition(":")[0].partition("@")[0]
    if given or repository not in REPOSITORIES:
        return given or []
    return [
        {"Name": f"{channel}:{metric}", "Regex": rf"\[[0-9]+\].*\b{channel}-{metric}:{NUMBER}"}
        for channel in ("train", "validation")
        for metric in XGBOOST
    ]
