"""What the last release deployed, as far as an update could lose it: resources that hold something, and exports that others import.

`DARKROOM_RELEASE=1 pytest tests/infra/test_released.py` writes it anew, once for each release and never to make a test pass:
whoever has the old one deployed would lose what the test speaks of.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from tests.infra.setting_walk import PRECIOUS, imports

FILE = Path(__file__).with_name("released.json")
# The region of the schemas; what can be changed in place does not differ between regions.
REGION = "us-east-1"
MISSING = "not set"


def held(template: dict[str, Any]) -> dict[str, Any]:
    """Of one stack: what must outlive an update, and what other stacks hold on to."""
    exports = {one["Export"]["Name"]: one["Value"] for one in template.get("Outputs", {}).values() if "Export" in one}
    resources = {
        name: {
            "Type": one["Type"],
            "DeletionPolicy": one.get("DeletionPolicy", "Delete"),
            "Fixed": {path: _at(one.get("Properties", {}), path) for path in create_only(one["Type"])},
        }
        for name, one in template["Resources"].items()
        if one["Type"] in PRECIOUS
    }
    return {"Resources": resources, "Exports": exports, "Imports": sorted(imports(template))}


def create_only(kind: str) -> list[str]:
    """Paths of the properties whose change makes another resource, as AWS's own schema of the type says."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
    return sorted(path.removeprefix("/properties/") for path in schema.get("createOnlyProperties", []))


def _at(properties: Any, path: str) -> Any:
    for word in path.split("/"):
        if not isinstance(properties, dict) or word not in properties:
            return MISSING
        properties = properties[word]
    return properties


def lost(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What an update from the one set of stacks to the other would delete, replace or be refused for."""
    found = []
    made = {name: value for stack in after.values() for name, value in stack["Exports"].items()}
    for stack, old in before.items():
        new = after.get(stack)
        if new is None:
            found.append(f"{stack}: the stack is gone")
            continue
        for name, one in old["Resources"].items():
            now = new["Resources"].get(name)
            if now is None or now["Type"] != one["Type"]:
                found.append(f"{stack}/{name}: {one['Type']} would be deleted")
                continue
            found += [
                f"{stack}/{name}: a change of {path} replaces it: {value!r} became {now['Fixed'].get(path, MISSING)!r}"
                for path, value in one["Fixed"].items()
                if now["Fixed"].get(path, MISSING) != value
            ]
            if one["DeletionPolicy"] == "Retain" != now["DeletionPolicy"]:
                found.append(f"{stack}/{name}: it was kept when its stack was deleted, and would not be any more")
        for export, value in old["Exports"].items():
            if any(export in other["Imports"] for other in before.values()) and made.get(export) != value:
                found.append(f"{stack}: export {export} is in use and cannot be changed or removed")
    return found
