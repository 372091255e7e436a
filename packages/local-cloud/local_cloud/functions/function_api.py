"""Functions: created, changed, shown, deleted; their versions and aliases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from local_cloud.errors import AwsError
from local_cloud.functions import configuration
from local_cloud.functions.executions import Executions
from local_cloud.functions.names import LATEST, Reference, failure, reference
from local_cloud.functions.package import Code, Packages
from local_cloud.functions.runtimes import runtime
from local_cloud.functions.store import Function, Store

if TYPE_CHECKING:
    from local_cloud.context import CloudContext

CANNOT_ASSUME = "The role defined for the function cannot be assumed by Lambda."
PAGE = 50


class Functions:
    """Everything about functions but running them."""

    def __init__(
        self, context: CloudContext, store: Store, packages: Packages, executions: Executions,
        location: Callable[[str, bytes], str], hidden: tuple[Any, Any],
    ):  # fmt: skip
        """`location` gives a URL for a package."""
        self._context, self._store, self._packages, self._executions = context, store, packages, executions
        self._location, self._runtime = location, hidden
        self._lock = threading.RLock()

    def named(self, request: Mapping[str, Any]) -> Reference:
        """The function and the version that a request names."""
        return reference(request["FunctionName"], self._context.authority.place, request.get("Qualifier"))

    def arn(self, name: str) -> str:
        """A function's ARN."""
        return self._context.authority.place.arn("lambda", f"function:{name}")

    def found(self, request: Mapping[str, Any], latest_in_error: bool = False) -> tuple[Function, Reference, str]:
        """The function that a request names, and which version. Raises ResourceNotFoundException."""
        named = self.named(request)
        arn = self.arn(named.name)
        said = named.qualifier or (LATEST if latest_in_error else "")
        function = self._store.require(named, f"{arn}:{said}" if said else arn)
        return function, named, function.version_of(named.qualifier)

    def _op_CreateFunction(self, request: dict[str, Any]) -> dict[str, Any]:
        name = self.named(request).name
        arn = self.arn(name)
        with self._lock:
            if self._store.find(name):
                raise failure("ResourceConflictException", f"Function already exist: {name}", 409)
            configuration.refuse(request)
            self._check_role(request["Role"])
            config = configuration.made({**request, "FunctionName": name}, arn, self._code(request["Code"]))
            self._with_runtime(config)
            function = Function(name, arn, {LATEST: config}, tags=dict(request.get("Tags") or {}))
            version = self._publish(function, {}) if request.get("Publish") else config
            self._store.put(function)
        return configuration.shown({**version, "FunctionArn": arn}, progress="create")

    def _op_UpdateFunctionCode(self, request: dict[str, Any]) -> dict[str, Any]:
        function, named, _ = self.found({"FunctionName": request["FunctionName"]})
        configuration.refuse(request)
        _check_revision(function.versions[LATEST], request)
        source: dict[str, Any] = {
            key: request[key]
            for key in ("ZipFile", "S3Bucket", "S3Key", "S3ObjectVersion", "ImageUri")
            if key in request
        }
        code = self._code(source)
        if request.get("DryRun"):
            return configuration.shown(function.versions[LATEST])
        with self._lock, self._store.change(named.name, function.arn) as function:
            config = function.versions[LATEST]
            if request.get("Architectures"):
                config["Architectures"] = list(request["Architectures"])
            configuration.with_code(config, code)
            answer = self._publish(function, {}) if request.get("Publish") else config
        self._executions.forget(function.arn)
        self._clean()
        return configuration.shown(answer, progress="update")

    def _op_UpdateFunctionConfiguration(self, request: dict[str, Any]) -> dict[str, Any]:
        function, named, _ = self.found({"FunctionName": request["FunctionName"]})
        _check_revision(function.versions[LATEST], request)
        if "Role" in request:
            self._check_role(request["Role"])
        with self._lock, self._store.change(named.name, function.arn) as function:
            configuration.change(function.versions[LATEST], request)
            self._with_runtime(function.versions[LATEST])
        self._executions.forget(function.arn)
        return configuration.shown(function.versions[LATEST], progress="update")

    def _op_GetFunctionConfiguration(self, request: dict[str, Any]) -> dict[str, Any]:
        function, named, version = self.found(request)
        return configuration.shown(function.versions[version], function.qualified(named.qualifier))

    def _op_GetFunction(self, request: dict[str, Any]) -> dict[str, Any]:
        function, named, version = self.found(request)
        config = function.versions[version]
        content = self._packages.archive(Code(config["CodeSha256"], config["CodeSize"]))
        answer = {
            "Configuration": configuration.shown(config, function.qualified(named.qualifier)),
            "Code": {"RepositoryType": "S3", "Location": self._location(f"{named.name}.zip", content)},
        }
        return answer | ({"Tags": function.tags} if function.tags else {})

    def _op_ListFunctions(self, request: dict[str, Any]) -> dict[str, Any]:
        every = request.get("FunctionVersion") == "ALL"
        found = [
            configuration.listed(config, function.qualified(version) if every else None)
            for function in self._store.all()
            for version, config in function.versions.items()
            if every or version == LATEST
        ]
        return _page("Functions", found, request)

    def _op_DeleteFunction(self, request: dict[str, Any]) -> dict[str, Any]:
        named = self.named(request)
        arn = self.arn(named.name)
        with self._lock:
            function = self._store.require(named, arn)
            if named.qualifier == LATEST:
                raise failure(
                    "InvalidParameterValueException", "$LATEST version cannot be deleted without deleting the function."
                )
            if named.qualifier in function.aliases:
                raise failure("InvalidParameterValueException", "Deletion of aliases is not currently supported.")
            if named.qualifier is None:
                self._store.drop(named.name)
            elif named.qualifier in function.versions:
                users = [alias for alias, one in function.aliases.items() if one["FunctionVersion"] == named.qualifier]
                if users:
                    words = f"Version is referenced by the following aliases: {users}"
                    raise failure("ResourceConflictException", words, 409)
                del function.versions[named.qualifier]
                self._store.put(function)
        self._executions.forget(function.qualified(named.qualifier))
        self._clean()
        return {}

    def _op_PublishVersion(self, request: dict[str, Any]) -> dict[str, Any]:
        function, named, _ = self.found({"FunctionName": request["FunctionName"]})
        _check_revision(function.versions[LATEST], request)
        wanted = request.get("CodeSha256")
        if wanted and wanted != function.versions[LATEST]["CodeSha256"]:
            now = function.versions[LATEST]["CodeSha256"]
            words = (
                f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({now}). Please try again with the "
                "CodeSHA256 in $LATEST."
            )
            raise failure("InvalidParameterValueException", words)
        with self._lock, self._store.change(named.name, function.arn) as function:
            return configuration.shown(self._publish(function, request))

    def _op_ListVersionsByFunction(self, request: dict[str, Any]) -> dict[str, Any]:
        function, _, _ = self.found({"FunctionName": request["FunctionName"]})
        found = [
            configuration.listed(config, function.qualified(version)) for version, config in function.versions.items()
        ]
        return _page("Versions", found, request)

    def _op_CreateAlias(self, request: dict[str, Any]) -> dict[str, Any]:
        function, named, _ = self.found({"FunctionName": request["FunctionName"]})
        _check_alias(function, request)
        with self._lock, self._store.change(named.name, function.arn) as function:
            name = request["Name"]
            if name in function.aliases:
                raise failure("ResourceConflictException", f"Alias already exists: {function.qualified(name)}", 409)
            function.aliases[name] = {
                "AliasArn": function.qualified(name), "Name": name, "FunctionVersion": request["FunctionVersion"],
                "Description": request.get("Description", ""), "RevisionId": _revision(),
            }  # fmt: skip
            return dict(function.aliases[name])

    def _op_UpdateAlias(self, request: dict[str, Any]) -> dict[str, Any]:
        function, named, _ = self.found({"FunctionName": request["FunctionName"]})
        _alias(function, request)
        _check_alias(function, request)
        with self._lock, self._store.change(named.name, function.arn) as function:
            alias = _alias(function, request)
            changed: dict[str, Any] = {
                key: request[key] for key in ("FunctionVersion", "Description") if key in request
            }
            alias.update(changed, RevisionId=_revision())
            return dict(alias)

    def _op_GetAlias(self, request: dict[str, Any]) -> dict[str, Any]:
        function, _, _ = self.found({"FunctionName": request["FunctionName"]})
        return _alias(function, request)

    def _op_ListAliases(self, request: dict[str, Any]) -> dict[str, Any]:
        function, _, _ = self.found({"FunctionName": request["FunctionName"]})
        version = request.get("FunctionVersion")
        found = [one for one in function.aliases.values() if version in (None, one["FunctionVersion"])]
        return _page("Aliases", found, request)

    def _op_DeleteAlias(self, request: dict[str, Any]) -> dict[str, Any]:
        function, named, _ = self.found({"FunctionName": request["FunctionName"]})
        with self._lock, self._store.change(named.name, function.arn) as function:
            function.aliases.pop(request["Name"], None)
            function.policies.pop(request["Name"], None)
        return {}

    def _op_TagResource(self, request: dict[str, Any]) -> dict[str, Any]:
        function, named, _ = self.found({"FunctionName": request["Resource"]})
        with self._store.change(named.name, function.arn) as function:
            function.tags.update(request["Tags"])
        return {}

    def _op_UntagResource(self, request: dict[str, Any]) -> dict[str, Any]:
        function, named, _ = self.found({"FunctionName": request["Resource"]})
        with self._store.change(named.name, function.arn) as function:
            function.tags = {key: value for key, value in function.tags.items() if key not in request["TagKeys"]}
        return {}

    def _op_ListTags(self, request: dict[str, Any]) -> dict[str, Any]:
        function, _, _ = self.found({"FunctionName": request["Resource"]})
        return {"Tags": function.tags}

    def _publish(self, function: Function, request: Mapping[str, Any]) -> dict[str, Any]:
        """A new version, or the last one when nothing changed since."""
        latest = function.versions[LATEST]
        last = function.versions.get(str(function.published))
        if last is not None and last.get("_of") == latest["_environment"]:
            return last
        function.published += 1
        number = str(function.published)
        config = {**latest, "Version": number, "FunctionArn": f"{function.arn}:{number}", "_of": latest["_environment"]}
        if request.get("Description"):
            config["Description"] = request["Description"]
        config["RevisionId"] = config["_environment"] = _revision()
        function.versions[number] = config
        return config

    def _code(self, source: Mapping[str, Any]) -> Code:
        if "ImageUri" in source:
            raise failure(
                "InvalidParameterValueException",
                "ImageUri is not supported by the local cloud: there are no container images.",
            )
        if source.get("ZipFile"):
            return self._packages.add(source["ZipFile"])
        if not (source.get("S3Bucket") and source.get("S3Key")):
            raise failure("InvalidParameterValueException", "Please provide a source for function code.")
        if source.get("S3ObjectVersion"):
            words = "S3ObjectVersion is not supported by the local cloud: it takes the current version of the object."
            raise failure("InvalidParameterValueException", words)
        bucket, key = source["S3Bucket"], source["S3Key"]
        try:
            content = self._context.objects.read(bucket, key)
        except AwsError as fault:
            words = f"Error occurred while GetObject. S3 Error Code: {fault.code}. S3 Error Message: {fault.message}"
            raise failure("InvalidParameterValueException", words) from None
        return self._packages.add(content, uploaded=False)

    def _check_role(self, arn: str) -> None:
        if self._context.authority.principals.role(arn) is None:
            raise failure("InvalidParameterValueException", CANNOT_ASSUME)
        try:
            self._context.authority.check_trust(arn, "lambda.amazonaws.com")
        except AwsError:
            raise failure("InvalidParameterValueException", CANNOT_ASSUME) from None

    def _with_runtime(self, config: dict[str, Any]) -> None:
        program = runtime(config["Runtime"], *self._runtime)
        config["RuntimeVersionConfig"] = {"RuntimeVersionArn": program.arn(self._context.region)}

    def _clean(self) -> None:
        with self._lock:
            self._packages.keep_only(self._store.packages_in_use())


def _alias(function: Function, request: Mapping[str, Any]) -> dict[str, Any]:
    name = request["Name"]
    if name not in function.aliases:
        raise failure("ResourceNotFoundException", f"Alias not found: {function.qualified(name)}", 404)
    return function.aliases[name]


def _check_alias(function: Function, request: Mapping[str, Any]) -> None:
    if (request.get("RoutingConfig") or {}).get("AdditionalVersionWeights"):
        words = "RoutingConfig is not supported by the local cloud: an alias leads to one version."
        raise failure("InvalidParameterValueException", words)
    version = request.get("FunctionVersion")
    if version is not None and version not in function.versions:
        raise failure("ResourceNotFoundException", f"Function not found: {function.qualified(version)}", 404)


def _check_revision(config: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    if request.get("RevisionId") not in (None, config["RevisionId"]):
        words = (
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the "
            "latest Revision Id"
        )
        raise failure("PreconditionFailedException", words, 412)


def _revision() -> str:
    made: dict[str, Any] = {}
    configuration.touch(made)
    return str(made["RevisionId"])


def _page(name: str, found: list[dict[str, Any]], request: Mapping[str, Any]) -> dict[str, Any]:
    """One page; the marker is the number of the next one."""
    marker = request.get("Marker") or "0"
    start, size = int(marker) if marker.isdigit() else 0, request.get("MaxItems") or PAGE
    answer: dict[str, Any] = {name: found[start : start + size]}
    if start + size < len(found):
        answer["NextMarker"] = str(start + size)
    return answer
