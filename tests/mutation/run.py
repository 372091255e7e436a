"""`make mutants`: break the code in many small ways, and count what the tests see. Written down in docs/testing.md.

mutmut makes the mutants and runs the tests that reach each. A seed draws a sample, so that a run takes minutes; a second run goes on
where the first one ended. Mutants that change only the words of a sentence are left out: no test should hold a message word by word.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from groups import GROUPS, Group

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "build/mutants"
TOOL = PLACE / "tool"
# As mutmut keeps them: https://github.com/boxed/mutmut
SURVIVED, NO_TEST = 0, 33
OUT_OF_TIME = {36, 24, -24, 152, 255}
MUTMUT = "import sys; from mutmut.__main__ import cli; sys.exit(cli())"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make mutants", description="Break the code in small ways and count what the tests see."
    )
    parser.add_argument(
        "groups", nargs="*", choices=[*GROUPS, []], help=f"which code: {', '.join(GROUPS)} (default: all)"
    )
    parser.add_argument("--sample", type=int, default=120, help="mutants of each group (default: 120)")
    parser.add_argument("--seed", type=int, default=1, help="draws the sample (default: 1)")
    parser.add_argument("--minutes", type=float, default=20, help="for each group; a second run goes on (default: 20)")
    parser.add_argument("--floor", type=float, default=85, help="per cent that must be seen (default: 85)")
    options = parser.parse_args()
    rows = [one_group(GROUPS[name], options) for name in options.groups or GROUPS]
    print(
        "\n| code | mutants | in the sample | seen | survived | not run | seen, % |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    for row in rows:
        print(row.line())
    low = [row.name for row in rows if row.share < options.floor]
    if low:
        print(f"\nFewer than {options.floor:g} % were seen in: {', '.join(low)}. What survived stands above.")
    return 1 if low else 0


class Result:
    """Verdicts on the sample of one group."""

    def __init__(self, name: str, total: int, verdicts: dict[str, int | None]):
        self.name, self.total, self.verdicts = name, total, verdicts
        self.survivors = [mutant for mutant, code in verdicts.items() if code in (SURVIVED, NO_TEST)]
        self.waiting = [mutant for mutant, code in verdicts.items() if code is None]

    @property
    def share(self) -> float:
        judged = len(self.verdicts) - len(self.waiting)
        return 100 * (judged - len(self.survivors)) / judged if judged else 0.0

    def line(self) -> str:
        seen = len(self.verdicts) - len(self.survivors) - len(self.waiting)
        numbers = (self.total, len(self.verdicts), seen, len(self.survivors), len(self.waiting))
        return f"| {self.name} | {' | '.join(map(str, numbers))} | {self.share:.0f} |"


def one_group(group: Group, options: argparse.Namespace) -> Result:
    folder = PLACE / group.name
    print(f"── {group.name}: {', '.join(group.mutated)}", flush=True)
    lay_out(group, folder)
    # No mutant has this name: mutmut makes them all, learns which test reaches which function, and ends.
    mutmut(group, folder, ["none-of-them"], minutes=10)
    known = verdicts(folder)
    if not known:
        sys.exit(f"{group.name}: mutmut made no mutants; its words stand in {folder / 'mutmut.log'}.")
    drawn = sample(folder, known, options)
    again = [mutant for mutant in drawn if known[mutant] in (None, SURVIVED, NO_TEST)]
    if again:
        mutmut(group, folder, again, options.minutes)
    known = verdicts(folder)
    result = Result(group.name, len(known), {mutant: known.get(mutant) for mutant in drawn})
    print(f"   {Counter(known[mutant] for mutant in drawn)}")
    for mutant in result.survivors:
        print(f"\n   survived: {mutant}\n{difference(folder, mutant)}")
    return result


def lay_out(group: Group, folder: Path) -> None:
    """A copy of what the tests need, because mutmut works in the current folder; what did not change keeps its time."""
    top = ROOT / group.top
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *group.copied],
        cwd=top, check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        source, target = top / name, folder / name
        if source.is_file() and not (target.is_file() and target.stat().st_mtime == source.stat().st_mtime):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    also = [name for name in group.copied if name not in group.sources]
    settings = {
        "source_paths": group.sources,
        "only_mutate": list(group.mutated),
        "also_copy": also,
        "pytest_add_cli_args_test_selection": [test for test in group.tests if (folder / test).is_file()],
        "pytest_add_cli_args": [
            "-p",
            "no:xdist",
            "-p",
            "no:cacheprovider",
            "-k",
            f"not ({group.unless})",
        ]
        + (["-p", "cloud_here"] if group.cloud else [])
        + (["-m", "not alone"] if group.top == "." else []),
        "process_isolation": "forkserver",
        "timeout_constant": 20.0,
        "use_git_change_detection": False,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    written = (top / "pyproject.toml").read_text() + "\n[tool.mutmut]\n" + "\n".join(lines) + "\n"
    (folder / "pyproject.toml").write_text(written)


def mutmut(group: Group, folder: Path, names: list[str], minutes: float) -> None:
    """Run it until its work or the time is over; what it judged so far it has written down."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(TOOL), str(Path(__file__).parent))),
        "PYTHONWARNINGS": "ignore",
    }
    python = ROOT / group.environment / "bin/python"
    command = [
        "nice",
        str(python),
        "-c",
        MUTMUT,
        "run",
        "--max-children",
        os.environ.get("MUTANTS_AT_ONCE", "2"),
        *names,
    ]
    with (folder / "mutmut.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            process.wait(60 * minutes)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            os.killpg(process.pid, signal.SIGTERM)
            time.sleep(1)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def verdicts(folder: Path) -> dict[str, int | None]:
    """mutmut's exit code by mutant; None: not run yet."""
    found: dict[str, int | None] = {}
    for meta in sorted((folder / "mutants").rglob("*.py.meta")):
        found |= json.loads(meta.read_text())["exit_code_by_key"]
    return found


def sample(folder: Path, known: dict[str, int | None], options: argparse.Namespace) -> list[str]:
    """So many, drawn by the seed in an order of their own: a larger sample holds the smaller one."""
    in_order = sorted(known)
    random.Random(options.seed).shuffle(in_order)
    drawn: list[str] = []
    for mutant in in_order:
        if len(drawn) == options.sample:
            break
        if not only_words(folder, mutant):
            drawn.append(mutant)
    return drawn


def only_words(folder: Path, mutant: str) -> bool:
    """Whether original and mutant are the same but for texts with a space in them, which are sentences for people."""
    original, changed = (without_words(source) for source in sources(folder, mutant))
    return original == changed


def without_words(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip("X"):
            node.value = ""
        if isinstance(node, ast.FunctionDef):
            node.name = ""
    return ast.dump(tree)


def sources(folder: Path, mutant: str) -> tuple[str, str]:
    """The function as it was, and as the mutant has it."""
    module, _, function = mutant.rpartition(".")
    path = folder / "mutants" / (module.replace(".", "/") + ".py")
    if not path.is_file():
        path = folder / "mutants" / module.replace(".", "/") / "__init__.py"
    functions = defined(path)
    return functions[function.rpartition("_")[0] + "_orig"], functions[function]


_DEFINED: dict[Path, dict[str, str]] = {}


def defined(path: Path) -> dict[str, str]:
    if path not in _DEFINED:
        text = path.read_text()
        lines = text.splitlines()
        _DEFINED[path] = {
            node.name: "\n".join(line[node.col_offset :] for line in lines[node.lineno - 1 : node.end_lineno])
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
    return _DEFINED[path]


def difference(folder: Path, mutant: str) -> str:
    """The lines that the mutant changed."""
    import difflib

    before, after = (source.splitlines() for source in sources(folder, mutant))
    changed = [
        line
        for line in difflib.unified_diff(before[1:], after[1:], lineterm="", n=0)
        if line[:2] not in ("--", "++", "@@")
    ]
    return "\n".join(f"      {line}" for line in changed)


if __name__ == "__main__":
    sys.exit(main())
