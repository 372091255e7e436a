"""A table that a person opens runs nothing, and our own jobs read the same texts back."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import sheet

HOSTILE = ["=1+1", "+1+1", "-x.jpg", "@SUM(A1)", "\t=1", "\r=1", " =1", "'=1", "''=1", '"=1', "＝1", "a;=1", 'a;"=1"', "a\n=1",
           "-", "-1+1", "=", "\ufeff=1", "-x\n"]  # fmt: skip
HARMLESS = ["ant", "-0.5", "+3", "1e-06", "-1e-3", "'ant", "it's", "a=b", "a-b.jpg", "", "'-1", "'tis"]
CELLS = st.text(st.sampled_from("=+-@＝'\";|, \t\r\n\ufeff\0.1ea") | st.characters(codec="utf-8"), max_size=12)


def read_back(rows):
    stream = io.StringIO(newline="")
    sheet.write_rows(stream, rows)
    stream.seek(0)
    return stream.getvalue(), list(sheet.read_rows(stream))


@pytest.mark.parametrize("cell", HOSTILE)
def test_no_cell_begins_with_what_a_spreadsheet_program_runs(cell):
    """Also not for a program that splits at `;`, as Excel does where the comma is the decimal sign."""
    text, rows = read_back([["name"], [cell]])
    (written,) = list(csv.reader(io.StringIO(text, newline="")))[1]
    for part in re.split(r"[;|\t\r\n]", written):
        assert part.lstrip(' "\ufeff')[:1] not in ("=", "+", "-", "@", "＝"), written
    assert written[0] not in "\t\r"
    assert rows == [{"name": cell}]


@pytest.mark.parametrize("cell", HARMLESS)
def test_other_texts_and_numbers_stay_as_they_are(cell):
    assert sheet.marked(cell) == cell
    assert sheet.plain(cell) == cell


def test_numbers_that_are_no_text_are_written_as_numbers():
    assert sheet.marked(-0.5) == -0.5


@given(st.lists(CELLS, min_size=3, max_size=3))
def test_every_text_comes_back_as_it_was_also_as_the_name_of_a_column(cells):
    names = [f"{cell}{place}" for place, cell in enumerate(cells)]
    _, rows = read_back([names, cells])
    assert rows == [dict(zip(names, cells, strict=True))]
