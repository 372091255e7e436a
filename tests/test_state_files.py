"""Files that state machines write: Step Functions makes JSON of a body once more than whoever made JSON of it before."""

from __future__ import annotations

import json

import pytest

from contract.state_file import read_state_file
from contract.validation import InvalidField


@pytest.mark.parametrize(("kind", "content"), [(dict, {"a": 1}), (list, [1, 2])])
def test_what_was_encoded_once_is_read(kind, content):
    assert read_state_file("outcome.json", json.dumps(content).encode(), kind) == content


@pytest.mark.parametrize("kind", [dict, list])
def test_what_was_encoded_twice_is_refused_with_the_file_the_value_and_what_to_do(kind):
    with pytest.raises(
        InvalidField, match=r"^outcome\.json: received '\{\"a\": 1\}'; allowed: .*encoded twice.*Deploy"
    ):
        read_state_file("outcome.json", json.dumps(json.dumps({"a": 1})), kind)


@pytest.mark.parametrize("text", ["", "{", "null", "3", "true", "[]", b"\xff\xfe\x00", b""])
def test_anything_else_is_refused_in_one_sentence_with_the_name(text):
    with pytest.raises(InvalidField, match=r"^input\.json: received .*; allowed: JSON with an object"):
        read_state_file("input.json", text)


def test_a_list_is_wanted_where_a_list_was_saved():
    with pytest.raises(InvalidField, match="allowed: JSON with a list"):
        read_state_file("outcomes.json", "{}", list)
