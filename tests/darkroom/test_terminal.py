"""What jobs and other people's files say cannot command the reader's terminal."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.terminal import plain

ESC = "\x1b"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"{ESC}[2Jcleared", "cleared"),
        (f"{ESC}]0;title\x07x", "x"),
        (f"{ESC}]8;;https://example.invalid{ESC}\\link{ESC}]8;;{ESC}\\", "link"),
        (f"{ESC}[31mred{ESC}[0m", "red"),
        (f"{ESC}Pq{ESC}\\picture", "picture"),
        ("\x9b31mred", "red"),
        ("over\rwritten\b\x00", "overwritten"),
        (f"cut {ESC}]0;never ended", "cut "),
        ("tab\tand Ünïcødé 写真\n", "tab\tand Ünïcødé 写真\n"),
    ],
)
def test_sequences_and_control_characters_are_dropped(said, shown):
    assert plain(said) == shown


@given(st.text(alphabet=st.characters(max_codepoint=0xFF)))
def test_nothing_that_a_terminal_obeys_is_left(text):
    assert all(character in "\t\n" or character.isprintable() or character in "\xa0\xad" for character in plain(text))


ROOT = Path(__file__).parents[2]
LONG = {f"a_hyperparameter_with_a_long_name_{number}": "0.0001" for number in range(12)}
TABLES = f"""
from darkroom import live, story
from darkroom.commands.shared import Context
context = Context({{}})
for as_json in (False, True):
    context.speak_json(as_json)
    story.print_table(context.console, {{
        "tuning": {{"trials": 8, "best_objective": 0.5, "best_hyperparameters": {LONG!r}}},
        "test": None, "warnings": [], "bias": None, "endpoint": None, "target_model": None, "steps": [], "seconds": 1.0,
        "orchestration_seconds": 0.0,
    }})
    context.console.print("{"word " * 40}")
    context.console.print(live.trial_table([{{"metric": "m", "status": "Completed", "objective": 0.5, "hyperparameters": {LONG!r}}}]))
"""


def test_nothing_is_wrapped_or_cut_in_a_pipe():
    piped = subprocess.run(
        [sys.executable, "-c", TABLES], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "40", "TERM": "xterm"},
    )  # fmt: skip
    for said in (piped.stdout, piped.stderr):
        lines = said.splitlines()
        assert len(lines) == 6, said
        assert all(f"{name}=0.0001" in lines[1] for name in LONG), lines[1]
        assert all(name in lines[4] for name in LONG) and lines[5].count("0.0001") == len(LONG)
        assert max(map(len, lines)) < 2000, "no line is padded to a width that nobody has"


def test_every_console_is_made_in_one_place():
    made = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "darkroom").rglob("*.py")
        if re.search(r"\bConsole\(", path.read_text(encoding="utf-8"))
    ]
    assert made == ["darkroom/terminal.py"]
