"""What jobs and other people's files say cannot command the reader's terminal."""

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
