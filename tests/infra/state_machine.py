"""A small interpreter of the part of the Amazon States Language that Darkroom's state machines use.

It exists so that every request is rendered and every path walked without a cloud; what it does not know it refuses.
Tasks are answered by the test. https://states-language.net/spec.html
"""

from __future__ import annotations

import fnmatch
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

EXECUTION = {
    "Id": "arn:aws:states:us-east-1:000000000000:execution:darkroom-dev-pipeline:run-1",
    "Name": "run-1",
    "RedriveCount": 0,
}
TOKEN = re.compile(
    r"\s*(?:(States\.\w+)\(|'((?:\\.|[^'\\])*)'|(\$\$?(?:[\w.\]']|\[(?!\?))*(?:\[\?\(@\.\w+=='\w+'\)\])?)|(-?\d+(?:\.\d+)?)|(true|false|null))"
)


class TaskFailed(Exception):
    def __init__(self, error: str, cause: str):
        super().__init__(f"{error}: {cause}")
        self.error, self.cause = error, cause


@dataclass
class Outcome:
    status: str = "RUNNING"
    output: Any = None
    error: str = ""
    cause: str = ""
    visited: list[str] = field(default_factory=list)
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Inside a Map a state makes a request for each item; `requests` has the last.
    every_request: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


class StateMachine:
    """`answer(state, resource, parameters)` gives a task's result or raises TaskFailed. Retries are not made."""

    def __init__(
        self,
        definition: dict[str, Any],
        answer: Callable[[str, str, dict[str, Any]], Any],
        item: dict[str, Any] | None = None,
    ):
        self.definition, self.answer, self.item = definition, answer, item

    def run(self, given: Any, outcome: Outcome | None = None) -> Outcome:
        outcome, name, data = outcome or Outcome(), self.definition["StartAt"], given
        while name:
            outcome.visited.append(name)
            state = self.definition["States"][name]
            name, data = getattr(self, f"_{state['Type'].lower()}")(name, state, data, outcome)
        return outcome

    def _pass(self, name: str, state: dict, data: Any, outcome: Outcome) -> tuple[str, Any]:
        result = (
            self._context(name).evaluate(state["Parameters"], data) if "Parameters" in state else _input(state, data)
        )
        data = _placed(data, state.get("ResultPath", "$"), result)
        return self._leave(state, _lookup(state.get("OutputPath", "$"), data), outcome)

    def _task(self, name: str, state: dict, data: Any, outcome: Outcome) -> tuple[str, Any]:
        request = self._context(name).evaluate(state["Parameters"], data)
        outcome.requests[name] = request
        outcome.every_request.append((name, request))
        try:
            result = self.answer(name, state["Resource"], request)
        except TaskFailed as failure:
            (catch,) = state["Catch"]
            assert catch["ErrorEquals"] == ["States.ALL"]
            return catch["Next"], _placed(data, catch["ResultPath"], {"Error": failure.error, "Cause": failure.cause})
        if "ResultSelector" in state:
            result = self._context(name).evaluate(state["ResultSelector"], result)
        return self._leave(state, _placed(data, state.get("ResultPath", "$"), result), outcome)

    def _map(self, name: str, state: dict, data: Any, outcome: Outcome) -> tuple[str, Any]:
        """One item after the other; an item that fails would fail the Map, which no test here has seen yet."""
        if path := state.get("MaxConcurrencyPath"):
            assert _lookup(path, data) >= 0
        results = []
        for index, value in enumerate(_lookup(state["ItemsPath"], data)):
            item = {"Index": index, "Value": value}
            given = self._context(name, item).evaluate(state["ItemSelector"], data)
            inner = Outcome(requests=outcome.requests, visited=outcome.visited, every_request=outcome.every_request)
            StateMachine(state["ItemProcessor"], self.answer, item).run(given, inner)
            assert inner.status == "SUCCEEDED", f"{name}, item {index}: {inner.error} {inner.cause}"
            results.append(inner.output)
        return self._leave(state, _placed(data, state["ResultPath"], results), outcome)

    def _context(self, name: str, item: dict[str, Any] | None = None) -> Evaluator:
        known = {"Execution": EXECUTION, "State": {"Name": name, "RetryCount": 0}}
        item = item or self.item
        return Evaluator(known | ({"Map": {"Item": item}} if item else {}))

    def _choice(self, name: str, state: dict, data: Any, outcome: Outcome) -> tuple[str, Any]:
        for rule in state["Choices"]:
            if _holds(rule, data):
                return rule["Next"], data
        return state["Default"], data

    def _wait(self, name: str, state: dict, data: Any, outcome: Outcome) -> tuple[str, Any]:
        assert state["Seconds"] > 0
        return self._leave(state, data, outcome)

    def _fail(self, name: str, state: dict, data: Any, outcome: Outcome) -> tuple[str, Any]:
        outcome.status = "FAILED"
        outcome.error = state.get("Error") or _lookup(state["ErrorPath"], data)
        outcome.cause = state.get("Cause") or _lookup(state["CausePath"], data)
        return "", data

    def _leave(self, state: dict, data: Any, outcome: Outcome) -> tuple[str, Any]:
        if state.get("End"):
            outcome.status, outcome.output = "SUCCEEDED", data
        return state.get("Next", ""), data


@dataclass
class Evaluator:
    """Payload templates: keys that end in `.$` hold paths and intrinsics."""

    context: dict[str, Any]

    def evaluate(self, template: Any, data: Any) -> Any:
        if isinstance(template, list):
            return [self.evaluate(item, data) for item in template]
        if not isinstance(template, dict):
            return template
        return {
            key.removesuffix(".$"): self.expression(value, data) if key.endswith(".$") else self.evaluate(value, data)
            for key, value in template.items()
        }

    def expression(self, text: str, data: Any) -> Any:
        value, end = self._parse(text, 0, data)
        assert not text[end:].strip(), f"not understood: {text[end:]!r} in {text!r}"
        return value

    def _parse(self, text: str, start: int, data: Any) -> tuple[Any, int]:
        match = TOKEN.match(text, start)
        assert match, f"not understood: {text[start:]!r} in {text!r}"
        function, string, path, number, word = match.groups()
        if function:
            return self._call(function, text, match.end(), data)
        if string is not None:
            return re.sub(r"\\(.)", r"\1", string), match.end()
        if path:
            return (_lookup(path[1:], self.context) if path.startswith("$$") else _lookup(path, data)), match.end()
        return json.loads(number or word), match.end()

    def _call(self, function: str, text: str, start: int, data: Any) -> tuple[Any, int]:
        arguments, end = [], start
        while text[end] != ")":
            value, end = self._parse(text, end, data)
            arguments.append(value)
            end = re.compile(r"\s*,?\s*").match(text, end).end()
        return INTRINSICS[function](*arguments), end + 1


def _format(template: str, *values: Any) -> str:
    assert template.count("{}") == len(values), f"{template!r} takes other than {len(values)} values"
    for value in values:
        assert not isinstance(value, dict | list), f"States.Format takes no {type(value).__name__}"
        shown = value if isinstance(value, str) else json.dumps(value)
        template = template.replace("{}", shown.replace("{}", "\0"), 1)
    return template.replace("\0", "{}")


def _merge(first: dict, second: dict, deep: bool) -> dict:
    assert deep is False, "States.JsonMerge knows the shallow merge only"
    return {**first, **second}


INTRINSICS: dict[str, Callable[..., Any]] = {
    "States.Format": _format,
    "States.JsonMerge": _merge,
    "States.JsonToString": lambda value: json.dumps(value, separators=(",", ":")),
    "States.StringToJson": json.loads,
    "States.UUID": lambda: str(uuid.uuid4()),
    "States.StringSplit": lambda text, mark: [part for part in text.split(mark) if part],
    "States.ArrayGetItem": lambda items, index: items[index],
    "States.Array": lambda *items: list(items),
    "States.ArrayLength": len,
    "States.MathAdd": lambda first, second: first + second,
}


def _lookup(path: str, data: Any) -> Any:
    if filtered := re.fullmatch(r"(.*)\[\?\(@\.(\w+)=='(\w+)'\)\]", path):
        return [item for item in _lookup(filtered[1], data) if item.get(filtered[2]) == filtered[3]]
    for part in [part for part in path.removeprefix("$").split(".") if part]:
        if not isinstance(data, dict) or part not in data:
            raise KeyError(f"{path} is not there: {part} of {list(data) if isinstance(data, dict) else data}")
        data = data[part]
    return data


def _input(state: dict, data: Any) -> Any:
    return _lookup(state.get("InputPath", "$"), data)


def _placed(data: Any, path: str | None, result: Any) -> Any:
    if path is None:
        return data
    if path == "$":
        return result
    assert re.fullmatch(r"\$\.\w+", path), f"only top-level result paths are used, not {path}"
    return {**data, path[2:]: result}


def _holds(rule: dict, data: Any) -> bool:
    if "And" in rule:
        return all(_holds(item, data) for item in rule["And"])
    if "Or" in rule:
        return any(_holds(item, data) for item in rule["Or"])
    if "Not" in rule:
        return not _holds(rule["Not"], data)
    (operator,) = set(rule) - {"Variable", "Next"}
    wanted = rule[operator]
    if operator == "IsPresent":
        try:
            _lookup(rule["Variable"], data)
        except KeyError:
            return wanted is False
        return wanted is True
    try:
        value = _lookup(rule["Variable"], data)
    except KeyError:
        # As Step Functions does inside Or and And, a type test of what is not there is no error there.
        if operator.startswith("Is"):
            return False
        raise
    kinds = {"IsString": str, "IsNumeric": (int, float), "IsBoolean": bool, "IsNull": type(None)}
    if operator in kinds:
        numeric_boolean = operator == "IsNumeric" and isinstance(value, bool)
        return (isinstance(value, kinds[operator]) and not numeric_boolean) is wanted
    if operator == "StringMatches":
        return isinstance(value, str) and fnmatch.fnmatchcase(value, wanted.replace("[", "[[]"))
    if operator in ("StringEquals", "BooleanEquals"):
        return type(value) is type(wanted) and value == wanted
    if operator == "NumericEquals":
        return value == wanted
    if operator == "NumericGreaterThanEquals":
        return value >= wanted
    if operator == "NumericGreaterThan":
        return value > wanted
    if operator == "NumericGreaterThanEqualsPath":
        return value >= _lookup(wanted, data)
    raise AssertionError(f"operator not known: {operator}")
