"""Public sets, exports of tools and folders of people are read as a person would read them, or refused by what they are."""

import os

import pytest

from contract.failure import JobFailure
from tests.photo_layouts import SETS, Set
from tests.photo_pictures import FOLDER, pictures, write
from tests.photo_trees import placed, read, write_tree


@pytest.mark.parametrize("one", SETS, ids=lambda one: one.name.replace("/", "-"))
def test_a_set_is_read_as_a_person_reads_it_or_refused_by_what_it_is(tmp_path, one: Set):
    write_tree(tmp_path, one.files)
    if one.refused:
        with pytest.raises(JobFailure, match=one.refused):
            read(tmp_path, **one.asked)
        return
    layout = read(tmp_path, **one.asked)
    assert placed(layout) == one.placed
    assert bool(layout.doubts) == one.doubted, layout.doubts
    if one.order:
        assert layout.classes == list(one.order)
    for words in one.told:
        assert words in " ".join([*layout.notices, *layout.doubts])


def test_no_two_sets_have_one_name():
    assert len({one.name for one in SETS}) == len(SETS) > 120


def test_the_pictures_of_the_docs_show_what_is_read():
    if os.environ.get("DARKROOM_DRAW"):
        write()
    drawn = pictures()
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.svg")} == drawn
    page = (FOLDER.parents[1] / "data.md").read_text(encoding="utf-8")
    assert [name for name in drawn if f"images/layouts/{name}" not in page] == []
