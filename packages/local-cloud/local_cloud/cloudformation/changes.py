"""What a change set would do: added, changed and removed resources, which would be replaced, and why.

AWS answers in two ways. Without values it goes by references: who reads an attribute of a changed resource may change.
With values (IncludePropertyValues) it evaluates both templates; what only a deployment can know is KNOWN. Secrets are shown
in neither: NoEcho parameters are masked, and dynamic references stay as the template writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from local_cloud.cloudformation.evaluate import KNOWN, Evaluator, creation_order, referred, text_of
from local_cloud.cloudformation.plan import Plan
from local_cloud.cloudformation.resources import WITHOUT_EFFECT, known_type
from local_cloud.cloudformation.stack import Resource
from local_cloud.errors import AwsError

# Attributes of a resource that a change set compares besides its properties, and whether a context shows them.
ATTRIBUTES = ("Metadata", "DeletionPolicy", "UpdateReplacePolicy")
ABSENT = object()


@dataclass
class Views:
    """The evaluators of one comparison. `after` asks `fresh` which resources will be made anew."""

    after: Evaluator
    after_shown: Evaluator
    before_shown: Evaluator
    removed_shown: Evaluator
    fresh: set[str] = field(default_factory=set)


@dataclass
class Comparison:
    """A stack's template and resources against those that are asked for."""

    plan: Plan
    before: dict[str, Any]  # the old template
    existing: dict[str, Resource]
    changed_parameters: set[str]
    views: Views
    # What could not be evaluated, and why.
    warnings: list[str] = field(default_factory=list)
    # Resources that this change set modifies, so that those who read their attributes may change.
    _modified: set[str] = field(default_factory=set)

    def changes(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The resource changes in the API's shape, without and with values; by logical id."""
        plain: dict[str, dict[str, Any]] = {}
        valued: dict[str, dict[str, Any]] = {}
        for name in creation_order(self.plan.active):
            for found, with_values in ((plain, False), (valued, True)):
                if change := self._change(name, with_values):
                    found[name] = change
            if plain.get(name, valued.get(name, {})).get("Action") == "Modify":
                self._modified.add(name)
        for name, resource in self.existing.items():
            if name not in self.plan.active:
                plain[name], valued[name] = self._removal(resource, False), self._removal(resource, True)
        return _as_changes(plain), _as_changes(valued)

    def _change(self, name: str, with_values: bool) -> dict[str, Any] | None:
        declared, current = self.plan.active[name], self.existing.get(name)
        kind = declared["Type"]
        if current is None:
            self.views.fresh.add(name)
            made = {"Action": "Add", "LogicalResourceId": name, "ResourceType": kind, "Scope": [], "Details": []}
            if with_values:
                made["AfterContext"] = _context(self.views.after_shown, declared)
                self._warn(name, declared)
            return made
        known = None if kind in WITHOUT_EFFECT else known_type(kind)
        replacing = known.replacing if known is not None else frozenset()
        details = list(self._details(name, current, replacing, with_values))
        if not details and current.type == kind:
            return None
        targets = [detail["Target"] for detail in details]
        replaced = current.type != kind or any(target["RequiresRecreation"] == "Always" for target in targets)
        if replaced:
            self.views.fresh.add(name)
        made = {
            "Action": "Modify", "LogicalResourceId": name, "PhysicalResourceId": current.physical_id, "ResourceType": kind,
            "Replacement": "True" if replaced else "False", "Scope": sorted({target["Attribute"] for target in targets}),
            "Details": details,
        }  # fmt: skip
        if replaced:
            made["PolicyAction"] = "ReplaceAndRetain" if current.replace_policy == "Retain" else "ReplaceAndDelete"
        if with_values:
            made["BeforeContext"] = _context(self.views.before_shown, self._old(name))
            made["AfterContext"] = _context(self.views.after_shown, declared)
        return made

    def _warn(self, name: str, declared: dict[str, Any]) -> None:
        try:
            self.views.after.value(declared.get("Properties", {}))
        except AwsError as error:
            self.warnings.append(f"ChangeSet creation failed for resource [{name}] because: {_brief(error.message)}")

    def _removal(self, resource: Resource, with_values: bool) -> dict[str, Any]:
        made = {
            "Action": "Remove", "LogicalResourceId": resource.logical_id, "PhysicalResourceId": resource.physical_id,
            "ResourceType": resource.type, "Scope": [], "Details": [],
            "PolicyAction": "Retain" if resource.deletion_policy == "Retain" else "Delete",
        }  # fmt: skip
        old = self._old(resource.logical_id)
        return made | ({"BeforeContext": _context(self.views.removed_shown, old)} if with_values else {})

    def _old(self, name: str) -> dict[str, Any]:
        return self.before.get("Resources", {}).get(name, {})

    def _details(
        self, name: str, current: Resource, replacing: frozenset[str], with_values: bool
    ) -> Iterator[dict[str, Any]]:
        declared, old = self.plan.active[name], self._old(name)
        policies = {"DeletionPolicy": current.deletion_policy, "UpdateReplacePolicy": current.replace_policy}
        wanted = dict(zip(("DeletionPolicy", "UpdateReplacePolicy"), self.plan.policies[name], strict=True))
        for attribute in ATTRIBUTES:
            before = policies.get(attribute, current.metadata)
            # AWS also counts it as a change when an attribute's default is no longer written.
            if old.get(attribute) != declared.get(attribute) or before != wanted.get(
                attribute, declared.get("Metadata", {})
            ):
                target = {"Attribute": attribute, "RequiresRecreation": "Never"}
                yield from self._causes(target, declared.get(attribute), False)
        properties, before = declared.get("Properties", {}), old.get("Properties", {})
        for key in {**current.properties, **properties}:
            target = {
                "Attribute": "Properties", "Name": key, "RequiresRecreation": "Always" if key in replacing else "Never"
            }  # fmt: skip
            value = _value(self.views.after, properties, key)
            differs = json.dumps(value, sort_keys=True, default=str) != json.dumps(
                current.properties.get(key, ABSENT), sort_keys=True, default=str
            )
            if not with_values:
                yield from self._causes(target, properties.get(key), not differs)
            elif differs:
                for path, one, other in _paths(
                    f"/Properties/{key}",
                    _value(self.views.before_shown, before, key),
                    _value(self.views.after_shown, properties, key),
                ):
                    yield from self._causes(target | _shown(path, one, other), properties.get(key), False)

    def _causes(self, target: dict[str, Any], node: Any, only_possible: bool) -> Iterator[dict[str, Any]]:
        """Why an attribute changes; `only_possible` is one whose value is the same as far as is known now."""
        causes = []
        for name, attribute in dict.fromkeys(referred(node)):
            if attribute is None and name in self.changed_parameters and not only_possible:
                causes.append(("Static", "ParameterReference", name))
            elif attribute is None and name in self.views.fresh and name in self.existing:
                causes.append(("Static", "ResourceReference", name))
            elif attribute is not None and name in self.views.fresh and name in self.existing:
                causes.append(("Static", "ResourceAttribute", f"{name}.{attribute}"))
            elif attribute is not None and name in self._modified and "Path" not in target:
                causes.append(("Dynamic", "ResourceAttribute", f"{name}.{attribute}"))
        for evaluation, source, entity in causes:
            yield {"Target": target, "Evaluation": evaluation, "ChangeSource": source, "CausingEntity": entity}
        direct = {"Target": target, "ChangeSource": "DirectModification"}
        if not only_possible and (not causes or causes[0][1] == "ParameterReference" or "Path" in target):
            yield direct | {"Evaluation": "Dynamic" if causes else "Static"}


def _brief(message: str) -> str:
    return message.removesuffix(".").removesuffix(" found")


def _context(evaluator: Evaluator, declared: dict[str, Any]) -> str:
    """A resource as text, as far as it is known: {"Properties": ...}."""
    properties = declared.get("Properties", {})
    values = {key: _value(evaluator, properties, key) for key in properties}
    shown = {"Properties": {key: _texts(value) for key, value in values.items() if value is not ABSENT}}
    shown |= {name: _texts(_value(evaluator, declared, name)) for name in ATTRIBUTES if name in declared}
    return json.dumps(shown, separators=(",", ":"))


def _value(evaluator: Evaluator, node: dict[str, Any], key: str) -> Any:
    if key not in node:
        return ABSENT
    try:
        return evaluator.value({key: node[key]}).get(key, ABSENT)
    except AwsError as error:
        if error.message.startswith("Template error:"):
            raise
        return KNOWN


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return text_of(value)


def _paths(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """The innermost places where two values differ; the outermost when they look alike, since one is a secret."""
    if isinstance(before, dict) and isinstance(after, dict):
        inner = [(f"{path}/{key}", before.get(key, ABSENT), after.get(key, ABSENT)) for key in {**before, **after}]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        inner = [(f"{path}/{n}", one, other) for n, (one, other) in enumerate(zip(before, after, strict=True))]
    else:
        yield path, before, after
        return
    found = [place for entry in inner if entry[1] != entry[2] for place in _paths(*entry)]
    yield from found or [(path, before, after)]


def _shown(path: str, before: Any, after: Any) -> dict[str, str]:
    kind = "Add" if before is ABSENT else "Remove" if after is ABSENT else "Modify"
    made = {"Path": path, "AttributeChangeType": kind}
    for name, value in (("BeforeValue", before), ("AfterValue", after)):
        if value is not ABSENT:
            made[name] = json.dumps(_texts(value)) if isinstance(value, dict | list) else text_of(value)
    return made


def _as_changes(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"Type": "Resource", "ResourceChange": found[name]} for name in sorted(found)]
