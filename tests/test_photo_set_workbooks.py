"""Excel workbooks as tables of labels: written by openpyxl or by hand, never by the reader."""

import datetime
import io
import zipfile

import openpyxl
import pytest

from contract.failure import JobFailure
from contract.photo_set import workbook
from tests.photo_trees import photos, placed, read, write_tree

ROWS = [(f"c{n}.jpg", "cat") for n in range(6)] + [(f"d{n}.jpg", "dog") for n in range(6)]
IMAGES = {f"images/{name}": name for name, _ in ROWS}


def book(*rows, formats=(), sheets=(), hidden=()) -> bytes:
    """`formats`: (cell, number format); `sheets`: names of further ones; `hidden`: sheets in front that are hidden."""
    made = openpyxl.Workbook()
    sheet = made.active
    for row in rows:
        sheet.append(list(row))
    for cell, shown_as in formats:
        sheet[cell].number_format = shown_as
    for title in sheets:
        made.create_sheet(title).append(["file_name", "label"])
    for title in hidden:
        made.create_sheet(title, 0).sheet_state = "hidden"
    return saved(made)


def saved(made: openpyxl.Workbook) -> bytes:
    stream = io.BytesIO()
    made.save(stream)
    return stream.getvalue()


def changed(data: bytes, member: str, content: bytes | None) -> bytes:
    """The workbook with one part replaced, or taken out."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name != member:
                new.writestr(name, old.read(name))
        if content is not None:
            new.writestr(member, content)
    return stream.getvalue()


def sheet_of(body: str, dimension: str = "") -> bytes:
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<worksheet xmlns="{space}">{dimension}<sheetData>{body}</sheetData></worksheet>'.encode()


SHEET = "xl/worksheets/sheet1.xml"


def labelled(*labels, **more) -> bytes:
    """A workbook that gives the photos these labels in turn."""
    return book(("file_name", "label"), *((n, labels[i % len(labels)]) for i, (n, _) in enumerate(ROWS)), **more)


@pytest.mark.parametrize("name", ["labels.xlsx", "LABELS.XLSX", "tables/metadata.xlsm"])
def test_a_workbook_gives_labels_and_splits_like_a_csv(tmp_path, name):
    rows = [(n, c, "test" if n[1] > "3" else "train") for n, c in ROWS]
    layout = read(write_tree(tmp_path, IMAGES | {name: book(("File Name", "Label", "Split"), *rows)}))
    assert placed(layout) == {("train", "cat"): 4, ("train", "dog"): 4, ("test", "cat"): 2, ("test", "dog"): 2}


def test_texts_numbers_and_truths_are_classes_as_excel_shows_them(tmp_path):
    layout = read(write_tree(tmp_path, IMAGES | {"labels.xlsx": labelled("01", 1, True, "1e5", 2.5, 0.1 + 0.2)}))
    assert set(layout.classes) == {"01", "1", "TRUE", "1e5", "2.5", "0.3"}


def test_numbers_with_a_format_of_zeros_are_shown_with_them(tmp_path):
    shown = [(f"B{row}", "000" if row % 2 else "0.00") for row in range(2, 14)]
    layout = read(write_tree(tmp_path, IMAGES | {"labels.xlsx": labelled(1.5, 7, formats=shown)}))
    assert set(layout.classes) == {"1.50", "007"}


@pytest.mark.parametrize(
    ("value", "shown_as", "words"),
    [
        (datetime.date(2024, 3, 1), "d-mmm", "a date, '2024-03-01'"), (datetime.datetime(2024, 3, 1, 7), "d-mmm", "a date"),
        (datetime.time(7, 30), "h:mm", "a time"), (0.5, "0%", "format 0%"), (3, '0 "euro"', "format 0"), ("#N/A", "General", "an error"),
    ],
)  # fmt: skip
def test_a_class_whose_words_are_not_in_the_file_is_refused_with_its_row(tmp_path, value, shown_as, words):
    data = labelled("cat", value, formats=[(f"B{row}", shown_as) for row in range(3, 14, 2)])
    with pytest.raises(JobFailure, match=rf"6 row\(s\) of labels\.xlsx the class \(column label\).*row 3: .*{words}"):
        read(write_tree(tmp_path, IMAGES | {"labels.xlsx": data}))


def test_a_date_in_another_column_is_a_facet(tmp_path):
    rows = [(n, c, datetime.date(2024, 3, 1)) for n, c in ROWS]
    layout = read(write_tree(tmp_path, IMAGES | {"labels.xlsx": book(("file_name", "label", "taken"), *rows)}))
    assert {photo.facets["taken"] for photo in layout.photos} == {"2024-03-01"}


def test_the_first_shown_sheet_is_read_and_the_others_are_told(tmp_path):
    data = labelled("cat", "dog", sheets=["Notes"], hidden=["Lists"])
    layout = read(write_tree(tmp_path, IMAGES | {"labels.xlsx": data}))
    assert layout.classes == ["cat", "dog"]
    assert any("sheet 'Sheet' was read, and not Lists, Notes" in notice for notice in layout.notices)


GOOD = labelled("cat", "dog")
GAP = '<row r="99999999"><c r="A99999999"><v>1</v></c></row>'
WIDE = "".join(f'<row r="{n}"><c r="ZZZ{n}"><v>1</v></c></row>' for n in range(1, 400))
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "%s">%s]><worksheet>&j;</worksheet>' % (
    b"a" * 1000,
    b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)),
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"PK", "not a zip"), (b"", "not a zip"), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "encrypted"),
        (GOOD[: len(GOOD) // 2], "not a zip"), (changed(GOOD, SHEET, b"<worksheet><sheetData><row"), "cannot be read"),
        (changed(GOOD, "xl/workbook.xml", None), "cannot be read"), (changed(GOOD, SHEET, None), "cannot be read"),
        (changed(GOOD, SHEET, b" " * (workbook.LARGEST_SHEETS + 1)), "sheets unpack to"),
        (changed(GOOD, "xl/styles.xml", b" " * (workbook.LARGEST_REST + 1)), "styles and notes unpack to"),
        (changed(GOOD, SHEET, sheet_of(GAP)), "is beyond 10,000 cells"), (changed(GOOD, SHEET, sheet_of(WIDE)), "is beyond 10,000 cells"),
        (changed(GOOD, SHEET, LAUGHS), "cannot be read"),
    ],
    ids=["PK", "empty", "encrypted", "half", "cut XML", "no workbook", "no sheet", "bomb", "bomb of styles", "gap", "wide", "entities"],
)  # fmt: skip
def test_a_damaged_workbook_is_one_sentence_and_beside_class_folders_only_told(tmp_path, monkeypatch, data, words):
    monkeypatch.setattr(workbook, "MOST_CELLS", 10_000)
    with pytest.raises(JobFailure, match=rf"labels\.xlsx .*{words}.*CSV") as refused:
        read(write_tree(tmp_path / "flat", IMAGES | {"labels.xlsx": data}))
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 500
    layout = read(write_tree(tmp_path / "folders", photos("ant", "bee") | {"labels.xlsx": data}))
    assert layout.classes == ["ant", "bee"] and any("labels.xlsx cannot be read" in notice for notice in layout.notices)


def test_a_size_that_the_sheet_only_states_makes_no_cells(tmp_path):
    rows = "".join(
        f'<row r="{n}"><c r="A{n}" t="inlineStr"><is><t>{a}</t></is></c><c r="B{n}" t="inlineStr"><is><t>{b}</t></is></c></row>'
        for n, (a, b) in enumerate([("file_name", "label"), *ROWS], 1)
    )
    data = changed(GOOD, SHEET, sheet_of(rows, '<dimension ref="A1:XFD1048576"/>'))
    assert read(write_tree(tmp_path, IMAGES | {"labels.xlsx": data})).classes == ["cat", "dog"]
