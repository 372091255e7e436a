"""Names that two rooms must agree on are made, and read back, by contract/names.py alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.execution_input import ExecutionInput, defaults
from contract.names import COMPARISON, PARTS, JobName, NameRefused, Names, model_name

ROOT = Path(__file__).resolve().parent.parent
WORDS = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
# What only the owner may spell: beginnings of SSM paths, log groups, folders of the buckets, endings of names.
SPELT = re.compile(
    r"""["'{](/darkroom/|/aws/sagemaker/[A-Z]|/aws/vendedlogs/|executions/|comparisons/|registered/|multi-model/|weights/)"""
    r"""|darkroom-dev|-\{id\}|DARKROOM_ENVIRONMENT\b.*dev"""
)


@given(WORDS, WORDS, st.sampled_from(PARTS))
def test_a_stack_leads_back_to_its_project_and_environment(project, environment, part):
    names = Names(project, environment)
    assert Names.of_stack(names.stack(part)) == names


@given(WORDS, WORDS, WORDS, WORDS)
def test_two_deployments_have_no_name_in_common(project, environment, other, place):
    one, two = Names(project, environment), Names(other, place)
    if one != two:
        assert not set(one.stacks) & set(two.stacks)
        assert one.parameters != two.parameters and one.endpoint("cpu") != two.endpoint("cpu")
        assert not two.is_model(one.model("0a1b2c3d")) and not two.is_shadow(f"{one.prefix}-0a1b2c3d-x")


@pytest.mark.parametrize(
    "stack",
    ["Darkroom-Tiny", "Storage", "darkroom-Storage", "Darkroom-A-B-Storage", "Darkroom-Dev-Storage", "CDKToolkit"],
)
def test_a_stack_of_nobody_is_nobodys(stack):
    assert Names.of_stack(stack) is None


@given(
    st.builds(
        JobName, prefix=st.just("bees-prod"), id=st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
        step=st.sampled_from(["train", "tune", "bench", "one-two"]), retry=st.integers(0, 99), redrive=st.integers(0, 99),
        place=st.none() | st.integers(0, 99),
    )
)  # fmt: skip
def test_a_job_is_read_back_as_it_was_named(job):
    assert JobName.read(str(job)) == job


@pytest.mark.parametrize(
    "text", ["", "darkroom-dev-cpu", "darkroom-dev-0a1b2c3d-model", "x-y-0a1b2c3d-tune-0-0-001-ab"]
)
def test_what_no_state_machine_named_is_no_job_of_ours(text):
    assert JobName.read(text) is None


@pytest.mark.parametrize(
    ("project", "environment"), [("Bees", "dev"), ("bees", "a-b"), ("", "dev"), ("elevenchars", "dev")]
)
def test_words_that_make_no_names_are_refused_with_the_value(project, environment):
    with pytest.raises(NameRefused, match=re.escape(repr(project if project != "bees" else environment)[:-1])):
        Names(project, environment)


@pytest.mark.parametrize("room", ["infra", "darkroom"])
def test_nobody_else_spells_a_name(room):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for number, line in enumerate(_code(path), 1)
        if SPELT.search(line)
    ]
    assert not found


def _code(path: Path) -> list[str]:
    """Lines of a module, its comments and examples in docstrings left out."""
    text = re.sub(r'""".*?"""', lambda found: "\n" * found[0].count("\n"), path.read_text(encoding="utf-8"), flags=re.S)
    return [re.sub(r"\s#.*", "", line) for line in text.splitlines()]


def test_the_state_machines_are_named_after_what_they_do():
    assert Names("bees", "prod").comparison == "bees-prod-comparison"
    assert (
        Names("bees", "prod").log_group_of_machine("bees-prod-comparison", "0a1b2c3d")
        == "/aws/vendedlogs/states/bees-prod-comparison-0a1b2c3d"
    )
    assert Names("bees").stack(COMPARISON) == "Bees-Comparison"


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("s3://data/datasets/beans-0123456789ab.zip", "beans"), ("s3://bucket/Solar Cells/", "solar-cells"),
     ("s3://bucket/pets.v2.ZIP", "pets-v2"), ("s3://bucket", "bucket"), ("s3://bucket/", "bucket"),
     ("s3://bucket/a/b/photos.manifest", "photos"), ("s3://bucket/____/", "photos"), (f"s3://bucket/{'a-' * 40}", ("a-" * 20)[:-1])],
)  # fmt: skip
def test_a_model_without_a_name_has_that_of_its_photos(dataset, name):
    assert model_name(dataset) == name
    assert ExecutionInput.from_json({"dataset": dataset}).name == name


def test_the_state_machine_has_no_name_of_its_own_to_merge_over_that():
    assert "name" not in defaults()
    assert ExecutionInput.from_json({"dataset": "s3://bucket/pets/", "name": "mine"}).name == "mine"


@given(st.text(max_size=80))
def test_whatever_a_data_set_is_called_its_model_has_a_name_that_is_allowed(text):
    name = model_name(f"s3://some-bucket/{text}")
    assert ExecutionInput("s3://some-bucket/x", name=name).name == name
