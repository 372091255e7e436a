"""XGBoost as a built-in algorithm: no script, the label in the first column, metrics and model file as AWS's container has them.

https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost.html and github.com/aws/sagemaker-xgboost-container. Refused by name: Pipe
mode, Parquet and RecordIO, several hosts, cross-validation (`_kfold`), GPU training by Dask.
"""

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from script_mode import BASE, MANY, MODEL, UserError
from script_mode.formats import CSV, JSON, LINES
from script_mode.surroundings import Surroundings

NAME = "xgboost-model"
LIBSVM = ("libsvm", "text/libsvm", "text/x-libsvm")
TABLES = ("csv", "text/csv")
REFUSED = ("_kfold", "_num_cv_round", "use_dask_gpu_training")
# Whose name a metric bears when it is greater for a better model.
MAXIMIZED = (
    "accuracy",
    "auc",
    "aucpr",
    "balanced_accuracy",
    "f1",
    "f1_binary",
    "f1_macro",
    "map",
    "ndcg",
    "precision",
    "r2",
    "recall",
)


def run(told: Surroundings) -> None:
    """Trains on the channels `train` and `validation`; writes `xgboost-model`."""
    import xgboost

    # The objective of a tuning job is for the algorithm, not for a script.
    objective_metric = told.given.get("_tuning_objective_metric")
    given = dict(told.hyperparameters)
    for name in REFUSED:
        if str(given.get(name, "false")).lower() != "false":
            raise UserError(
                f"The hyperparameter {name} is not offered here. Leave it out, or train with a script (entry_point=)."
            )
    if len(told.hosts) > 1:
        raise UserError(f"XGBoost as a built-in algorithm trains on one instance here, not on {len(told.hosts)}.")
    if "num_round" not in given:
        raise UserError("The hyperparameter num_round is missing: how many trees are trained.")
    rounds, weights = int(given.pop("num_round")), int(given.pop("csv_weights", 0))
    patience = given.pop("early_stopping_rounds", None)
    given.pop("save_model_on_termination", None)
    metrics = [str(name) for name in _listed(given.pop("eval_metric", None))]
    if objective_metric:
        metrics += [name for name in [str(objective_metric).split(":", 1)[-1]] if name not in metrics]
    data = {name: _channel(told, name, weights) for name in ("train", "validation") if name in told.channels}
    if "train" not in data:
        raise UserError(f"There is no channel 'train'; the job has: {', '.join(sorted(told.channels)) or 'none'}.")
    watched = [(matrix, name) for name, matrix in data.items()]
    callbacks: list[Any] = [_Lines()]
    if patience and "validation" in data and metrics:
        callbacks.append(
            xgboost.callback.EarlyStopping(
                int(patience), metrics[-1], "validation", maximize=metrics[-1] in MAXIMIZED, save_best=True
            )
        )
    settings = {**given, **({"eval_metric": metrics} if metrics else {})}
    try:
        booster = xgboost.train(settings, data["train"], rounds, evals=watched, callbacks=callbacks, verbose_eval=False)
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise UserError(f"XGB train call failed with exception:\n {error}") from None
    MODEL.mkdir(parents=True, exist_ok=True)
    booster.save_model(MODEL / f"{NAME}.json")
    (MODEL / f"{NAME}.json").rename(MODEL / NAME)


def _Lines() -> Any:
    from xgboost.callback import TrainingCallback

    class Lines(TrainingCallback):
        """`[round]\\tname-metric:value`: what the metric definitions of AWS's container read."""

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            words = [
                f"{data}-{name}:{values[-1]:.5f}" for data, log in evals_log.items() for name, values in log.items()
            ]
            print("\t".join([f"[{epoch}]", *words]), flush=True)
            return False

    return Lines()


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else str(value).split(",")


def _channel(told: Surroundings, name: str, weights: int) -> Any:
    settings = told.channels[name]
    if settings.get("TrainingInputMode") == "Pipe":
        raise UserError(f"The channel {name!r} is in Pipe mode; XGBoost reads File and FastFile here.")
    folder = BASE / "input" / "data" / name
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "_")))
    if not files:
        raise UserError(f"No data in the channel {name!r}.")
    kind = str(settings.get("ContentType") or "text/libsvm").split(";")[0].strip().lower()
    return _read(files, kind, weights)


def _read(files: list[Path], kind: str, weights: int) -> Any:
    import xgboost

    if kind in TABLES:
        rows = np.concatenate([_table(path.read_text(encoding="utf-8"), path.name) for path in files])
        first = 2 if weights else 1
        return xgboost.DMatrix(rows[:, first:], label=rows[:, 0], weight=rows[:, 1] if weights else None)
    if kind in LIBSVM:
        from sklearn.datasets import load_svmlight_files

        try:
            parts = load_svmlight_files([str(path) for path in files], zero_based="auto")
        except ValueError as error:
            raise UserError(
                f"{', '.join(path.name for path in files[:3])} cannot be read as libsvm ({error}). libsvm is the default; for CSV "
                "give content_type='text/csv'."
            ) from None
        from scipy import sparse

        return xgboost.DMatrix(sparse.vstack(parts[::2]), label=np.concatenate(parts[1::2]))
    raise UserError(f"{kind} is not an accepted ContentType here: {', '.join((*TABLES, *LIBSVM))}.")


def _table(text: str, where: str) -> np.ndarray:
    text = text.strip()
    try:
        delimiter = csv.Sniffer().sniff(text.split("\n")[0][:512]).delimiter
    except csv.Error:
        delimiter = ","
    delimiter = "," if delimiter.isalnum() or delimiter == "." else delimiter
    try:
        return np.array(
            [[float(cell) if cell.strip() else np.nan for cell in line.split(delimiter)] for line in text.splitlines()]
        )
    except ValueError as error:
        raise UserError(f"{where} is no table of numbers without a header, the label first: {error}") from None


def matrix(body: bytes | str, content_type: str) -> Any:
    """A request's records; no label among them."""
    import xgboost

    text = body.decode("utf-8") if isinstance(body, bytes) else body
    kind = content_type.split(";")[0].strip().lower() or LIBSVM[-1]
    if kind in TABLES:
        return xgboost.DMatrix(_table(text, "The request"))
    if kind in LIBSVM:
        from io import BytesIO

        from sklearn.datasets import load_svmlight_file

        # The loader wants a label; a request has none, or one that does not matter.
        lines = [
            line if line[:1] and ":" not in line.split(None, 1)[0] else f"0 {line}"
            for line in text.strip().splitlines()
        ]
        return xgboost.DMatrix(load_svmlight_file(BytesIO("\n".join(lines).encode()), zero_based="auto")[0])
    raise UserError(f"Content-type {content_type} is not supported: {', '.join((*TABLES, *LIBSVM))}.")


def load(model_dir: Path) -> Any:
    """The booster in `xgboost-model`, in XGBoost's own format. A pickled one, as old versions wrote it, is not opened."""
    import xgboost

    files = sorted(path for path in model_dir.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        raise UserError(f"There is no model file in {model_dir}.")
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(files[0].read_bytes()))
    except xgboost.core.XGBoostError as error:
        raise UserError(
            f"{files[0].name} is not a model that XGBoost {xgboost.__version__} reads ({str(error).splitlines()[0]}). Pickled "
            "models are not opened; save with Booster.save_model."
        ) from None
    return booster


def written(answer: Any, accept: str) -> tuple[bytes, str]:
    """https://github.com/aws/sagemaker-xgboost-container/blob/master/src/sagemaker_xgboost_container/algorithm_mode/serve.py"""
    scores = np.asarray(answer).tolist()
    if os.environ.get("SAGEMAKER_BATCH"):
        return ("\n".join(map(str, scores)) + "\n").encode(), CSV
    kind = accept.split(";")[0].strip()
    if MANY:  # AWS's multi-model container writes another form: all scores in one line, or a plain list
        plain = kind == JSON
        return (json.dumps(scores) if plain else ",".join(map(str, scores))).encode(), JSON if plain else CSV
    if kind == JSON:
        return json.dumps({"predictions": [{"score": score} for score in scores]}).encode(), JSON
    if kind == LINES:
        return "".join(json.dumps({"score": score}) + "\n" for score in scores).encode(), LINES
    lines = [",".join(map(str, score)) if isinstance(score, list) else str(score) for score in scores]
    return ("\n".join(lines) + "\n").encode(), CSV
