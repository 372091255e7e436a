"""Intrinsic functions, conditions and dependencies of a template."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import Any

from local_cloud.cloudformation.template import invalid

SUBSTITUTION = re.compile(r"\$\{(!?)([^}]+)\}")
DYNAMIC = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^}]+)\}\}")
REMOVED = object()  # AWS::NoValue
NO_VALUE = "AWS::NoValue"
# What only a deployment can know, as a change set shows it.
KNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"


class Unknown(Exception):
    """The value is not known before another resource has been made."""


class Evaluator:
    """Evaluates one template with its parameters; `physical` and `attribute` look up resources that exist."""

    def __init__(
        self,
        template: dict[str, Any],
        parameters: dict[str, Any],
        pseudo: dict[str, Any],
        physical: Callable[[str], str],
        attribute: Callable[[str, str], Any],
        imported: Callable[[str], str],
        dynamic: Callable[[str, str], str],
    ):
        self._template = template
        self._parameters = parameters
        self._pseudo = pseudo
        self._physical = physical
        self._attribute = attribute
        self._imported = imported
        self._dynamic = dynamic
        self._conditions: dict[str, bool] = {}
        # Whether a value that is not known yet is told as KNOWN; how deep the functions are nested at this moment.
        self._lenient, self._depth = False, 0

    def look_up(
        self,
        physical: Callable[[str], str],
        attribute: Callable[[str, str], Any],
        dynamic: Callable[[str, str], str] | None,
    ) -> None:
        """From now on these say what resources are, or that it is Unknown; None leaves dynamic references as they are."""
        self._physical, self._attribute, self._lenient = physical, attribute, True
        self._dynamic = dynamic or self._dynamic

    def value(self, node: Any) -> Any:
        """The node with every function replaced by its value; members that are AWS::NoValue are gone."""
        if isinstance(node, dict):
            function = _function(node)
            if function:
                return self._call(function, node[function])
            made = {name: self.value(item) for name, item in node.items()}
            return {name: item for name, item in made.items() if item is not REMOVED}
        if isinstance(node, list):
            return [item for item in map(self.value, node) if item is not REMOVED]
        if isinstance(node, str) and "{{resolve:" in node:
            return DYNAMIC.sub(lambda found: self._dynamic(found.group(1), found.group(2)), node)
        return node

    def condition(self, name: str | None) -> bool:
        """Whether a condition of the template holds; None holds."""
        if name is None:
            return True
        if name not in self._conditions:
            conditions = self._template.get("Conditions", {})
            if name not in conditions:
                raise invalid(f"Template error: unresolved condition dependency {name}")
            self._conditions[name] = self._truth(conditions[name])
        return self._conditions[name]

    def check_rules(self) -> None:
        """Raise when an assertion of the Rules section fails (CDK checks the bootstrap version so)."""
        for rule in self._template.get("Rules", {}).values():
            if "RuleCondition" in rule and not self._truth(rule["RuleCondition"]):
                continue
            for assertion in rule.get("Assertions", []):
                if not self._truth(assertion["Assert"]):
                    raise invalid(f"Template rule failed: {assertion.get('AssertDescription', assertion['Assert'])}")

    def _truth(self, node: Any) -> bool:
        value = self.value(node)
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return value == "true"
        raise invalid(f"Template error: {json.dumps(node)[:200]} is not a condition")

    def _call(self, function: str, argument: Any) -> Any:
        if function not in FUNCTIONS:
            raise invalid(f"The local cloud does not support the function {function}.")
        try:
            return self._tolerant(function, argument) if self._lenient else FUNCTIONS[function](self, argument)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as fault:
            raise invalid(f"Template error: {function} {json.dumps(argument)[:200]} is malformed.") from fault

    def _tolerant(self, function: str, argument: Any) -> Any:
        """The value, or KNOWN in place of the outermost function that needs what is not known yet."""
        if function == "Fn::If":
            return self._if(argument)
        self._depth += 1
        try:
            return FUNCTIONS[function](self, argument)
        except Unknown:
            if self._depth > 1:
                raise
            return KNOWN
        finally:
            self._depth -= 1

    def _ref(self, name: str) -> Any:
        # A parameter whose value is this text is no value either.
        if name == NO_VALUE or self._parameters.get(name) == NO_VALUE:
            return REMOVED
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self._parameters:
            return self._parameters[name]
        if name not in self._template["Resources"]:
            raise invalid(f"Template format error: Unresolved resource dependencies [{name}] in the template")
        return self._physical(name)

    def _getatt(self, argument: Any) -> Any:
        name, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
        if name not in self._template["Resources"]:
            raise invalid(f"Template error: instance of Fn::GetAtt references undefined resource {name}")
        return self._attribute(name, self.value(attribute))

    def _sub(self, argument: Any) -> str:
        text, variables = (argument, {}) if isinstance(argument, str) else argument
        given = {name: self.value(item) for name, item in variables.items()}

        def replace(found: re.Match[str]) -> str:
            literal, name = found.groups()
            name = name.strip()
            if literal:
                return f"${{{name}}}"
            if name in given:
                return text_of(given[name])
            try:
                dotted = "." in name and name not in self._parameters
                return text_of(self._getatt(name) if dotted else self._ref(name))
            except Unknown:
                return KNOWN

        return self.value(SUBSTITUTION.sub(replace, text))

    def _join(self, argument: list[Any]) -> str:
        separator, parts = argument
        return self.value(separator.join(text_of(part) for part in self.value(parts)))

    def _split(self, argument: list[Any]) -> list[str]:
        separator, text = argument
        return self.value(text).split(separator)

    def _select(self, argument: list[Any]) -> Any:
        index, values = self.value(argument[0]), self.value(argument[1])
        if not isinstance(values, list) or not str(index).isdecimal() or int(index) >= len(values):
            raise invalid(
                "Template error: Fn::Select requires a list argument with two elements: an integer index and a list"
            )
        return values[int(index)]

    def _if(self, argument: list[Any]) -> Any:
        name, yes, no = argument
        return self.value(yes if self.condition(name) else no)

    def _findinmap(self, argument: list[Any]) -> Any:
        keys = [self.value(key) for key in argument[:3]]
        node = self._template.get("Mappings", {})
        for key in keys:
            if key not in node:
                if len(argument) > 3:
                    return self.value(argument[3]["DefaultValue"])
                raise invalid(f"Template error: Unable to get mapping for {'::'.join(map(str, keys))}")
            node = node[key]
        return self.value(node)

    def _base64(self, argument: Any) -> str:
        return base64.b64encode(text_of(self.value(argument)).encode()).decode()

    def _importvalue(self, argument: Any) -> str:
        return self._imported(self.value(argument))

    def _getazs(self, argument: Any) -> list[str]:
        region = self.value(argument) or self._pseudo["AWS::Region"]
        return [f"{region}{letter}" for letter in "abc"]

    def _tojsonstring(self, argument: Any) -> str:
        return json.dumps(self.value(argument))

    def _length(self, argument: Any) -> int:
        return len(self.value(argument))

    def _equals(self, argument: list[Any]) -> bool:
        first, second = (self.value(item) for item in argument)
        return text_of(first) == text_of(second)

    def _and(self, argument: list[Any]) -> bool:
        return all(self._truth(item) for item in argument)

    def _or(self, argument: list[Any]) -> bool:
        return any(self._truth(item) for item in argument)

    def _not(self, argument: list[Any]) -> bool:
        return not self._truth(argument[0])

    def _condition(self, argument: str) -> bool:
        return self.condition(argument)

    def _contains(self, argument: list[Any]) -> bool:
        values, wanted = (self.value(item) for item in argument)
        return wanted in values


def _function(node: dict[str, Any]) -> str | None:
    if len(node) != 1:
        return None
    (name,) = node
    return (
        name
        if name.startswith("Fn::") or name == "Ref" or (name == "Condition" and isinstance(node[name], str))
        else None
    )


def text_of(value: Any) -> str:
    """A scalar as CloudFormation writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


# Every function that a template may use, by the name it must be written with.
FUNCTIONS: dict[str, Callable[[Evaluator, Any], Any]] = {
    "Ref": Evaluator._ref,
    "Condition": Evaluator._condition,
    "Fn::And": Evaluator._and,
    "Fn::Base64": Evaluator._base64,
    "Fn::Contains": Evaluator._contains,
    "Fn::Equals": Evaluator._equals,
    "Fn::FindInMap": Evaluator._findinmap,
    "Fn::GetAtt": Evaluator._getatt,
    "Fn::GetAZs": Evaluator._getazs,
    "Fn::If": Evaluator._if,
    "Fn::ImportValue": Evaluator._importvalue,
    "Fn::Join": Evaluator._join,
    "Fn::Length": Evaluator._length,
    "Fn::Not": Evaluator._not,
    "Fn::Or": Evaluator._or,
    "Fn::Select": Evaluator._select,
    "Fn::Split": Evaluator._split,
    "Fn::Sub": Evaluator._sub,
    "Fn::ToJsonString": Evaluator._tojsonstring,
}


def check_functions(template: dict[str, Any]) -> None:
    """Raise for a reference to nothing and for a function that does not exist, wherever it stands."""
    known = set(template["Resources"]) | set(template.get("Parameters", {}))
    for section in ("Conditions", "Resources", "Outputs", "Rules"):
        _check_node(template.get(section, {}), known, section)


def _is_attribute(argument: Any) -> bool:
    if isinstance(argument, str):
        name, _, attribute = argument.partition(".")
        return bool(name and attribute)
    return (
        isinstance(argument, list)
        and len(argument) == 2
        and isinstance(argument[0], str)
        and isinstance(argument[1], str | dict)
        and all(argument)
    )


def _check_node(node: Any, known: set[str], where: str) -> None:
    if isinstance(node, list):
        for item in node:
            _check_node(item, known, where)
    if not isinstance(node, dict):
        return
    for name, item in node.items():
        if name.startswith("Fn::") and name not in FUNCTIONS:
            raise invalid(f"The local cloud does not support the function {name} (in {where}).")
        if name == "Fn::GetAtt" and not _is_attribute(item):
            raise invalid(
                "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the "
                "resource attribute"
            )
        if name == "Ref" and isinstance(item, str) and item not in known and not item.startswith("AWS::"):
            raise invalid(
                f"Template format error: Unresolved resource dependencies [{item}] in the {where} block of the template"
            )
        _check_node(item, known, where)


def referred(node: Any) -> Iterator[tuple[str, str | None]]:
    """What a node reads: parameters and resources (by Ref), attributes of resources (by Fn::GetAtt), as (name, attribute)."""
    for item in node if isinstance(node, list) else ():
        yield from referred(item)
    for function, item in node.items() if isinstance(node, dict) else ():
        if function == "Ref" and isinstance(item, str):
            yield item, None
        elif function == "Fn::GetAtt":
            name, _, attribute = item.partition(".") if isinstance(item, str) else (item[0], "", item[1])
            yield name, text_of(attribute)
        elif function == "Fn::Sub":
            text, variables = (item, {}) if isinstance(item, str) else item
            for literal, reference in SUBSTITUTION.findall(text):
                name, dot, attribute = reference.strip().partition(".")
                if not literal and name not in variables:
                    yield name, attribute if dot else None
            yield from referred(variables)
        else:
            yield from referred(item)


def references(node: Any, resources: dict[str, Any]) -> Iterator[str]:
    """The logical ids of `resources` that a node refers to."""
    if isinstance(node, list):
        for item in node:
            yield from references(item, resources)
    if not isinstance(node, dict):
        return
    for name, item in node.items():
        if name == "Ref" and item in resources:
            yield item
        elif name == "Fn::GetAtt":
            yield (item.split(".", 1)[0] if isinstance(item, str) else item[0])
        elif name == "Fn::Sub":
            text, variables = (item, {}) if isinstance(item, str) else item
            for literal, reference in SUBSTITUTION.findall(text):
                target = reference.strip().split(".", 1)[0]
                if not literal and target in resources and target not in variables:
                    yield target
            yield from references(variables, resources)
            continue
        yield from references(item, resources)


def creation_order(resources: dict[str, Any]) -> list[str]:
    """Logical ids such that each comes after what it depends on; raises on a circle."""
    ordered = in_order({name: dependencies(name, resources) for name in resources})
    if circle := sorted(set(resources) - set(ordered)):
        raise invalid(f"Circular dependency between resources: [{', '.join(circle)}]")
    return ordered


def in_order(needs: Mapping[str, set[str]]) -> list[str]:
    """The names such that each comes after what it needs, else as they stand; without those in a circle or behind one."""
    sorter, place = TopologicalSorter(needs), {name: number for number, name in enumerate(needs)}
    with suppress(CycleError):  # what comes before a circle can still be had
        sorter.prepare()
    ordered: list[str] = []
    while ready := sorter.get_ready():
        ordered += sorted(ready, key=place.__getitem__)
        sorter.done(*ready)
    return ordered


def dependencies(name: str, resources: dict[str, Any]) -> set[str]:
    """What a resource needs to exist before it: references and DependsOn, within `resources`."""
    resource = resources[name]
    depends = resource.get("DependsOn", [])
    named = {depends} if isinstance(depends, str) else set(depends)
    # What only a condition's other arm refers to is harmless here: it is in `resources` or left out.
    return ((named | set(references(resource.get("Properties", {}), resources))) & set(resources)) - {name}
