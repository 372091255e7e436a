"""Which code is mutated, which tests are to see it, and in which environment they run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LOCAL_CLOUD = "packages/local-cloud"


@dataclass(frozen=True)
class Group:
    """`mutated`: patterns of files below `top`; `copied`: what the tests need besides; `cloud`: they share a cloud in the process."""

    name: str
    environment: str
    mutated: tuple[str, ...]
    tests: tuple[str, ...]
    top: str = "."
    copied: tuple[str, ...] = ("contract", "tests")
    cloud: bool = False
    unless: str = "nothing_is_called_so"  # as pytest's `-k not (…)`: tests that need a browser, a training or minutes

    @property
    def sources(self) -> list[str]:
        """The packages that hold the mutated files."""
        return sorted({Path(pattern).parts[0] for pattern in self.mutated})


GROUPS = {
    group.name: group
    for group in (
        Group(
            "contract",
            ".venv",
            ("contract/execution_input.py", "contract/hyperparameters.py", "contract/names.py", "contract/plan.py",
             "contract/search_space.py", "contract/sheet.py", "contract/state_file.py", "contract/validation.py",
             "contract/checked.py", "contract/json_form.py", "contract/rule.py",
             "contract/foreign_json.py", "contract/region.py"),
            ("tests/test_contract_rules.py", "tests/test_names.py", "tests/test_sheet.py", "tests/test_state_files.py",
             "tests/training_code/test_contract_execution_input.py"),
            copied=("contract", "tests", "darkroom", "infra", "training_code", "inference_code", "analysis_code", "app.py",
                    "cdk.json"),
        ),
        Group(
            "photo-sets",
            ".venv",
            ("contract/photo_set/*.py",),
            ("tests/test_photo_set.py", "tests/test_photo_set_layouts.py", "tests/test_photo_set_random.py",
             "tests/test_photo_set_workbooks.py"),
        ),
        Group(
            "interpreter",
            ".venv",
            ("local_cloud/stepfunctions/interpreter.py", "local_cloud/stepfunctions/choice.py",
             "local_cloud/stepfunctions/failures.py", "local_cloud/stepfunctions/intrinsics.py",
             "local_cloud/stepfunctions/paths.py", "local_cloud/stepfunctions/payload.py",
             "local_cloud/stepfunctions/scope.py", "local_cloud/stepfunctions/map_items.py"),
            ("tests/test_stepfunctions_time.py", "tests/test_stepfunctions_rules.py"),
            top=LOCAL_CLOUD, copied=("local_cloud", "tests", "docs", "README.md"),
        ),
        Group(
            "signatures",
            ".venv",
            ("local_cloud/signature.py", "local_cloud/guard.py", "local_cloud/s3/payload.py"),
            ("tests/test_safety_ages.py", "tests/test_safety_rules.py"),
            top=LOCAL_CLOUD, copied=("local_cloud", "tests", "docs", "README.md"),
        ),
        Group(
            "health",
            ".venv-training_code",
            ("training_code/health/chosen.py", "training_code/health/managed.py", "training_code/health/observations.py",
             "training_code/health/rule.py", "training_code/health/verdict.py", "training_code/health/watch.py",
             "training_code/health/rules/*.py"),
            ("tests/training_code/test_health_arithmetic.py",),
            copied=("contract", "tests", "training_code"),
        ),
        Group(
            "prices",
            ".venv-analysis_code",
            ("analysis_code/comparison/prices.py", "analysis_code/comparison/recommend.py"),
            ("tests/analysis_code/test_comparison_rules.py", "tests/analysis_code/test_comparison.py"),
            copied=("contract", "tests", "analysis_code", "inference_code", "training_code"),
            unless="click or filter or window or disagreement",
        ),
    )
}  # fmt: skip
