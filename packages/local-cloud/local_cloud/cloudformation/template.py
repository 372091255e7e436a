"""Reads templates, JSON or YAML with CloudFormation's short forms, and refuses by name what the engine cannot honour."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from local_cloud import json_text
from local_cloud.errors import AwsError

# No template nests like this; AWS takes 51,200 bytes in a request and 1 MB from S3.
DEEPEST = 500
OBJECTS = {"Conditions", "Mappings", "Metadata", "Outputs", "Parameters", "Rules"}
SECTIONS = {
    "AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Rules", "Mappings", "Conditions", "Resources",
    "Outputs", "Transform", "Hooks",
}  # fmt: skip
RESOURCE_FIELDS = {
    "Type", "Properties", "DependsOn", "Condition", "DeletionPolicy", "UpdateReplacePolicy", "Metadata", "CreationPolicy",
    "UpdatePolicy",
}  # fmt: skip


class _Loader(yaml.SafeLoader):
    """YAML with `!Sub`, `!GetAtt` and the other short forms; dates stay text."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        # CloudFormation has no aliases either; a few of them make gigabytes.
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not supported", self.peek_event().start_mark)
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _short_form)


def _depth(text: str) -> int:
    """At least how deep brackets are nested: YAML's parser takes minutes for what no template needs."""
    deepest = depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        deepest, depth = max(deepest, depth), max(depth, 0)
    return deepest


def read_template(text: str) -> dict[str, Any]:
    """The template as an object; raises ValidationError naming what is wrong."""
    try:
        if _depth(text) > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} levels deep")
        template = _read(text)
    except yaml.composer.ComposerError as fault:
        raise invalid(f"Template format error: {fault}") from None
    except yaml.MarkedYAMLError:
        raise invalid("Template format error: YAML not well-formed.") from None
    except (ValueError, yaml.YAMLError) as fault:
        raise invalid(f"Template format error: {fault}") from None
    if not isinstance(template, dict):
        raise invalid("Template format error: unsupported structure.")
    if template.get("Transform") or template.get("Hooks"):
        raise invalid("The local cloud does not support the template sections Transform (macros, SAM) and Hooks.")
    unknown = set(template) - SECTIONS
    if unknown:
        raise invalid(f"Invalid template property or properties [{', '.join(sorted(unknown))}]")
    for section in sorted(OBJECTS & set(template)):
        if not isinstance(template[section], dict):
            raise invalid(f"Template format error: {section} must be an object.")
    resources = template.get("Resources")
    if not isinstance(resources, dict) or not resources:
        raise invalid("Template format error: At least one Resources member must be defined.")
    if "Fn::Transform" in resources or any(
        isinstance(one, dict) and "Fn::Transform" in one for one in resources.values()
    ):
        raise invalid("The local cloud does not support the function Fn::Transform (in Resources).")
    for kind, names in (("Resource", resources), ("Parameter", template.get("Parameters", {}))):
        for name in names:
            if not (isinstance(name, str) and name.isascii() and name.isalnum()):
                raise invalid(f"Template format error: {kind} name {name} is non alphanumeric.")
    for name, resource in resources.items():
        _check_resource(name, resource)
    return template


def _read(text: str) -> Any:
    """JSON, or YAML: of that, JSON with a comma too many is a kind, and AWS takes it."""
    try:
        if text.lstrip().startswith("{"):
            return json_text.parse(text)
    except json.JSONDecodeError as fault:
        try:
            return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
        except yaml.YAMLError:
            raise fault from None
    return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader


def _check_resource(name: str, resource: Any) -> None:
    if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
        raise invalid(f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member.")
    if not isinstance(resource.get("Properties", {}), dict):
        raise invalid(f"Template format error: The Properties of {name} must be an object.")
    unknown = set(resource) - RESOURCE_FIELDS
    if unknown:
        raise invalid(f"Invalid template resource property '{sorted(unknown)[0]}' ({name})")
    if "CreationPolicy" in resource:
        raise invalid(f"The local cloud does not support CreationPolicy ({name}): nothing here sends signals.")


def invalid(message: str) -> AwsError:
    """CloudFormation's general refusal."""
    return AwsError("ValidationError", message)
