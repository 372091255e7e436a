"""Lambda functions with their permissions, versions, aliases and event sources."""

from __future__ import annotations

from typing import Any

from local_cloud.cloudformation.resources.kinds import (
    Aws,
    Made,
    Naming,
    Properties,
    ResourceType,
    delete_quietly,
    pick,
    register,
    tag_changes,
    true,
    whole,
)
from local_cloud.functions.inline import with_response_module
from local_cloud.functions.package import zip_of

CONFIGURATION = (
    "Role", "Handler", "Runtime", "Description", "Timeout", "MemorySize", "Environment", "TracingConfig", "EphemeralStorage",
    "LoggingConfig", "KMSKeyArn", "VpcConfig", "Layers", "DeadLetterConfig", "FileSystemConfigs", "SnapStart", "ImageConfig",
)  # fmt: skip


@register
class Function(ResourceType):
    """A function; what Lambda itself refuses here fails the deployment with Lambda's words."""

    type = "AWS::Lambda::Function"
    name_property = "FunctionName"
    required = frozenset({"Code", "Role"})
    properties = frozenset({"FunctionName", "Code", "Architectures", "PackageType", "Tags", *CONFIGURATION})
    without_effect = {  # noqa: RUF012
        "RecursiveLoop": "loops of functions are not looked for here",
        "RuntimeManagementConfig": "runtimes are this machine's own",
    }
    replacing = frozenset({"FunctionName", "PackageType"})
    slow = True

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        name = properties.get("FunctionName") or naming.name(64)
        aws.client("lambda").create_function(
            FunctionName=name, Code=_code(properties), **_configuration(properties), **_tags(properties),
            **pick(properties, "Architectures", "PackageType"),
        )  # fmt: skip
        return self._made(aws, name)

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        functions = aws.client("lambda")
        if new["Code"] != old.get("Code") or new.get("Architectures") != old.get("Architectures"):
            functions.update_function_code(FunctionName=physical_id, **_code(new), **pick(new, "Architectures"))
        wanted, before = _configuration(new), _configuration(old)
        changed = {name: value for name, value in wanted.items() if before.get(name) != value}
        changed |= {name: _EMPTY[name] for name in before if name not in wanted and name in _EMPTY}
        if changed:
            functions.update_function_configuration(FunctionName=physical_id, **changed)
        tags, removed = tag_changes(old, new)
        arn = aws.arn("lambda", f"function:{physical_id}")
        if tags:
            functions.tag_resource(Resource=arn, Tags={tag["Key"]: tag["Value"] for tag in tags})
        if removed:
            functions.untag_resource(Resource=arn, TagKeys=removed)
        return self._made(aws, physical_id)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("lambda").delete_function, FunctionName=physical_id)

    @staticmethod
    def _made(aws: Aws, name: str) -> Made:
        return Made(name, {"Arn": aws.arn("lambda", f"function:{name}")})


# What a property that is taken out of the template goes back to.
_EMPTY: dict[str, Any] = {
    "Description": "", "Timeout": 3, "MemorySize": 128, "Environment": {"Variables": {}},
    "TracingConfig": {"Mode": "PassThrough"}, "EphemeralStorage": {"Size": 512},
}  # fmt: skip


def _configuration(properties: Properties) -> dict[str, Any]:
    made = pick(properties, *CONFIGURATION)
    for name in ("Timeout", "MemorySize"):
        if name in made:
            made[name] = int(made[name])
    if "Size" in made.get("EphemeralStorage", {}):
        made["EphemeralStorage"] = {"Size": int(made["EphemeralStorage"]["Size"])}
    if "Variables" in made.get("Environment", {}):
        variables = made["Environment"]["Variables"]
        made["Environment"] = {"Variables": {name: _text(value) for name, value in variables.items()}}
    return made


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _code(properties: Properties) -> dict[str, Any]:
    code = properties["Code"]
    if "ZipFile" in code:  # here it is the source of one file, not a package
        return {"ZipFile": zip_of(with_response_module(properties.get("Runtime", ""), code["ZipFile"]))}
    return pick(code, "S3Bucket", "S3Key", "S3ObjectVersion", "ImageUri")


def _tags(properties: Properties) -> dict[str, Any]:
    tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    return {"Tags": tags} if tags else {}


@register
class Permission(ResourceType):
    """A statement of a function's policy."""

    type = "AWS::Lambda::Permission"
    required = frozenset({"Action", "FunctionName", "Principal"})
    properties = required | {
        "SourceArn", "SourceAccount", "PrincipalOrgID", "EventSourceToken", "FunctionUrlAuthType", "InvokedViaFunctionUrl",
    }  # fmt: skip
    replacing = properties

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        sid = naming.name(100)
        given = {name: properties[name] for name in properties if name != "InvokedViaFunctionUrl"}
        if "InvokedViaFunctionUrl" in properties:
            given["InvokedViaFunctionUrl"] = true(properties["InvokedViaFunctionUrl"])
        aws.client("lambda").add_permission(StatementId=sid, **given)
        return Made(sid, {"Id": sid})

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        remove = aws.client("lambda").remove_permission
        delete_quietly(remove, FunctionName=properties["FunctionName"], StatementId=physical_id)


@register
class Version(ResourceType):
    """A published version. Deleting the function deletes it, too."""

    type = "AWS::Lambda::Version"
    required = frozenset({"FunctionName"})
    properties = frozenset({"FunctionName", "CodeSha256", "Description"})
    without_effect = {  # noqa: RUF012
        "RuntimePolicy": "runtimes are this machine's own",
    }
    replacing = properties

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        made = aws.client("lambda").publish_version(**pick(properties, "FunctionName", "CodeSha256", "Description"))
        return Made(made["FunctionArn"], {"Version": made["Version"], "FunctionArn": made["FunctionArn"]})

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("lambda").delete_function, FunctionName=physical_id)


@register
class Alias(ResourceType):
    """A name that leads to a version."""

    type = "AWS::Lambda::Alias"
    name_property = "Name"
    required = frozenset({"FunctionName", "FunctionVersion", "Name"})
    properties = frozenset({"FunctionName", "FunctionVersion", "Name", "Description", "RoutingConfig"})
    replacing = frozenset({"FunctionName", "Name"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        made = aws.client("lambda").create_alias(**pick(properties, *self.properties))
        return Made(made["AliasArn"], {"AliasArn": made["AliasArn"]})

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        aws.client("lambda").update_alias(**{"Description": "", **pick(new, *self.properties)})
        return Made(physical_id, {"AliasArn": physical_id})

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(
            aws.client("lambda").delete_alias, FunctionName=properties["FunctionName"], Name=properties["Name"]
        )


@register
class EventSourceMapping(ResourceType):
    """Lambda reads a queue."""

    type = "AWS::Lambda::EventSourceMapping"
    required = frozenset({"FunctionName"})
    properties = frozenset({
        "FunctionName", "EventSourceArn", "BatchSize", "Enabled", "MaximumBatchingWindowInSeconds", "FunctionResponseTypes",
    })  # fmt: skip
    replacing = frozenset({"EventSourceArn"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        made = aws.client("lambda").create_event_source_mapping(**_mapping(properties))
        key = made["UUID"]
        with whole(self, aws, key, properties):
            return Made(key, {"Id": key, "EventSourceMappingArn": made["EventSourceMappingArn"]})

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        given = {"BatchSize": 10, "Enabled": True, **_mapping(new)}
        given.pop("EventSourceArn", None)
        aws.client("lambda").update_event_source_mapping(UUID=physical_id, **given)
        return Made(physical_id)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("lambda").delete_event_source_mapping, UUID=physical_id)


def _mapping(properties: Properties) -> dict[str, Any]:
    given = dict(properties)
    for name in ("BatchSize", "MaximumBatchingWindowInSeconds"):
        if name in given:
            given[name] = int(given[name])
    if "Enabled" in given:
        given["Enabled"] = true(given["Enabled"])
    return given
