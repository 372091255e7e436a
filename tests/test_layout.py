"""Where a stranger puts a thing: each kind of change has one place, and the pages name the places that are there."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = ("training_code", "analysis_code", "inference_code")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_the_places_that_the_page_names_are_there():
    named = set(re.findall(r"`([a-z_]+(?:/[\w.-]+)+/?)`", section("Where a change goes")))
    assert len(named) > 12
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "change", ["step", "hyperparameter", "AWS operation", "page", "bucket", "measure", "health rule", "setting"]
)
def test_each_kind_of_change_has_a_row(change):
    rows = [line for line in section("Where a change goes").splitlines() if line.startswith("| ")]
    assert len([row for row in rows if change in row.split("|")[1]]) == 1


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_s_row_names_every_command_of_its_image(room):
    (row,) = [line for line in section("Rooms").splitlines() if line.startswith(f"| `{room}/`")]
    text = (ROOT / room / "__main__.py").read_text(encoding="utf-8")
    commands = re.findall(r'^    "([a-z-]+)": \("|command == "([a-z-]+)"', text, re.MULTILINE)
    for command in {one or other for one, other in commands}:
        assert f"`{command}`" in row, command


def test_the_number_of_stacks_is_told_as_it_is():
    parts = re.search(
        r"^PARTS: Final = \((.*)\)", (ROOT / "contract/names.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(parts[1].split(",")) == 5
    assert "five stacks" in (ROOT / "app.py").read_text(encoding="utf-8")
    assert "four stacks" not in PAGE
    stacks = re.search(r"Stacks: ((?:`[\w-]+`(?:, )?)+)", PAGE)[1]
    assert len(stacks.split(", ")) == 5


def test_a_bucket_s_folder_is_spelt_in_one_place():
    """A renamed folder is one line in contract/names.py."""
    spelt = re.compile(r'"(?:executions|comparisons|registered|multi-model|feature-cache|weights|datasets)/')
    assert files_with(spelt, "contract", "infra", "darkroom") == {"contract/names.py"}


def test_a_name_that_stacks_and_command_line_share_is_spelt_in_one_place():
    """A renamed bucket, endpoint or parameter is one line in contract/names.py."""
    names = "data-bucket|artifacts-bucket|models-bucket|state-machine-arn|weights-role-arn|cpu-endpoint|multi-model-endpoint"
    spelt = re.compile(rf'"(?:{names}|comparison-state-machine-arn|images/)')
    assert files_with(spelt, "contract", "infra", "darkroom") == {"contract/names.py"}


def test_a_measure_has_one_formula():
    """Who needs a measure imports it: no second interval, bin or clip stands in a room of its own."""
    formula = re.compile(
        r"\b1\.9[56]\d*|\.beta\(|np\.percentile\([^)]*97\.5|np\.clip\([^)]*1e-|def \w*(?:wilson|log_loss)"
    )
    assert files_with(formula, "contract", "training_code", "analysis_code", "inference_code") == {
        "contract/measures.py"
    }


def test_a_hyperparameter_is_a_field_and_all_else_is_made_from_it():
    """Its range, its text form, its reference and what a search may do with it follow from the field."""
    fields = re.findall(
        r"^    (\w+): \w+ = (?:number|integer|choice|boolean|text|names)\(",
        text_of("contract/hyperparameters.py"),
        re.MULTILINE,
    )
    assert len(fields) > 30
    ranges = re.compile(r'"(?:weight_decay|label_smoothing|ema_decay)":\s*(?:\(|number|Rule)')
    assert files_with(ranges, "contract", "training_code", "darkroom", "infra") == set()


@pytest.mark.parametrize("room", ["contract", "training_code", "analysis_code", "inference_code", "darkroom", "infra"])
def test_no_module_needs_one_that_needs_it(room):
    """Also inside functions: a circle that is put off is a circle. What only a type checker reads does not count."""
    modules = {dotted(path): path for path in (ROOT / room).rglob("*.py")}
    needs = {name: imported(path) & set(modules) - {name} for name, path in modules.items()}
    try:
        tuple(TopologicalSorter(needs).static_order())
    except CycleError as circle:
        pytest.fail(f"a circle: {' needs '.join(reversed(circle.args[1]))}")


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Modules and names that a file imports; a name is followed by the module that it may itself be."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
            if not all((ROOT / Path(*node.module.split("."), f"{alias.name}.py")).is_file() for alias in node.names):
                found.add(node.module)
    return found


def test_an_aws_operation_is_added_where_the_page_says():
    assert "OPERATIONS" in text_of("packages/local-cloud/local_cloud/sagemaker/service.py")
    for service in ("stepfunctions/execution_api.py", "cloudformation/service.py"):
        assert "def _op_" in text_of(f"packages/local-cloud/local_cloud/{service}")
    assert "_op_" in section("Where a change goes") and "OPERATIONS" in section("Where a change goes")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def files_with(pattern: re.Pattern[str], *rooms: str) -> set[str]:
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    assert len(files) > 30
    return {str(path.relative_to(ROOT)) for path in files if pattern.search(path.read_text(encoding="utf-8"))}


def test_no_file_has_a_name_that_a_shell_must_quote():
    odd = re.compile(r"[\s\[\](){}'\"$&;*?<>|]")
    kept = [p for folder in ("tests", "infra", "contract", "docs", "darkroom") for p in (ROOT / folder).rglob("*")]
    assert len(kept) > 300
    assert [str(path) for path in kept if odd.search(path.name)] == []
