"""An account that answers the comparison's calls; the plan is the one that `prepare-comparison` makes."""

from __future__ import annotations

import json
from typing import Any

from contract.comparison_input import ComparisonInput
from tests.infra.pipeline_run import Account

SAMPLE = {"dataset": "s3://data/datasets/photos.zip", "models": ["alexnet", "resnet18", "googlenet"]}


class ComparisonAccount(Account):
    """`measured`, `trained`: candidates whose results or whose models (unless `expired`) an earlier comparison has left.

    `failing` may name `STATE of CANDIDATE`.
    """

    def __init__(
        self, definition: dict[str, Any], *, measured: tuple[str, ...] = (), trained: tuple[str, ...] = (),
        expired: bool = False, winner: bool = True, **known: Any,
    ):  # fmt: skip
        super().__init__(definition, **known)
        self.measured, self.trained, self.expired, self.winner = measured, trained, expired, winner
        self.calls: list[tuple[str, str]] = []

    def answer(self, state: str, resource: str, request: dict[str, Any]) -> dict[str, Any]:
        candidate = self._candidate(request)
        self.calls.append((state, candidate))
        name = f"{state} of {candidate}" if f"{state} of {candidate}" in self.failing else state
        return super().answer(name, resource, request)

    def _candidate(self, request: dict[str, Any]) -> str:
        text = json.dumps(request)
        return next((name for name in SAMPLE["models"] if f"/{name}/" in text), "")

    def states_of(self, candidate: str) -> list[str]:
        return [state for state, name in self.calls if name == candidate]

    def _getObject(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["Key"].endswith("winner.json"):
            found = {"name": "alexnet", "input": {"dataset": SAMPLE["dataset"], "model": "alexnet"}}
            return {"Body": json.dumps(found if self.winner else {"name": None})}
        if request["Key"].endswith("trained.json"):
            key = f"executions/earlier/candidates/{request['Key'].split('/')[-2]}"
            names = {"id": "0", "key": key, "uri": f"s3://artifacts/{key}"}
            return {"Body": json.dumps({"names": names, "job": "old-train", "times": "0,1,2,3"})}
        asked = ComparisonInput.from_json(json.loads(self.objects["executions/run-1/input/input.json"]))
        candidates = [
            {
                "name": one.name,
                "model": one.model,
                "description": one.description(),
                "hyperparameters": asked.hyperparameters_of(one.model, one.pretrained),
                "estimate_seconds": 30.0,
                "benchmark_seconds": 10.0,
            }
            for one in asked.candidates
        ]
        plan = {
            "key": asked.key("f" * 16), "second": bool(asked.evaluate_on), "start_pipeline": asked.start_pipeline,
            "candidates": candidates, "left_out": [], "estimate_seconds": 90.0,
        }  # fmt: skip
        return {"Body": json.dumps(plan)}

    def _listObjectsV2(self, request: dict[str, Any]) -> dict[str, Any]:
        *_, candidate, file = request["Prefix"].split("/")
        known = {
            "benchmark.json": candidate in self.measured,
            "trained.json": candidate in self.trained,
            "model.tar.gz": not self.expired,
        }
        return {"KeyCount": int(known[file])}

    def _startExecution(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"ExecutionArn": "arn:aws:states:us-east-1:000000000000:execution:darkroom-dev-pipeline:next"}

    def _createProcessingJob(self, request: dict[str, Any]) -> dict[str, Any]:
        # Step Functions hands over times as milliseconds.
        return {**request, "ProcessingStartTime": 1_700_000_000_000, "ProcessingEndTime": 1_700_000_009_000}

    def _createTrainingJob(self, request: dict[str, Any]) -> dict[str, Any]:
        times = {"TrainingStartTime": 1_700_000_010_000, "TrainingEndTime": 1_700_000_020_000}
        return super()._createTrainingJob(request) | times
