"""What a state reads and writes, in its query language: JSONPath (fields with paths) or JSONata (`{% … %}`)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from local_cloud.stepfunctions import jsonata, map_items
from local_cloud.stepfunctions.failures import QueryFailed, StateFailure
from local_cloud.stepfunctions.moments import MAXIMUM_WAIT_SECONDS, from_now, seconds_to_wait, timestamp
from local_cloud.stepfunctions.paths import place
from local_cloud.stepfunctions.payload import dump, expression, named_expression, select, template
from local_cloud.stepfunctions.reading import JSONATA, PATH, reads

if TYPE_CHECKING:
    from local_cloud.stepfunctions.interpreter import Branch


class _Noting:
    """What TestState shows of a state's data on its way; nobody else asks for it."""

    notes: dict[str, Any] | None = None

    def noted(self, name: str, value: Any) -> Any:
        """The value; noted when somebody asked for notes."""
        if self.notes is not None:
            self.notes[name] = dump(value)
        return value


class PathQuery(_Noting):
    """One state's fields in JSONPath."""

    def __init__(self, state: dict[str, Any], raw: Any, branch: Branch):
        self.state, self.raw, self.branch = state, raw, branch
        self.context = branch.context

    @reads("InputPath", of=("Task", "Wait", "Pass", "Succeed", "Choice", "Parallel", "Map"), by=PATH)
    def given(self) -> Any:
        """The input after InputPath."""
        return self.noted("afterInputPath", select(self.state.get("InputPath", "$"), self.raw, self.context))

    @reads("Parameters", of=("Task", "Parallel", "Pass"), by=PATH)
    def arguments(self) -> Any:
        """What a Task, Parallel or Pass state works on: the raw input after InputPath and Parameters."""
        given = self.given()
        made = template(self.state["Parameters"], given, self.context) if "Parameters" in self.state else given
        return self.noted("afterParameters", made)

    @reads("Result", of="Pass", by=PATH)
    def passed(self) -> Any:
        """The result of a Pass state."""
        if "Result" not in self.state:
            return self.arguments()
        return self.noted("result", copy.deepcopy(self.state["Result"]))

    def seconds(self, given: Any, now: float) -> float:
        """How long a Wait state waits."""
        return seconds_to_wait(self.state, given, self.context, now)

    @reads("TimeoutSecondsPath", "HeartbeatSecondsPath", of="Task", by=PATH)
    def time(self, name: str, given: Any) -> Any:
        """TimeoutSeconds or HeartbeatSeconds."""
        path = self.state.get(f"{name}Path")
        return self.state.get(name) if path is None else expression(path, given, self.context)

    @reads("ErrorPath", "CausePath", of="Fail", by=PATH)
    def text(self, name: str) -> str | None:
        """Error or Cause of a Fail state."""
        if f"{name}Path" in self.state:
            return str(named_expression(f"{name}Path", self.state[f"{name}Path"], self.raw, self.context))
        return self.state.get(name)

    def items(self, given: Any) -> list[Any]:
        """What a Map state iterates over."""
        return self.noted("afterItemsPath", map_items.items_of(self.state, given, self.context))

    def number(self, holder: dict[str, Any], name: str, given: Any, kind: type = int) -> Any:
        """A number of the state, or 0."""
        return map_items.number(holder, name, given, self.context, kind)

    @reads("ItemSelector", "Parameters", of="Map", by=PATH)
    def item(self, given: Any, value: Any, branch: Branch) -> Any:
        """What an iteration starts with."""
        chosen = self.state.get("ItemSelector", self.state.get("Parameters"))
        return value if chosen is None else template(chosen, given, branch.context)

    def where(self, holder: dict[str, Any], given: Any, field: str) -> Any:
        """The parameters of an ItemReader or ResultWriter; BatchInput."""
        return template(holder, given, self.context)

    @reads("ResultSelector", of=("Task", "Parallel", "Map"), by=PATH)
    @reads("ResultPath", "OutputPath", of=("Task", "Parallel", "Map", "Pass"), by=PATH)
    def output(self, result: Any) -> Any:
        """The state's output from its raw input and result: ResultSelector, ResultPath, OutputPath."""
        if "ResultSelector" in self.state:
            result = template(self.state["ResultSelector"], result, self.context)
        path = self.state.get("ResultPath", "$")
        combined = self.raw if path is None else place(path, self.raw, self.noted("afterResultSelector", result))
        return select(self.state.get("OutputPath", "$"), self.noted("afterResultPath", combined), self.context)

    @reads("Catch.Assign", of=("Task", "Parallel", "Map"), by=PATH)
    def assigned(self, holder: dict[str, Any], source: Any, **_: Any) -> dict[str, Any]:
        """New variables of the state, of a choice rule or of a Catch; paths refer to `source`."""
        if self.state.get("ResultSelector") is not None and holder is self.state:
            source = template(self.state["ResultSelector"], source, self.context)
        return template(holder.get("Assign", {}), source, self.context)


class JsonataQuery(_Noting):
    """One state's fields in JSONata."""

    def __init__(self, state: dict[str, Any], raw: Any, branch: Branch):
        self.state, self.raw, self.branch = state, raw, branch

    def _evaluate(self, value: Any, field: str, branch: Branch | None = None, **told: Any) -> Any:
        branch = branch or self.branch
        states = {"input": self.raw, "context": branch.context, **told}
        return jsonata.evaluate(value, field, {**branch.context.variables, "states": states})

    def given(self) -> Any:
        return self.raw

    @reads("Arguments", of=("Task", "Parallel"), by=JSONATA)
    def arguments(self) -> Any:
        if "Arguments" not in self.state:
            return self.raw
        return self.noted("afterArguments", self._evaluate(self.state["Arguments"], "Arguments"))

    def passed(self) -> Any:
        return self.raw

    @reads("Seconds", "Timestamp", of="Wait", by=JSONATA)
    def seconds(self, given: Any, now: float) -> float:
        field = "Seconds" if "Seconds" in self.state else "Timestamp"
        value = self._evaluate(self.state[field], field)
        if field == "Seconds":
            seconds = jsonata.expected(value, field, self.state[field], ("number",))
            if seconds < 0 or seconds != int(seconds):
                raise QueryFailed(
                    f"The Seconds field must be a whole number of 0 or more, but was: {dump(value)}", field
                )
        else:
            moment = timestamp(value)
            if moment is None:
                raise QueryFailed(
                    "The Timestamp field cannot be parsed as an ISO-8601 extended offset date-time format string: "
                    f"{value if isinstance(value, str) else dump(value)}",
                    field,
                    beside=False,
                )
            seconds = from_now(moment, now)
        if seconds > MAXIMUM_WAIT_SECONDS:
            raise StateFailure("States.Runtime", "Wait state delay is too long.")
        return max(seconds, 0)

    def time(self, name: str, given: Any) -> Any:
        value = self._evaluate(self.state.get(name), name)
        return value if value is None else jsonata.expected(value, name, self.state[name], ("number",))

    def text(self, name: str) -> str | None:
        value = self._evaluate(self.state.get(name), name)
        return value if value is None else jsonata.expected(value, name, self.state[name], ("string",))

    @reads("Items", of="Map", by=JSONATA)
    def items(self, given: Any) -> list[Any]:
        if "Items" in self.state:
            value = self._evaluate(self.state["Items"], "Items")
            kinds = ("array", "object") if is_distributed(self.state) else ("array",)
            value = jsonata.expected(value, "Items", self.state["Items"], kinds)
        else:
            value = self.raw
            if not isinstance(value, list):
                raise QueryFailed(f"Map state input must be an array but was: {dump(value)}")
        return [{"Key": key, "Value": item} for key, item in value.items()] if isinstance(value, dict) else value

    def number(self, holder: dict[str, Any], name: str, given: Any, kind: type = int) -> Any:
        if name not in holder:
            return 0
        value = jsonata.expected(self._evaluate(holder[name], name), name, holder[name], ("number",))
        return value if kind is float else int(value)

    @reads("ItemSelector", of="Map", by=JSONATA)
    def item(self, given: Any, value: Any, branch: Branch) -> Any:
        if "ItemSelector" not in self.state:
            return value
        return self._evaluate(self.state["ItemSelector"], "ItemSelector", branch)

    def where(self, holder: dict[str, Any], given: Any, field: str) -> Any:
        return self._evaluate(holder, field)

    @reads("Output", of=("Task", "Wait", "Pass", "Succeed", "Parallel", "Map"), by=JSONATA)
    def output(self, result: Any) -> Any:
        if "Output" not in self.state:
            return result
        told = {} if self.state["Type"] in ("Pass", "Wait", "Succeed", "Choice") else {"result": result}
        return self._evaluate(self.state["Output"], "Output", **told)

    @reads("Catch.Assign", of=("Task", "Parallel", "Map"), by=JSONATA)
    def assigned(self, holder: dict[str, Any], source: Any, **told: Any) -> dict[str, Any]:
        if not told and self.state["Type"] in ("Task", "Parallel", "Map"):
            told = {"result": source}
        return self._evaluate(holder.get("Assign", {}), "Assign", **told)

    @reads("Catch.Output", of=("Task", "Parallel", "Map"), by=JSONATA)
    def caught(self, catcher: dict[str, Any], error: dict[str, Any], index: int) -> Any:
        """The output of a Catch."""
        if "Output" not in catcher:
            return error
        return self._evaluate(catcher["Output"], "Output", errorOutput=error)

    def holds(self, rule: dict[str, Any], index: int) -> bool:
        """Whether a choice rule is true."""
        field = f"Choices[{index}]/Condition"
        value = self._evaluate(rule["Condition"], field)
        return jsonata.expected(value, field, rule["Condition"], ("boolean",))

    @reads("Output", of="Choice", by=JSONATA)
    def chosen(self, rule: dict[str, Any]) -> Any:
        """The output of a Choice state: the rule's own, or the state's."""
        holder = rule if "Output" in rule else self.state
        return self._evaluate(holder["Output"], "Output") if "Output" in holder else self.raw


@reads("ProcessorConfig.Mode", of="Map")
def is_distributed(state: dict[str, Any]) -> bool:
    """Whether a Map state makes a map run."""
    return (state.get("ItemProcessor") or state["Iterator"]).get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED"


@reads("QueryLanguage")
def query_of(state: dict[str, Any], raw: Any, branch: Branch, language: str) -> PathQuery | JsonataQuery:
    """The fields of a state, in its own language or the machine's."""
    return (JsonataQuery if state.get("QueryLanguage", language) == "JSONata" else PathQuery)(state, raw, branch)
