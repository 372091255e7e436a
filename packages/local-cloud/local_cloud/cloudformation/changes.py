"""What a change set would do: added, changed and removed resources, and which would be replaced."""

from __future__ import annotations

import json
from typing import Any

from local_cloud.cloudformation.evaluate import Unknown, references
from local_cloud.cloudformation.plan import Plan
from local_cloud.cloudformation.resources import TYPES, WITHOUT_EFFECT
from local_cloud.cloudformation.stack import Resource
from local_cloud.errors import AwsError


def changes(plan: Plan, existing: dict[str, Resource]) -> list[dict[str, Any]]:
    """The resource changes in the API's shape, in template order, removals last."""
    found: list[dict[str, Any]] = []
    touched: dict[str, str] = {}
    for name in plan.active:
        change = _change(name, plan, existing, touched)
        if change:
            touched[name] = change.get("Replacement", "True")
            found.append(change)
    for name, resource in existing.items():
        if name not in plan.active:
            action = {"Action": "Remove", "LogicalResourceId": name, "PhysicalResourceId": resource.physical_id}
            found.append({**action, "ResourceType": resource.type, "Scope": [], "Details": []})
    return [{"Type": "Resource", "ResourceChange": change} for change in found]


def _change(name: str, plan: Plan, existing: dict[str, Resource], touched: dict[str, str]) -> dict[str, Any] | None:
    declared, current = plan.active[name], existing.get(name)
    kind = declared["Type"]
    if current is None:
        return {"Action": "Add", "LogicalResourceId": name, "ResourceType": kind, "Scope": [], "Details": []}
    old, new = current.properties, declared.get("Properties", {})
    differing = [key for key in {**old, **new} if _differs(key, old, new, plan, touched)]
    if not differing and current.type == kind:
        return None
    replacing = TYPES[kind].replacing if kind not in WITHOUT_EFFECT else frozenset()
    replaced = current.type != kind or any(key in replacing for key in differing)
    details = [
        {
            "Target": {
                "Attribute": "Properties",
                "Name": key,
                "RequiresRecreation": "Always" if key in replacing else "Never",
            },
            "Evaluation": "Static",
            "ChangeSource": "DirectModification",
        }
        for key in differing
    ]
    return {
        "Action": "Modify", "LogicalResourceId": name, "PhysicalResourceId": current.physical_id, "ResourceType": kind,
        "Replacement": "True" if replaced else "False", "Scope": ["Properties"], "Details": details,
    }  # fmt: skip


def _differs(key: str, old: dict[str, Any], new: dict[str, Any], plan: Plan, touched: dict[str, str]) -> bool:
    if key not in new:
        return True
    if any(touched.get(name) == "True" for name in references(new[key], plan.active)):
        return True
    try:
        value = plan.evaluator.value({key: new[key]}).get(key)
    except (Unknown, AwsError):
        return True
    return json.dumps(value, sort_keys=True) != json.dumps(old.get(key), sort_keys=True)
