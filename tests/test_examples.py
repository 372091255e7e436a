"""Every shipped example is a valid input, and what it asks of SageMaker is a valid request."""

from __future__ import annotations

import json
from pathlib import Path

import botocore.session
import pytest
from botocore.validate import ParamValidator

from contract.comparison_input import ComparisonInput
from contract.execution_input import ExecutionInput
from tests.plans import planned

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
FILES = sorted(EXAMPLES.glob("*.json"))
COMPARISONS = [path for path in FILES if "models" in json.loads(path.read_text())]
RUNS = [path for path in FILES if path not in COMPARISONS]
DATASET = {"dataset": "s3://some-bucket/photos.zip"}


def ids(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", RUNS, ids=ids)
def test_a_run_example_plans_a_tuning_job_that_sagemaker_accepts(path):
    asked = ExecutionInput.from_json(json.loads(path.read_text()) | DATASET)
    tuning = planned(asked).tuning
    model = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.shape_for("HyperParameterTuningJobConfig")
    assert not ParamValidator().validate(tuning.config, shape).has_errors()
    fixed = set(tuning.static_hyperparameters)
    ranged = {one["Name"] for ranges in tuning.parameter_ranges.values() for one in ranges}
    assert ranged
    assert not fixed & ranged


@pytest.mark.parametrize("path", COMPARISONS, ids=ids)
def test_a_comparison_example_trains_every_candidate_alike(path):
    asked = ComparisonInput.from_json(json.loads(path.read_text()) | DATASET)
    assert asked.base in [candidate.name for candidate in asked.candidates]
    chosen = {
        tuple(sorted((name, value) for name, value in asked.hyperparameters_of(c.model).items() if name != "model"))
        for c in asked.candidates
    }
    assert len(chosen) == 1


def test_the_seeds_are_all_there():
    plant = ComparisonInput.from_json(json.loads((EXAMPLES / "plantvillage-jumpstart-15.json").read_text()) | DATASET)
    assert (len(plant.candidates), plant.base, plant.epochs, plant.batch_size) == (15, "inception-v3", 5, 16)
    names = {json.loads(path.read_text())["name"] for path in RUNS}
    assert names == {"hymenoptera", "intel-scenes", "dog-breed-classifier", "dog-breed-classifier-mobile"}


def test_every_example_is_described():
    page = (EXAMPLES / "README.md").read_text()
    assert [path.name for path in FILES if f"`{path.name}`" not in page] == []
