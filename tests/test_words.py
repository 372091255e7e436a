"""Rules for what people read: pages, messages and `--help`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from darkroom.cli import darkroom

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "packages").glob("*/*.md")),
    *sorted((ROOT / "packages").glob("*/docs/*.md")),
    *sorted((ROOT / "packages").glob("*/*/coverage.md")),
    *sorted((ROOT / "examples").glob("*.md")),
]
# `there is no photo`, `is no longer`: good English. `'x' is no setting` is not: say `is not a setting`.
UNNATURAL = re.compile(
    r"(?<![Tt]here\s)\b(?:is|was) no (?!longer|more|less|better|such|room|way|place|reason|one\b|part of)\w+"
)
LONGEST_CELL, LONGEST_SENTENCE = 200, 25


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)


def sentences(text: str) -> list[str]:
    """Of paragraphs and lists. A colon or semicolon ends one, too: what follows can be read for itself. A list of names is not one."""
    blocks = re.split(r"\n\s*\n|\n(?=\s*[-#|*] )|\n(?=\d\. )|\n(?=\|)", prose(text))
    spoken = [" ".join(block.split()) for block in blocks if not block.strip().startswith(("|", "#"))]
    found = [sentence for block in spoken for sentence in re.split(r"(?:(?<=[.!?:;])|(?<=[.!?]\)))\s+", block)]
    return [sentence for sentence in found if re.search(r"\w", re.sub(r"`[^`]*`", "", sentence))]


def too_long(text: str) -> list[str]:
    return [sentence for sentence in sentences(text) if len(sentence.split()) > LONGEST_SENTENCE]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_cell_of_a_table_is_longer_than_a_sentence_or_two(page):
    cells = [
        cell.strip()
        for line in prose(page.read_text(encoding="utf-8")).splitlines()
        if line.startswith("|")
        for cell in re.split(r"(?<!\\)\|", re.sub(r"\]\([^)]*\)", "]", line).strip("| "))
    ]
    assert not [cell for cell in cells if len(cell) > LONGEST_CELL]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_have_short_sentences(page):
    assert not too_long(page.read_text(encoding="utf-8"))


def helps(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Every command's whole name, with all that its help says: description, options, commands and what follows them."""
    options = [option.help or "" for option in command.params if isinstance(option, click.Option)]
    yield context.command_path, "\n\n".join([command.help or "", command.epilog or "", *options])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from helps(child, click.Context(child, info_name=name, parent=context))


HELPS = dict(helps(darkroom, click.Context(darkroom, info_name="darkroom")))


@pytest.mark.parametrize("command", HELPS)
def test_help_has_short_sentences(command):
    assert len(HELPS) > 20
    spoken = re.sub(
        r"\x08\n.*?(\n\n|$)", "\n\n", HELPS[command], flags=re.S
    )  # examples, which click leaves as they are
    assert not too_long(spoken)


def test_a_sentence_that_is_too_long_is_found():
    long = " ".join(["word"] * (LONGEST_SENTENCE + 1)) + "."
    assert too_long(f"Short. {long} Short (really.) {long[:-1]}") and too_long(f"- item\n- {long}")
    assert not too_long(f"{' '.join(['word'] * LONGEST_SENTENCE)}. Next one: {' '.join(['word'] * LONGEST_SENTENCE)}.")
    assert not too_long(", ".join(["`name`"] * 40) + ".")


def test_every_page_is_in_the_index_and_every_link_of_a_page_leads_to_a_heading_that_exists():
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.name == "README.md" or f"({page.relative_to(ROOT / 'docs')}" in index, page.name
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8"))):
            if "://" in target:
                continue
            place, _, heading = target.partition("#")
            linked = (page.parent / place).resolve() if place else page
            assert linked.exists(), f"{name(page)} links to {target}"
            if heading:
                assert heading in anchors(linked), f"{name(page)} links to {target}"


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "folder", ["contract", "darkroom", "infra", "training_code", "inference_code", "analysis_code"]
)
def test_messages_say_what_a_thing_is_not_as_english_does(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        said = UNNATURAL.search(path.read_text(encoding="utf-8"))
        assert not said, f"{name(path)}: {said[0]!r}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_say_what_a_thing_is_not_as_english_does(page):
    said = UNNATURAL.search(page.read_text(encoding="utf-8"))
    assert not said, said and said[0]


SAYS_NOTHING = ("asked", "wanted", "given", "made", "found", "told")


def variables(source: str) -> Iterator[tuple[int, str]]:
    """Names that are assigned or are parameters; fields of a class stand behind its name and are left out."""
    tree = ast.parse(source)
    fields = {
        id(field.target) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for field in node.body
        if isinstance(field, ast.AnnAssign)
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in fields:
            yield node.lineno, node.id


@pytest.mark.parametrize("folder", ["darkroom", "infra"])
def test_a_variable_says_what_it_holds(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        vague = [place for place in variables(path.read_text(encoding="utf-8")) if place[1] in SAYS_NOTHING]
        assert not vague, f"{name(path)}: {vague}"


def test_a_variable_that_says_nothing_is_found():
    assert {one for _, one in variables("for made in x: pass\ndef f(told): found = [given for given in told]")} > {
        "made"
    }
    assert list(variables("class A:\n    found: int = 0")) == []
