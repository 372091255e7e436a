"""A state may have the fields that somebody reads, and no others: what is accepted is what is done."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap

import pytest

from local_cloud.errors import AwsError
from local_cloud.stepfunctions.definition import parse_definition
from local_cloud.stepfunctions.definition_fields import HOLDERS, fields_in, fields_of, readers
from local_cloud.stepfunctions.map_items import parsed
from local_cloud.stepfunctions.reading import BOTH, KINDS


def mentions(function, field: str) -> bool:
    """Whether the function's own text has the field: as a text of its own, or as `<name>Path` of a name that it is given."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    (definition,) = tree.body
    definition.decorator_list = []
    texts = {
        node.value for node in ast.walk(definition) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return field in texts or (field.endswith("Path") and "Path" in texts)


def test_every_field_that_a_function_says_it_reads_stands_in_the_function():
    assert len(readers()) > 25
    false = [
        f"{function.__qualname__}: {field}"
        for function, reading in readers()
        for field in reading.fields
        if not mentions(function, field.rpartition(".")[2])
    ]
    assert not false


def test_a_false_declaration_would_be_found():
    def reader(state: dict) -> object:
        """It speaks of Label and reads another field."""
        return state.get("Comment")

    assert mentions(reader, "Comment") and not mentions(reader, "Label")


def faults(state: dict, language: str = "JSONPath") -> str:
    state = {"End": True, **state} if state["Type"] not in ("Choice", "Succeed", "Fail") else state
    definition = {"StartAt": "S", "QueryLanguage": language, "States": {"S": state, "T": {"Type": "Succeed"}}}
    try:
        parse_definition(json.dumps(definition), lambda resource, parameters: None)
    except AwsError as error:
        return error.message
    return ""


ITEMS = {
    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
    "StartAt": "I",
    "States": {"I": {"Type": "Succeed"}},
}
STATES = {
    "Task": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage"},
    "Wait": {"Type": "Wait", "Seconds": 1},
    "Pass": {"Type": "Pass"},
    "Succeed": {"Type": "Succeed"},
    "Fail": {"Type": "Fail"},
    "Choice": {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsNull": True, "Next": "T"}], "Default": "T"},
    "Parallel": {"Type": "Parallel", "Branches": [{"StartAt": "B", "States": {"B": {"Type": "Succeed"}}}]},
    "Map": {"Type": "Map", "ItemProcessor": ITEMS},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", BOTH)
def test_a_field_that_nobody_reads_is_refused_by_name(kind, language):
    # AWS has Credentials, Lambda's fields and others to come; the last one is a slip of the pen.
    for field in ("Credentials", "ItemsPointer", "TimeoutSecond"):
        assert f"Field '{field}' is not supported in a {kind} state in {language}" in faults(
            {**STATES[kind], field: {}}, language
        )


INSIDE = {
    "Retry": {"Type": "Task", "Resource": "x", "Retry": [{"ErrorEquals": ["E"], "Unread": 1}]},
    "Catch": {"Type": "Task", "Resource": "x", "Catch": [{"ErrorEquals": ["E"], "Next": "T", "Unread": 1}]},
    "ItemReader": {**STATES["Map"], "ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "Unread": 1}},
    "ReaderConfig": {
        **STATES["Map"],
        "ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"Unread": 1}},
    },
    "ItemBatcher": {**STATES["Map"], "ItemBatcher": {"MaxItemsPerBatch": 2, "Unread": 1}},
    "ResultWriter": {**STATES["Map"], "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Unread": 1}},
    "WriterConfig": {**STATES["Map"], "ResultWriter": {"WriterConfig": {"Unread": 1}}},
    "ProcessorConfig": {
        **STATES["Map"],
        "ItemProcessor": {**ITEMS, "ProcessorConfig": {"Mode": "INLINE", "Unread": 1}},
    },
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_field_that_nobody_reads_is_refused_by_name_inside_a_state_too(holder):
    assert f"Field 'Unread' is not supported in {holder} in JSONPath by the local cloud" in faults(INSIDE[holder])


@pytest.mark.parametrize(
    ("holder", "field", "value"),
    [
        ("ItemBatcher", "MaxInputBytesPerBatch", 1024), ("ItemBatcher", "MaxInputBytesPerBatchPath", "$.bytes"),
    ],
)  # fmt: skip
def test_what_aws_has_and_nothing_here_does_is_refused_by_name(holder, field, value):
    state = json.loads(json.dumps(INSIDE[holder]).replace("Unread", field))
    state[holder][field] = value
    assert f"Field '{field}' is not supported in {holder}" in faults(state)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_that_is_read_is_accepted(kind):
    unknown = [
        field
        for field in fields_of(kind, "JSONPath")
        if f"Field '{field}' is not supported" in faults({**STATES[kind], field: None})
    ]
    assert not unknown
    assert all(fields_in(holder, "JSONPath") for holder in HOLDERS)


@pytest.mark.parametrize(
    ("field", "resource"),
    [
        ("ItemReader", "arn:aws:states:::dynamodb:scan"),
        ("ResultWriter", "arn:aws:states:::sqs:sendMessage"),
        ("ResultWriter", None),
    ],
)
def test_a_distributed_map_reads_and_writes_s3_alone(field, resource):
    assert f"The Resource {resource!r} must end in" in faults({**STATES["Map"], field: {"Resource": resource}})


@pytest.mark.parametrize(
    ("name", "mark"), [("COMMA", ","), ("PIPE", "|"), ("SEMICOLON", ";"), ("SPACE", " "), ("TAB", "\t")]
)
def test_the_delimiter_of_a_csv_file_is_the_one_that_the_reader_names(name, mark):
    config = {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "CSVDelimiter": name}
    assert parsed(config, f"a{mark}b\n1{mark}2\n") == [{"a": "1", "b": "2"}]
