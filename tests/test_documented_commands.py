"""Every command line that README, docs and examples print can be typed: it is parsed by the tool that it names."""

from __future__ import annotations

import functools
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
from awscli.clidriver import create_clidriver

from darkroom.cli import darkroom
from tests.end_to_end.tutorial import session

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "packages").glob("*/*.md")),
    *sorted((ROOT / "packages").glob("*/docs/*.md")),
    *sorted((ROOT / "examples").glob("*.md")),
]
TOOLS = ("darkroom", "cdk", "aws")


def commands(text: str) -> list[str]:
    """Command lines of fenced blocks, and those between backticks, without prompts, comments and what a shell does around them."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.S | re.M)
    lines += [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose)]
    found = []
    for line in lines:
        for part in re.split(r"&&|;|\$\(|\| | · ", line.replace("\\|", "\u00a6")):
            words = part.strip().lstrip("$ ").removeprefix("npx ").removeprefix(".venv/bin/")
            if words.split(" ")[0] in TOOLS and " " in words:
                found.append(words)
    return found


def cleaned(line: str) -> list[str]:
    """Words of a command, without comments, redirections and optional parts; of a choice the first."""
    line = re.sub(r"\s#.*|\s{2,}.*|\)\"?(\s.*)?$|\s>\s.*", "", line).strip()
    line = re.sub(r"\[[^\]]*\]", "", line).replace("…", "").replace("COMMAND", "status")
    return [word.partition("\u00a6")[0] for word in shlex.split(line.replace("'", ""))]


CASES = sorted(
    {(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in commands(page.read_text(encoding="utf-8"))}
)


def of(tool: str) -> list[tuple[str, str]]:
    return [case for case in CASES if case[1].split(" ")[0] == tool]


@pytest.mark.parametrize(("page", "line"), of("darkroom"))
def test_a_command_of_darkroom_has_these_options_and_arguments(page, line):
    text = (ROOT / page).read_text(encoding="utf-8")
    parse(cleaned(line)[1:], complete=f"`{line}`" not in " ".join(text.split()))


def parse(words: list[str], complete: bool = True) -> None:
    """As `darkroom` would, without doing anything; a name alone (`darkroom run`) must exist. Prose need not be complete."""
    with darkroom.make_context("darkroom", list(words), resilient_parsing=False) as context:
        rest = [*context._protected_args, *context.args]
        group: click.Command = darkroom
        while isinstance(group, click.Group):
            name, rest = rest[0], rest[1:]
            command = group.get_command(context, name)
            assert command is not None, f"there is no command {name}"
            group = command
            if not rest:
                return
        try:
            group.make_context(group.name, rest, parent=context).close()
        except click.exceptions.Exit:
            return  # --help
        except click.MissingParameter:
            if complete:
                raise


@pytest.mark.parametrize("words", ["run --no-such --data x", "no-such-command", "run --data", "weights no-such"])
def test_a_command_that_cannot_be_typed_is_found(words):
    with pytest.raises((click.UsageError, AssertionError)):
        parse(words.split())


@pytest.mark.parametrize(("page", "line"), of("cdk"))
def test_a_command_of_the_cdk_has_these_options(page, line):
    words = [word for word in cleaned(line) if word not in (";", "diff,", "and")]
    if len(words) < 2:
        return
    help_text = cdk_help(words[1])
    for word in words[2:]:
        if word.startswith("-"):
            assert re.search(rf"(^|[\s,]){re.escape(word.partition('=')[0])}[\s,]", help_text, re.M), (
                f"cdk {words[1]} has no {word}"
            )


@functools.cache
def cdk_help(verb: str) -> str:
    said = subprocess.run(
        [ROOT / "node_modules/.bin/cdk", verb, "--help"], capture_output=True, text=True, timeout=120, cwd=ROOT / "tests",
        env={"PATH": f"{ROOT / '.venv/bin'}:/usr/bin:/bin", "CDK_DISABLE_CLI_TELEMETRY": "true"},
    )  # fmt: skip
    assert said.returncode == 0 and f"cdk {verb}" in said.stdout, said.stderr
    return said.stdout


@functools.cache
def aws_services() -> dict[str, Any]:
    return create_clidriver()._get_command_table()


@pytest.mark.parametrize(("page", "line"), of("aws"))
def test_a_command_of_the_aws_cli_has_these_options(page, line):
    words = cleaned(line)
    if len(words) < 3:
        return
    services = aws_services()
    assert words[1] in services, f"aws has no {words[1]}"
    service = services[words[1]]
    operations = service.subcommand_table if words[1] == "s3" else service._get_command_table()
    assert words[2] in operations, f"aws {words[1]} has no {words[2]}"
    options = {f"--{name}" for name in operations[words[2]].arg_table} | {
        "--region",
        "--profile",
        "--query",
        "--output",
    }
    for word in words[3:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in options, f"aws {words[1]} {words[2]} has no {word}"


def test_the_session_of_the_tutorial_goes_from_the_installation_to_an_answer():
    """`make tutorial` runs it; here is what it runs, and that each line is a command that another test here parses, or a shell's."""
    page = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    lines = [line for line in session(page, Path("/photos")).splitlines() if line]
    verbs = [re.sub(r"^darkroom (\w+).*", r"\1", line) for line in lines if line.startswith("darkroom ")]
    assert verbs == ["up", "deploy", "run", "predict"]
    assert lines[1] == "make install" and lines[3] == "cd /photos" and "answer.json" in lines[-1]
    parsed = [line for _, line in CASES]
    for line in lines:
        assert line.split(" ")[0] in ("set", "make", ".", "cd", "eval") or line in parsed, line


def test_there_is_something_to_parse():
    assert len(of("darkroom")) > 40 and len(of("cdk")) > 5 and len(of("aws")) > 4


def test_the_tools_that_the_pages_name_come_with_make_install():
    """`make install` takes requirements/app.txt, and npm's packages without those for development."""
    assert re.search(r"^awscli==", (ROOT / "requirements/app.txt").read_text(encoding="utf-8"), re.M)
    assert "aws-cdk" in json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["dependencies"]
