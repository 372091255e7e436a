"""The States Language rule by rule, without a cloud: comparisons, paths, intrinsic functions, payloads, items, machines.

What is right stands in AWS's pages, named beside each group; examples of theirs are used where there are any.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_cloud.persistence.database import Database
from local_cloud.stepfunctions import interpreter, intrinsics, payload
from local_cloud.stepfunctions.choice import holds
from local_cloud.stepfunctions.failures import HeartbeatMissed, PathMissing, StateFailure, matches
from local_cloud.stepfunctions.history import History, read, whole
from local_cloud.stepfunctions.interpreter import Branch
from local_cloud.stepfunctions.map_items import batched, in_hash_order, items_of, number, parsed, tolerances
from local_cloud.stepfunctions.past import Past
from local_cloud.stepfunctions.paths import check_path, exists, place, reference_steps, resolve
from local_cloud.stepfunctions.scope import Context, Scope
from local_cloud.testing import ManualClock

ARN = "arn:aws:states:us-east-1:000000000000:execution:m:e"
EARLY, LATE = "2026-01-02T03:04:05Z", "2026-01-02T03:04:06.5Z"


def chosen(operator: str, value: Any, wanted: Any) -> bool:
    return holds({"Variable": "$.v", operator: wanted}, {"v": value}, Context({}))


# --- comparisons: https://docs.aws.amazon.com/step-functions/latest/dg/state-choice.html#amazon-states-language-choice-state-rules

KINDS = {"Numeric": (1, 2), "String": ("a", "b"), "Timestamp": (EARLY, LATE)}
ORDERS = {  # less, equal, greater
    "Equals": (False, True, False), "LessThan": (True, False, False), "GreaterThan": (False, False, True),
    "LessThanEquals": (True, True, False), "GreaterThanEquals": (False, True, True),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ORDERS)
def test_every_comparison_is_what_its_name_says(kind, order):
    low, high = KINDS[kind]
    for (value, wanted), right in zip(((low, high), (low, low), (high, low)), ORDERS[order], strict=True):
        assert chosen(kind + order, value, wanted) is right
        rule = {"Variable": "$.v", f"{kind}{order}Path": "$.w"}
        assert holds(rule, {"v": value, "w": wanted}, Context({})) is right


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", [None, True, [], {}, "text", 3])
def test_a_value_of_another_kind_compares_as_false_and_never_fails(kind, other):
    low, _ = KINDS[kind]
    if (kind == "Numeric" and other == 3 and other is not True) or (kind == "String" and other == "text"):
        return
    for order in ORDERS:
        assert chosen(kind + order, other, low) is False
        assert chosen(kind + order, low, other) is False


def test_booleans_are_no_numbers_and_numbers_no_booleans():
    assert chosen("BooleanEquals", True, True) and not chosen("BooleanEquals", False, True)
    assert not chosen("BooleanEquals", 1, True) and not chosen("NumericEquals", True, 1)
    assert holds({"Variable": "$.v", "BooleanEqualsPath": "$.v"}, {"v": False}, Context({}))


@pytest.mark.parametrize(
    ("operator", "yes", "no"),
    [("IsNull", [None], [0, "", False]), ("IsNumeric", [0, -1.5], ["1", True, None]), ("IsString", [""], [1, None, []]),
     ("IsBoolean", [True, False], [0, "true", None]),
     ("IsTimestamp", [EARLY, LATE, "2016-03-14T01:59:00+02:00"], ["2026-01-02", "2026-13-02T03:04:05Z", "T", 7, None])],
)  # fmt: skip
def test_a_test_of_the_type_says_what_is_there_and_its_false_what_is_not(operator, yes, no):
    for value in yes:
        assert chosen(operator, value, True) and not chosen(operator, value, False)
    for value in no:
        assert chosen(operator, value, False) and not chosen(operator, value, True)


def test_presence_is_asked_without_failing_and_all_else_of_a_missing_path_fails():
    rule = {"Variable": "$.gone", "IsPresent": True}
    assert not holds(rule, {}, Context({})) and holds({**rule, "IsPresent": False}, {}, Context({}))
    assert holds(rule, {"gone": None}, Context({}))
    for failing in ({"Variable": "$.gone", "IsNull": True}, {"Variable": "$.v", "NumericEqualsPath": "$.gone"}):
        with pytest.raises(StateFailure) as caught:
            holds(failing, {"v": 1}, Context({}))
        assert caught.value.error == "States.Runtime"
        assert (
            caught.value.cause
            == "Invalid path '$.gone': The choice state's condition path references an invalid value."
        )


@pytest.mark.parametrize(
    ("pattern", "text", "right"),
    [("log-*.txt", "log-1.txt", True), ("log-*.txt", "log-.txt", True), ("log-*.txt", "xlog-1.txt", False),
     ("*a*", "bab", True), ("a*", "a\nb", True), ("a.c", "abc", False), ("a\\*", "a*", True), ("a\\*", "ab", False),
     ("a\\\\*", "a\\b", True), ("", "", True), ("a", 7, False)],
)  # fmt: skip
def test_a_star_stands_for_any_text_and_a_backslash_before_it_for_a_star(pattern, text, right):
    assert chosen("StringMatches", text, pattern) is right


def test_rules_are_put_together():
    one, two = {"Variable": "$.v", "NumericEquals": 1}, {"Variable": "$.v", "NumericLessThan": 5}
    for value, both, either in ((1, True, True), (2, False, True), (9, False, False)):
        assert holds({"And": [one, two]}, {"v": value}, Context({})) is both
        assert holds({"Or": [one, two]}, {"v": value}, Context({})) is either
        assert holds({"Not": one}, {"v": value}, Context({})) is (value != 1)
    seen = {"Variable": "$$.Name", "StringEquals": "n"}
    for rule in ({"And": [one, seen]}, {"Or": [two, seen]}, {"Not": {"Not": seen}}):
        assert holds(rule, {"v": 1}, Context({"Name": "n"}))
    assert not holds({"Or": [one, seen]}, {"v": 2}, Context({"Name": "m"}))


# --- error names: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html


@pytest.mark.parametrize(
    ("error", "caught_by", "not_by"),
    [("Mine", ["Mine", "States.ALL", "States.TaskFailed"], ["mine", "Other", "States.Timeout"]),
     ("States.Timeout", ["States.Timeout", "States.ALL"], ["States.TaskFailed", "States.HeartbeatTimeout"]),
     ("States.Runtime", ["States.Runtime"], ["States.ALL", "States.TaskFailed"]),
     ("States.DataLimitExceeded", ["States.DataLimitExceeded"], ["States.ALL", "States.TaskFailed"])],
)  # fmt: skip
def test_an_error_is_caught_by_its_name_and_by_the_wildcards_that_hold_it(error, caught_by, not_by):
    for name in caught_by:
        assert matches(["Nothing", name], StateFailure(error))
    for name in not_by:
        assert not matches([name], StateFailure(error))


def test_a_missed_heartbeat_is_a_timeout_with_a_second_name():
    missed = HeartbeatMissed("States.Timeout")
    assert matches(["States.HeartbeatTimeout"], missed) and matches(["States.Timeout"], missed)
    assert not matches(["States.TaskFailed"], missed) and not matches(["Other"], missed)


def test_a_fault_of_the_definition_says_once_where_it_was():
    failure = StateFailure("States.Runtime", "why")
    failure.frame("Inner", 7)
    failure.frame("Outer", 2)
    assert failure.cause == "An error occurred while executing the state 'Inner' (entered at the event id #7). why"
    mine = StateFailure("Mine", "why")
    mine.frame("Inner", 7)
    assert (mine.cause, str(mine), str(StateFailure("Mine"))) == ("why", "Mine: why", "Mine")


# --- intrinsic functions: https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html


def value_of(text: str, **data: Any) -> Any:
    return intrinsics.evaluate(text, data, Context({"Execution": {"Name": "run"}}))


@pytest.mark.parametrize(
    ("text", "data", "result"),
    [("States.Array('Foo', 2020, $.o, null)", {"o": {"a": 1}}, ["Foo", 2020, {"a": 1}, None]),
     ("States.ArrayPartition($.a, 4)", {"a": [1, 2, 3, 4, 5, 6, 7, 8, 9]}, [[1, 2, 3, 4], [5, 6, 7, 8], [9]]),
     ("States.ArrayPartition($.a, 1)", {"a": [1, 2]}, [[1], [2]]),
     ("States.ArrayContains($.a, 5)", {"a": [1, 5]}, True), ("States.ArrayContains($.a, 1)", {"a": [True, "1"]}, False),
     ("States.ArrayRange(1, 9, 2)", {}, [1, 3, 5, 7, 9]), ("States.ArrayRange(3, 1, -1)", {}, [3, 2, 1]),
     ("States.ArrayRange(2, 1, 1)", {}, []), ("States.ArrayGetItem($.a, 0)", {"a": [7, 8]}, 7),
     ("States.ArrayGetItem($.a, 1)", {"a": [7, 8]}, 8), ("States.ArrayLength($.a)", {"a": [1, 2, 3]}, 3),
     ("States.ArrayUnique($.a)", {"a": [1, 2, 1, {"a": 1, "b": 2}, {"b": 2, "a": 1}, "1"]}, [1, 2, {"a": 1, "b": 2}, "1"]),
     ("States.Base64Encode($.t)", {"t": "Data to encode"}, "RGF0YSB0byBlbmNvZGU="),
     ("States.Base64Decode($.t)", {"t": "RGF0YSB0byBlbmNvZGU="}, "Data to encode"),
     ("States.Hash($.t, 'SHA-1')", {"t": "input data"}, "aaff4a450a104cd177d28d18d74485e8cae074b7"),
     ("States.Hash($.t, 'MD5')", {"t": ""}, "d41d8cd98f00b204e9800998ecf8427e"),
     ("States.Hash($.t, 'SHA-256')", {"t": "abc"}, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
     ("States.JsonMerge($.a, $.b, false)", {"a": {"a": {"a1": 1}, "b": 2}, "b": {"a": {"a3": 1}, "c": 3}},
      {"a": {"a3": 1}, "b": 2, "c": 3}),
     ("States.StringToJson($.t)", {"t": '{"a": [1]}'}, {"a": [1]}), ("States.StringToJson($.t)", {"t": "  "}, None),
     ("States.JsonToString($.o)", {"o": {"a": [1, "é"]}}, '{"a":[1,"é"]}'),
     ("States.MathAdd($.a, $.b)", {"a": 111, "b": -1}, 110), ("States.MathAdd(1.5, 2.4)", {}, 4),
     ("States.MathAdd(-1.5, 0)", {}, -1),
     ("States.StringSplit('1,2,3,4,5', ',')", {}, ["1", "2", "3", "4", "5"]),
     ("States.StringSplit($.t, $.d)", {"t": "This.is+a,test=string", "d": ".+,="}, ["This", "is", "a", "test", "string"]),
     ("States.StringSplit('a]b-c', ']-')", {}, ["a", "b", "c"]), ("States.StringSplit('a,b', '')", {}, ["a,b"]),
     ("States.Format('Hello, my name is {}.', $.n)", {"n": "Arnav"}, "Hello, my name is Arnav."),
     ("States.Format('{} {}', 1, true)", {}, "1 true"), ("States.Format('{}', null)", {}, "null"),
     ("States.Format('{}', $.o)", {"o": {"a": 1, "b": [], "c": ["x", {"d": 2}]}}, "{a=1, b=[], c=[x, {d=2}]}"),
     ("States.Format('\\\\{}-{}-\\\\\\\\', 1)", {}, "{}-1-\\"), ("States.Format('it\\'s')", {}, "it's"),
     ("States.Format('{}', States.MathAdd(States.ArrayLength($.a), 1))", {"a": [1]}, "2"),
     ("States.Format('{}', $$.Execution.Name)", {}, "run"), ("States.Array( 1 , -2.5 , 1e3 )", {}, [1, -2.5, 1000.0]),
     ("States.Array()", {}, []), ("States.Array(true, false)", {}, [True, False]),
     ("States.Array($['a b'], $.c[1])", {"a b": 1, "c": [2, 3]}, [1, 3]), ("States.Array('a, (b)')", {}, ["a, (b)"])],
)  # fmt: skip
def test_an_intrinsic_function_gives_what_aws_documents(text, data, result):
    found = value_of(text, **data)
    assert found == result and type(found) is type(result)


@pytest.mark.parametrize(
    ("text", "data", "said"),
    [("States.ArrayPartition($.a, 0)", {"a": [1]}, "a size above 0"), ("States.ArrayPartition($.a, 2)", {"a": "xy"}, "an array"),
     ("States.ArrayPartition($.a, 1.5)", {"a": [1]}, "a size above 0"),
     ("States.ArrayRange(1, 2000, 1)", {}, "makes 2000 numbers; at most 1000"), ("States.ArrayRange(1, 2, 0)", {}, "must not be 0"),
     ("States.ArrayGetItem($.a, 2)", {"a": [7, 8]}, "index 2 is outside"),
     ("States.ArrayGetItem($.a, -1)", {"a": [7]}, "index -1 is outside"),
     ("States.ArrayGetItem($.a, 0)", {"a": "xy"}, "outside"), ("States.ArrayLength($.a)", {"a": "xy"}, "an array"),
     ("States.Base64Encode($.t)", {"t": "x" * 10_001}, "has 10001 characters; at most 10000"),
     ("States.Base64Decode($.t)", {"t": "x" * 10_001}, "at most 10000"), ("States.Hash($.t, 'CRC')", {"t": ""}, "'CRC' is not one of MD5"),
     ("States.JsonMerge($.a, $.a, true)", {"a": {}}, "only shallow"),
     ("States.JsonMerge($.a, $.b, false)", {"a": {}, "b": []}, "two objects"),
     ("States.JsonMerge($.b, $.a, false)", {"a": {}, "b": []}, "two objects"),
     ("States.MathAdd('1', 2)", {}, "needs a number, not '1'"), ("States.MathAdd(true, 2)", {}, "needs a number"),
     ("States.MathRandom(3, 3)", {}, "smaller than the second"), ("States.StringSplit(1, ',')", {}, "two strings"),
     ("States.StringSplit('a', 1)", {}, "two strings"),
     ("States.Format('{} {}', 1)", {}, "more {} than arguments"), ("States.Format('{}', 1, 2)", {}, "more arguments than {}"),
     ("States.StringToJson('{')", {}, "States.StringToJson failed"), ("States.Array(", {}, r"\) is missing"),
     ("States.Array(1 2)", {}, "a comma or"), ("States.Nothing()", {}, "no intrinsic function States.Nothing; there are States.Array,"),
     ("States.Array(x)", {}, "Cannot read the intrinsic function at 'x"), ("States.Array(1) 2", {}, "Not one intrinsic function"),
     ("States.Array", {}, "needs arguments in parentheses"), ("$.a", {"a": 1}, "Not one intrinsic function"),
     ("States.Array(,)", {}, "Unexpected ','"), ("", {}, "ends too early"), ("States.Array(01a)", {}, "Cannot read")],
)  # fmt: skip
def test_an_intrinsic_function_that_cannot_be_carried_out_is_an_intrinsic_failure(text, data, said):
    with pytest.raises(StateFailure, match=said) as caught:
        value_of(text, **data)
    assert caught.value.error == "States.IntrinsicFailure"


def test_limits_of_the_functions_are_allowed_themselves():
    assert len(value_of("States.ArrayRange(1, 1000, 1)")) == 1000
    assert len(value_of("States.Base64Encode($.t)", t="x" * 10_000)) == 13_336
    assert value_of("States.Base64Decode($.t)", t="QQ" * 5000) == "A\x04\x10" * 2500


def test_a_path_that_leads_nowhere_inside_a_function_is_told_as_one():
    with pytest.raises(PathMissing):
        value_of("States.Array($.gone)")


def test_random_numbers_are_below_the_end_and_a_seed_repeats_them():
    drawn = {value_of("States.MathRandom(1, 4)") for _ in range(200)}
    assert drawn == {1, 2, 3}
    assert value_of("States.MathRandom(1, 999999, 5)") == value_of("States.MathRandom(1, 999999, 5)")
    assert len({value_of("States.MathRandom(1, 999999)") for _ in range(5)}) > 1
    assert value_of("States.UUID()") != value_of("States.UUID()") and len(value_of("States.UUID()")) == 36


# --- paths: https://docs.aws.amazon.com/step-functions/latest/dg/amazon-states-language-paths.html


def test_a_reference_path_names_one_node_in_each_way_of_writing():
    data = {"a": {"b c": [1, {"d": 2}], "é": 3, 'q"': 4, "it's": 5}}
    for path, value in (("$", data), ("$.a.é", 3), ("$['a']['b c'][0]", 1), ('$["a"]["b c"][1].d', 2), ("$.a['b c'][-1]", {"d": 2}),
                        ("$.a['it\\'s']", 5), ('$.a["q\\""]', 4), ("$.['a'].é", 3)):  # fmt: skip
        assert resolve(path, data, Context({})) == value
        assert exists(path, data, Context({}))


@pytest.mark.parametrize(
    ("path", "reason"),
    [("$.x", r"No results for path: \$\['x'\]"), ("$.a.x", r"No results for path: \$\['a'\]\['x'\]"),
     ("$.x.y", r"Missing property in path \$\['x'\]"), ("$.l[3]", r"No results for path: \$\['l'\]\[3\]"),
     ("$.l.x", "No results"), ("$.a[0]", "No results"), ("$.n.x", "No results")],
)  # fmt: skip
def test_a_path_that_leads_nowhere_says_how_far_it_went(path, reason):
    data = {"a": {}, "l": [1], "n": None}
    with pytest.raises(PathMissing, match=reason) as caught:
        resolve(path, data, Context({}))
    assert caught.value.path == path and caught.value.error == "States.Runtime"
    assert not exists(path, data, Context({}))


def test_wildcards_and_filters_give_a_list_and_exist_when_it_is_not_empty():
    data = {"books": [{"price": 5}, {"price": 15}]}
    assert resolve("$.books[*].price", data, Context({})) == [5, 15]
    assert resolve("$.books[?(@.price < 10)]", data, Context({})) == [{"price": 5}]
    assert resolve("$..price", data, Context({})) == [5, 15]
    assert exists("$.books[*]", data, Context({})) and not exists("$.books[*].gone", data, Context({}))
    assert reference_steps("$.a[*]") is None and reference_steps("$.a[0:2]") is None


def test_the_context_and_variables_have_roots_of_their_own():
    context = Context({"Execution": {"Name": "run"}}, {"seen": {"n": [1, 2]}})
    assert resolve("$$.Execution.Name", {}, context) == "run" and resolve("$seen.n[1]", {}, context) == 2
    assert resolve("$seen", {}, context) == {"n": [1, 2]} and exists("$seen.n", {}, context)
    assert exists("$$.Execution", {}, context) and not exists("$$.Nothing", {}, context)
    with pytest.raises(PathMissing, match="the variable 'other' is not there"):
        resolve("$other.n", {}, context)
    handed = resolve("$$.Execution", {}, context)
    whole = resolve("$$", {}, context)
    whole["Execution"]["Name"] = handed["Name"] = "changed"
    assert context["Execution"]["Name"] == "run", "the context changes with each state; what was handed out does not"


@pytest.mark.parametrize("path", ["x", "", None, 7, "a.b"])
def test_what_begins_without_a_dollar_is_no_path(path):
    for reference in (False, True):
        with pytest.raises(ValueError, match="Reference Path" if reference else "valid JSONPath"):
            check_path(path, reference)


def test_a_reference_path_has_no_wildcard_and_a_path_may():
    check_path("$.a[*]")
    check_path("$name.a[*]")
    check_path("$$.a", reference=True)
    for path in ("$.a[*]", "$..a", "$.a[0:1]"):
        with pytest.raises(ValueError, match="not a Reference Path"):
            check_path(path, reference=True)
    with pytest.raises(ValueError, match="not a valid JSONPath"):
        check_path("$.a[")


# "The ResultPath … creates the path where it is not there": state-output-resultpath-filter in the same guide.
def test_a_result_is_placed_and_what_is_missing_on_the_way_is_made():
    data = {"a": 1, "l": [1, 2]}
    assert place("$", data, 7) == 7
    assert place("$.r", data, 7) == {**data, "r": 7} and place("$.a", data, 7) == {**data, "a": 7}
    assert place("$.x.y.z", data, 7) == {**data, "x": {"y": {"z": 7}}}
    assert place("$.l[1]", data, 7) == {**data, "l": [1, 7]}
    assert place("$.l[0]", {"l": [{}]}, 7) == {"l": [7]} and place("$.l[0].x", {"l": [{}]}, 7) == {"l": [{"x": 7}]}
    assert data == {"a": 1, "l": [1, 2]}, "the input is as it was"


@pytest.mark.parametrize(
    ("path", "data"),
    [("$.a.b", {"a": 1}), ("$.a.b", []), ("$.l[5]", {"l": [1]}), ("$.a[0]", {"a": {}}), ("$.l.x", {"l": []}), ("$.x[0]", {}),
     ("$.x[0].y", {}), ("$.a", 7), ("$.a.b.c", {"a": "t"}), ("$.l[0].x", {"l": [3]}), ("$.a", None)],
)  # fmt: skip
def test_a_result_that_has_no_place_is_a_failure_of_its_own(path, data):
    with pytest.raises(StateFailure, match=r"^States\.ResultPathMatchFailure: Unable to apply ReferencePath"):
        place(path, data, 7)


# --- payloads


def test_a_template_replaces_what_ends_with_a_dollar_at_any_depth():
    made = payload.template(
        {"a.$": "$.x", "b": {"c.$": "States.Array($.x)", "d": "$.x"}, "e": [{"f.$": "$$.Name"}, 1]}, {"x": 5},
        Context({"Name": "n"}),
    )  # fmt: skip
    assert made == {"a": 5, "b": {"c": [5], "d": "$.x"}, "e": [{"f": "n"}, 1]}
    with pytest.raises(StateFailure) as caught:
        payload.template({"a": {"b.$": "$.gone"}}, {"x": "é"}, Context({}))
    assert caught.value.error == "States.Runtime"
    assert caught.value.cause == (
        "The JSONPath '$.gone' specified for the field 'b.$' could not be found in the input '{\"x\":\"é\"}'"
    )


def test_a_null_path_selects_an_empty_object():
    assert payload.select(None, {"a": 1}, Context({})) == {}
    assert payload.select("$.a", {"a": 1}, Context({})) == 1


# "256 KiB of data as a UTF-8 encoded string": https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
@pytest.mark.parametrize("letter", ["x", "é", "蜂"])
def test_a_payload_of_256_kib_is_allowed_and_one_byte_more_is_not(letter):
    width = len(letter.encode())
    fits = letter * ((256 * 1024 - 2) // width)
    fits += "x" * (256 * 1024 - 2 - len(fits.encode()))
    assert payload.require_size(fits, "S") == json.dumps(fits, ensure_ascii=False)
    with pytest.raises(StateFailure, match=r"^States\.DataLimitExceeded: The state/task 'S' returned"):
        payload.require_size(fits + "x", "S")


# --- items of a Map: https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html


class Query:
    """Numbers as they stand, templates as they are."""

    def number(self, holder: dict, name: str, given: Any, kind: type = int) -> Any:
        return holder.get(name, 0)

    def where(self, holder: dict, given: Any, field: str) -> Any:
        return {**holder, "field": field}


def test_a_map_iterates_over_an_array():
    assert items_of({}, [1, 2], Context({})) == [1, 2]
    assert items_of({"ItemsPath": "$.a"}, {"a": [3]}, Context({})) == [3]
    for state, given, shown in (
        ({}, {"a": 1}, "$"),
        ({"ItemsPath": "$.a"}, {"a": {"b": 1}}, "$.a"),
        ({"ItemsPath": "$$.a"}, {}, "$.a"),
    ):
        with pytest.raises(StateFailure) as caught:
            items_of(state, given, Context({"a": {"b": 1}}))
        assert caught.value.cause == f'Reference path "{shown}" must point to array.'
    distributed = {"ItemsPath": "$.a", "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED"}}}
    assert items_of(distributed, {"a": {"k": 1}}, Context({})) == [{"Key": "k", "Value": 1}]
    for other in ({"ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}}}, {"ItemProcessor": {}}, {}):
        with pytest.raises(StateFailure):
            items_of({"ItemsPath": "$.a", **other}, {"a": {"k": 1}}, Context({}))


def test_a_number_of_a_state_stands_there_or_at_a_path():
    context = Context({})
    assert number({"N": 3}, "N", {}, context) == 3 and number({}, "N", {}, context) == 0
    assert number({"NPath": "$.n"}, "N", {"n": 4}, context) == 4
    assert number({"NPath": "$.n"}, "N", {"n": "-12"}, context) == -12
    assert number({"NPath": "$.n"}, "N", {"n": "1.5"}, context, float) == 1.5
    assert number({"NPath": "$.n"}, "N", {"n": 2.5}, context, float) == 2.5
    for bad, told in (
        (True, "true"),
        ("1.5", "1.5"),
        (2.5, "2.5"),
        (None, "null"),
        ("x1", "x1"),
        ({"a": 1}, '{"a":1}'),
    ):
        with pytest.raises(StateFailure) as caught:
            number({"NPath": "$.n"}, "N", {"n": bad}, context)
        assert caught.value.cause == f'The NPath field refers to value "{told}" which is not a valid integer: $.n'
    with pytest.raises(StateFailure, match="not a valid float"):
        number({"NPath": "$.n"}, "N", {"n": "x"}, context, float)


def test_tolerances_are_within_their_bounds():
    def of(**state: Any) -> tuple[int, float]:
        return tolerances(state, Query(), {})

    assert of() == (0, 0) and of(ToleratedFailureCount=2, ToleratedFailurePercentage=100) == (2, 100)
    with pytest.raises(StateFailure, match="ToleratedFailureCount cannot be negative"):
        of(ToleratedFailureCount=-1)
    for bad in (-0.1, 100.1):
        with pytest.raises(StateFailure, match="between 0 and 100"):
            of(ToleratedFailurePercentage=bad)


def test_items_go_in_batches():
    assert batched(None, [1, 2, 3], Query(), {}) == [1, 2, 3]
    assert batched({"MaxItemsPerBatch": 2}, [1, 2, 3], Query(), {}) == [{"Items": [1, 2]}, {"Items": [3]}]
    assert batched({"BatchInput": {"x": 1}}, [1, 2], Query(), {}) == [
        {"BatchInput": {"x": 1, "field": "ItemBatcher/BatchInput"}, "Items": [1, 2]}
    ]


def test_items_of_files():
    assert parsed({}, "[1, 2]") == [1, 2] and parsed({"InputType": "JSONL"}, '{"a": 1}\n\n2\n') == [{"a": 1}, 2]
    rows = parsed({"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}, 'a,b\n1,"x, y"\n\n2\n3,4,5\n')
    assert rows == [{"a": "1", "b": "x, y"}, {"a": "2", "b": ""}, {"a": "3", "b": "4"}]
    given = {"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["p", "q"], "CSVDelimiter": "SEMICOLON"}
    assert parsed(given, "1;2\n") == [{"p": "1", "q": "2"}]
    for name, mark in (("PIPE", "|"), ("SPACE", " "), ("TAB", "\t"), ("COMMA", ",")):
        assert parsed({"InputType": "CSV", "CSVDelimiter": name}, f"a{mark}b\n1{mark}2\n") == [{"a": "1", "b": "2"}]
    assert parsed({"InputType": "CSV"}, "") == []


@pytest.mark.parametrize(
    ("config", "text", "said"),
    [({}, "{}", "non-iterable node"), ({"InputType": "MANIFEST"}, "", "not MANIFEST"),
     ({"InputType": "CSV"}, "a,a\n1,2\n", "duplicates"), ({"InputType": "CSV", "CSVDelimiter": "DOT"}, "a\n", "'DOT' is none of COMMA")],
)  # fmt: skip
def test_items_that_cannot_be_read_fail_the_reader(config, text, said):
    with pytest.raises(StateFailure, match=said) as caught:
        parsed(config, text)
    assert caught.value.error == "States.ItemReaderFailed"


def test_rows_have_their_columns_in_the_order_of_javas_hash_map():
    """`String.hashCode` of Java's own documentation: s[0]*31^(n-1) + … + s[n-1]; a table doubles when it is three quarters full."""
    assert in_hash_order(["b", "a"]) == ["a", "b"]
    # hash("q") = 113 = 7 * 16 + 1, hash("b") = 98 = 6 * 16 + 2: in a table of 16, q comes first.
    assert in_hash_order(["b", "q"]) == ["q", "b"]
    names = [chr(ord("a") + i) for i in range(12)]
    assert in_hash_order([*names[:11], "q"])[:3] == ["a", "q", "b"], (
        "twelve names: a and q share the second bucket of 16"
    )
    assert in_hash_order([*names, "q"])[:2] == ["a", "b"], "thirteen: a table of 32, where q is in the 18th"
    assert in_hash_order(["a", "polygenelubricants"]) == ["polygenelubricants", "a"], "its hash is -2^31"


# --- whole machines on a clock that the test moves


class Tasks:
    """Answers tasks by their Resource's last part."""

    def __init__(self, **answers: Any):
        self.answers, self.seen = answers, []

    def run(self, resource: str, arguments: Any, branch: Branch, scope: Scope, times: dict[str, Any]) -> Any:
        name = resource.rsplit(":", 1)[1]
        self.seen.append((name, arguments(), times, dict(branch.context["State"])))
        answer = self.answers[name]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, StateFailure):
            raise answer
        return answer


@pytest.fixture
def machine(tmp_path):
    database = Database(tmp_path / "rows.sqlite")
    clock = ManualClock()

    class Runner:
        def __init__(self) -> None:
            self.clock, self.scope, self.runs = clock, Scope(clock=clock), 0

        def __call__(
            self, states: dict[str, Any], given: Any = None, tasks: Tasks | None = None, start: str = "A"
        ) -> Any:
            self.runs += 1
            history = History(database, f"{ARN}{self.runs}", clock=clock)
            self.branch = Branch(history, tasks or Tasks(), self.scope, Context({"Execution": {"Name": "e"}}))
            return self.branch.run({"StartAt": start, "States": states}, {} if given is None else given)

        def again(self, states: dict[str, Any], given: Any, tasks: Tasks) -> Any:
            """A redrive of the last run: it goes on where each line of control stood."""
            arn, kept = f"{ARN}{self.runs}", Context({"Execution": {"Name": "e"}})
            history = History.reopened(database, arn, clock)
            branch = Branch(history, tasks, Scope(clock=clock), kept, history.last, past=Past(whole(database, arn)))
            return branch.run({"StartAt": "A", "States": states}, given)

        def events(self) -> list[dict[str, Any]]:
            return read(database, f"{ARN}{self.runs}", False, 0, 1000, True)

    yield Runner()
    database.close()


def task(name: str, **fields: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": f"arn:aws:states:::{name}", "End": True, **fields}


def test_fields_of_a_pass_state_act_in_their_order(machine):
    state = {
        "Type": "Pass", "InputPath": "$.in", "Parameters": {"p.$": "$.x"}, "ResultPath": "$.out", "OutputPath": "$.out.p",
        "End": True,
    }  # fmt: skip
    assert machine({"A": state}, {"in": {"x": 5}}) == 5
    assert machine({"A": {"Type": "Pass", "Result": [1], "ResultPath": None, "End": True}}, {"a": 1}) == {"a": 1}


def test_a_choice_takes_the_first_rule_that_holds_and_else_the_default(machine):
    ends = {name: {"Type": "Pass", "Result": name, "End": True} for name in ("One", "Two", "Rest")}
    rules = [{"Variable": "$.n", "NumericLessThan": limit, "Next": name} for limit, name in ((1, "One"), (5, "Two"))]
    states = {"A": {"Type": "Choice", "Choices": rules, "Default": "Rest"}, **ends}
    assert [machine(states, {"n": n}) for n in (0, 3, 9)] == ["One", "Two", "Rest"]
    with pytest.raises(StateFailure, match=r"^States\.NoChoiceMatched"):
        machine({"A": {"Type": "Choice", "Choices": rules}, **ends}, {"n": 9})


def test_variables_are_assigned_after_a_state_and_seen_by_the_next(machine):
    states = {
        "A": {"Type": "Pass", "Assign": {"n.$": "$.n", "old": 1}, "Next": "B"},
        "B": {"Type": "Pass", "Assign": {"n": 7, "before.$": "$n"}, "Parameters": {"n.$": "$n"}, "Next": "C"},
        "C": {
            "Type": "Pass",
            "Parameters": {"n.$": "$n", "b.$": "$before", "was.$": "$.n", "o.$": "$old"},
            "End": True,
        },
    }
    assert machine(states, {"n": 3}) == {"n": 7, "b": 3, "was": 3, "o": 1}


def test_a_wait_takes_its_seconds_and_passes_its_input_on(machine):
    assert machine({"A": {"Type": "Wait", "SecondsPath": "$.s", "OutputPath": "$.s", "End": True}}, {"s": 12}) == 12
    assert machine.clock.waits == [12]


def test_a_failed_state_is_caught_with_its_error_and_cause_where_the_catch_says(machine):
    failing = StateFailure("Mine", "why")
    catchers = [{"ErrorEquals": ["Other"], "Next": "C"}, {"ErrorEquals": ["Mine"], "ResultPath": "$.e", "Next": "B"}]
    states = {"A": task("a", Catch=catchers), "B": {"Type": "Pass", "End": True}, "C": {"Type": "Fail"}}
    assert machine(states, {"x": 1}, Tasks(a=failing)) == {"x": 1, "e": {"Error": "Mine", "Cause": "why"}}
    states["A"] = task("a", Catch=[{"ErrorEquals": ["States.ALL"], "Next": "B"}])
    assert machine(states, {"x": 1}, Tasks(a=StateFailure("Mine"))) == {"Error": "Mine", "Cause": None}
    states["A"] = task("a", Catch=[{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "B"}])
    assert machine(states, {"x": 1}, Tasks(a=failing)) == {"x": 1}


def test_a_retried_task_knows_how_often_it_was_retried(machine):
    work = Tasks(a=[StateFailure("E"), StateFailure("E"), {"ok": 1}])
    result = machine(
        {"A": task("a", Retry=[{"ErrorEquals": ["E"], "IntervalSeconds": 2}], Parameters={"p.$": "$.x"})},
        {"x": 1},
        work,
    )
    assert result == {"ok": 1}
    assert [state["RetryCount"] for _, _, _, state in work.seen] == [0, 1, 2]
    assert [given for _, given, _, _ in work.seen] == [{"p": 1}] * 3
    assert machine.clock.waits == [2, 4]


def test_a_task_gets_its_times_and_its_result_is_selected_and_placed(machine):
    work = Tasks(a={"r": [1, 2]})
    state = task(
        "a",
        TimeoutSeconds=9,
        HeartbeatSecondsPath="$.h",
        ResultSelector={"n.$": "$.r[1]"},
        ResultPath="$.t",
        OutputPath="$.t",
    )
    assert machine({"A": state}, {"h": 4}, work) == {"n": 2}
    assert work.seen[0][2] == {"TimeoutSeconds": 9, "HeartbeatSeconds": 4}


def test_branches_run_side_by_side_and_their_results_come_in_order(machine):
    branches = [{"StartAt": "X", "States": {"X": {"Type": "Pass", "Result": n, "End": True}}} for n in (1, 2, 3)]
    state = {"Type": "Parallel", "Branches": branches, "ResultPath": "$.r", "End": True}
    assert machine({"A": state}, {"x": 0}) == {"x": 0, "r": [1, 2, 3]}
    kinds = [event["type"] for event in machine.events()]
    assert kinds[:2] == ["ParallelStateEntered", "ParallelStateStarted"]
    assert kinds[-2:] == ["ParallelStateSucceeded", "ParallelStateExited"]
    own = {"StartAt": "X", "States": {"X": {"Type": "Pass", "Parameters": {"m.$": "$.x"}, "End": True}}}
    assert (
        machine({"A": {"Type": "Parallel", "Parameters": {"x": 5}, "Branches": [own, own], "End": True}})
        == [{"m": 5}] * 2
    )


def test_a_failure_in_a_branch_fails_the_whole_and_may_be_caught(machine):
    bad = {"StartAt": "X", "States": {"X": {"Type": "Fail", "Error": "Mine", "Cause": "why"}}}
    good = {"StartAt": "X", "States": {"X": {"Type": "Pass", "End": True}}}
    state = {"Type": "Parallel", "Branches": [good, bad], "End": True}
    with pytest.raises(StateFailure, match=r"^Mine: why"):
        machine({"A": state})
    caught = {**state, "Catch": [{"ErrorEquals": ["Mine"], "Next": "B"}]}
    assert machine({"A": caught, "B": {"Type": "Pass", "End": True}}) == {"Error": "Mine", "Cause": "why"}
    assert "ParallelStateFailed" in [event["type"] for event in machine.events()]


def test_a_map_gives_each_item_its_index_and_value_and_keeps_the_order(machine):
    item = {"StartAt": "X", "States": {"X": {"Type": "Pass", "End": True}}}
    selector = {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "k.$": "$.k"}
    state = {
        "Type": "Map",
        "ItemsPath": "$.l",
        "ItemSelector": selector,
        "ItemProcessor": item,
        "MaxConcurrency": 1,
        "End": True,
    }
    assert machine({"A": state}, {"l": ["a", "b"], "k": 9}) == [{"i": 0, "v": "a", "k": 9}, {"i": 1, "v": "b", "k": 9}]
    started = [event for event in machine.events() if event["type"] == "MapStateStarted"]
    assert started[0]["mapStateStartedEventDetails"] == {"length": 2}
    old = {"Type": "Map", "Iterator": item, "End": True}
    assert machine({"A": old}, [1, 2, 3]) == [1, 2, 3] and machine({"A": old}, []) == []
    with pytest.raises(StateFailure, match="MaxConcurrency cannot be negative"):
        machine({"A": {**old, "MaxConcurrencyPath": "$.c", "ItemsPath": "$.l"}}, {"c": -1, "l": []})


def test_an_iteration_that_fails_fails_the_map_and_says_which(machine):
    states = {"X": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 2, "Next": "F"}], "Default": "P"},
              "F": {"Type": "Fail", "Error": "Mine"}, "P": {"Type": "Pass", "End": True}}  # fmt: skip
    state = {"Type": "Map", "ItemProcessor": {"StartAt": "X", "States": states}, "MaxConcurrency": 1, "End": True}
    with pytest.raises(StateFailure, match=r"^Mine"):
        machine({"A": state}, [1, 2, 3])
    told = [e for e in machine.events() if e["type"].startswith("MapIteration")]
    details = [(e["type"], next(d["index"] for n, d in e.items() if n.endswith("Details"))) for e in told]
    assert details == [
        ("MapIterationStarted", 0),
        ("MapIterationSucceeded", 0),
        ("MapIterationStarted", 1),
        ("MapIterationFailed", 1),
    ]


def test_an_execution_ends_at_25000_events(machine, monkeypatch):
    monkeypatch.setattr(interpreter, "MAXIMUM_EVENTS", 10)
    states = {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}
    with pytest.raises(StateFailure, match=r"^States\.Runtime: .*maximum of 10 history events"):
        machine(states)
    assert len(machine.events()) == 10
    assert interpreter.MAXIMUM_EVENTS == 10


def test_a_state_that_gives_too_much_fails_and_no_wildcard_catches_that(machine):
    state = task("a", Catch=[{"ErrorEquals": ["States.ALL"], "Next": "A"}])
    with pytest.raises(StateFailure, match=r"^States\.DataLimitExceeded"):
        machine({"A": state}, {}, Tasks(a="x" * 300_000))


def test_a_missing_path_is_told_with_the_state_and_its_event(machine):
    with pytest.raises(StateFailure) as caught:
        machine({"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "InputPath": "$.gone", "End": True}})
    assert caught.value.cause.startswith(
        "An error occurred while executing the state 'B' (entered at the event id #3)."
    )


def test_time_of_an_outer_scope_ends_an_inner_wait(machine):
    machine.scope = Scope(Scope(clock=machine.clock), 5, "States.Timeout")
    with pytest.raises(StateFailure, match=r"^States\.Timeout"):
        machine({"A": {"Type": "Wait", "Seconds": 60, "Next": "B"}, "B": {"Type": "Pass", "End": True}})
    assert machine.clock.waits == [5]


def test_scopes_are_a_tree():
    clock = ManualClock()
    top = Scope(clock=clock)
    outer = Scope(top, 10, "Outer")
    inner, beside = Scope(outer, 20, "Inner"), Scope(top)
    assert (inner.remaining(99), inner.remaining(3), beside.remaining(99)) == (10, 3, 99)
    clock.advance(15)
    assert inner.remaining(99) == 0
    with pytest.raises(StateFailure, match=r"^Outer"):
        inner.check()
    beside.check()
    outer.cancel()
    assert inner.cancelled and outer.cancelled and not top.cancelled and not beside.cancelled
    assert Scope(outer).cancelled, "born into a cancelled scope"
    inner.close()
    outer.close()
    outer.close()
    assert not Scope(top).cancelled


def test_assigned_variables_stand_in_the_event_as_texts(machine):
    machine({"A": {"Type": "Pass", "Assign": {"n": [1]}, "End": True}})
    assert machine.events()[-1]["stateExitedEventDetails"] == {
        "name": "A", "output": "{}", "outputDetails": {"truncated": False}, "assignedVariables": {"n": "[1]"},
        "assignedVariablesDetails": {"truncated": False},
    }  # fmt: skip


def test_an_expression_that_fails_has_an_event_of_its_own(machine):
    state = {
        "Type": "Pass",
        "QueryLanguage": "JSONata",
        "Output": "{% $states.input.a.b ~> $uppercase() + 1 %}",
        "End": True,
    }
    with pytest.raises(StateFailure, match=r"^States\.QueryEvaluationError"):
        machine({"A": state}, {"a": {"b": "x"}})
    (failed,) = [event for event in machine.events() if event["type"] == "EvaluationFailed"]
    told = failed["evaluationFailedEventDetails"]
    assert (told["error"], told["state"], told["location"]) == ("States.QueryEvaluationError", "A", "Output")
    assert told["cause"].startswith("An error occurred while executing the state 'A' (entered at the event id #1).")
    assert failed["previousEventId"] == 0, "beside the chain: it follows what the state itself follows"
    not_an_array = {
        "Type": "Map",
        "QueryLanguage": "JSONata",
        "ItemProcessor": {"StartAt": "X", "States": {}},
        "End": True,
    }
    with pytest.raises(StateFailure, match="must be an array"):
        machine({"A": not_an_array}, 7)
    (failed,) = [event for event in machine.events() if event["type"] == "EvaluationFailed"]
    assert "location" not in failed["evaluationFailedEventDetails"]


# "Redrive … continues from the unsuccessful step": https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
def test_a_redrive_goes_on_at_the_state_that_failed_with_what_it_was_given(machine):
    states = {"A": task("a", Next="B") | {"End": False}, "B": task("b", Parameters={"v.$": "$v", "x.$": "$.x"})}
    states["A"] = {"Type": "Task", "Resource": "arn:aws:states:::a", "Assign": {"v": 5}, "Next": "B"}
    work = Tasks(a={"x": 1}, b=[StateFailure("E"), "done"])
    with pytest.raises(StateFailure):
        machine(states, {"first": True}, work)
    assert machine.again(states, {"first": True}, work) == "done"
    assert [(name, given) for name, given, _, _ in work.seen] == [
        ("a", {"first": True}), ("b", {"v": 5, "x": 1}), ("b", {"v": 5, "x": 1}),
    ]  # fmt: skip
    assert [event["type"] for event in machine.events()].count("TaskStateEntered") == 2, "no state is entered twice"


def test_a_redrive_repeats_of_a_map_and_its_branches_only_what_did_not_end(machine):
    def two(name: str) -> dict[str, Any]:
        return {"StartAt": "X", "States": {"X": task(name)}}

    states = {"A": {"Type": "Map", "MaxConcurrency": 1, "ItemProcessor": two("a"), "Next": "P"},
              "P": {"Type": "Parallel", "Branches": [two("b"), two("c")], "End": True}}  # fmt: skip
    work = Tasks(a=["one", StateFailure("E"), "two", "three"], b=["four"], c=[StateFailure("F"), "five"])
    with pytest.raises(StateFailure, match=r"^E"):
        machine(states, [1, 2, 3], work)
    with pytest.raises(StateFailure, match=r"^F"):
        machine.again(states, [1, 2, 3], work)
    told = [name for name, *_ in work.seen]
    assert told[:4] == ["a"] * 4 and sorted(told[4:]) == ["b", "c"]
    assert [given for name, given, _, _ in work.seen if name == "a"] == [1, 2, 2, 3]
    assert machine.again(states, [1, 2, 3], work) == ["four", "five"], "the branch that had ended was not run again"
    kinds = [event["type"] for event in machine.events()]
    assert kinds.count("MapStateStarted") == kinds.count("ParallelStateStarted") == 1
    assert kinds.count("MapIterationStarted") == 3
