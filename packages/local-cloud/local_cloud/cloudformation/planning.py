"""From a template and parameters to a plan, with everything refused that could only fail later."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.exceptions import ClientError

from local_cloud.cloudformation import accepted, changes, evaluate, parameters, stack_policy
from local_cloud.cloudformation.plan import Plan
from local_cloud.cloudformation.resources import WITHOUT_EFFECT, known_type, refusal
from local_cloud.cloudformation.stack import Resource, Stack, StackStore
from local_cloud.cloudformation.template import invalid, read_template
from local_cloud.context import CloudContext
from local_cloud.errors import AwsError
from local_cloud.services import COVERAGE_PAGE

VIRTUAL_HOST = re.compile(r"(?P<bucket>.+)\.s3[.-].*")
S3_HOST = re.compile(r"(.+\.)?s3[.-].+|127\.0\.0\.1|localhost(\..+)?")
DELETION_POLICIES = ("Delete", "Retain", "RetainExceptOnCreate")
REPLACE_POLICIES = ("Delete", "Retain")


class Planner:
    """Makes plans for the stacks of one store."""

    def __init__(self, context: CloudContext, store: StackStore, clients: Callable[[str], Any]):
        self._context = context
        self._store = store
        self._clients = clients

    def stack_policy(self, request: dict[str, Any], name: str = "StackPolicy") -> str | None:
        """The stack policy of a request, given or in S3; None when it has none."""
        body, address = request.get(f"{name}Body"), request.get(f"{name}URL")
        if body is not None and address is not None:
            raise invalid(f"You cannot specify both {name}URL and {name}Body")
        text = self._from_s3(address) if address is not None else body
        return None if text is None else stack_policy.checked(text)

    def check_role(self, arn: str | None) -> None:
        """The service role must exist; what it may do is not checked."""
        try:
            if arn:
                self._clients("iam").get_role(RoleName=arn.rpartition("/")[2])
        except ClientError:
            raise invalid(f"Role {arn} is invalid or cannot be assumed") from None

    def template_text(self, request: dict[str, Any], stack: Stack | None) -> str:
        """The template of a request: given, in S3, or the stack's own."""
        if request.get("UsePreviousTemplate") and stack is not None:
            return stack.template
        if request.get("TemplateBody"):
            return request["TemplateBody"]
        if request.get("TemplateURL"):
            return self._from_s3(request["TemplateURL"])
        raise invalid("Either Template URL or Template Body must be specified.")

    def plan(
        self, stack: Stack, text: str, request: dict[str, Any], seen: dict[str, Any] | None = None
    ) -> tuple[Plan, dict[str, Any], dict[str, Any]]:
        """The plan, the parameters as given, and as the template sees them: `seen` where that is known from before."""
        given, capabilities = request.get("Parameters") or [], request.get("Capabilities") or []
        resource_types = request.get("ResourceTypes")
        template = read_template(text)
        evaluate.check_functions(template)
        chosen, now = parameters.resolve(template.get("Parameters", {}), given, stack.parameters, self._ssm)
        seen = now if seen is None else seen
        imports: set[str] = set()
        evaluator = self._evaluator(stack, template, seen, imports)
        evaluator.check_rules()
        active = {
            name: resource
            for name, resource in template["Resources"].items()
            if evaluator.condition(resource.get("Condition"))
        }
        accepted.check_resource_types(resource_types, {resource["Type"] for resource in active.values()})
        self._check_types(active)
        self._check_capabilities(active, capabilities)
        for name, resource in active.items():
            depends = resource.get("DependsOn", [])
            for needed in [depends] if isinstance(depends, str) else depends:
                if needed not in template["Resources"]:
                    raise invalid(f"Template format error: Unresolved resource dependencies [{needed}] in {name}")
        evaluate.creation_order(active)
        policies = {name: _policies(name, resource, evaluator) for name, resource in active.items()}
        return Plan(template, active, evaluator, policies, imports), chosen, seen

    def _evaluator(
        self, stack: Stack, template: dict[str, Any], seen: dict[str, Any], imports: set[str]
    ) -> evaluate.Evaluator:
        pseudo = {
            "AWS::AccountId": self._context.account_id,
            "AWS::Region": self._context.region,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": stack.name,
            "AWS::StackId": stack.id,
            "AWS::NotificationARNs": stack.notifications,
        }

        def physical(name: str) -> str:
            resource = self._store.resources[stack.id].get(name)
            if resource is None:
                raise invalid(f"Template error: the resource {name} does not exist (its condition may be false)")
            return resource.physical_id

        def attribute(name: str, key: str) -> Any:
            resource = self._store.resources[stack.id].get(name)
            if resource is None:
                raise invalid(f"Template error: the resource {name} does not exist (its condition may be false)")
            return _attribute(resource, key)

        def imported(name: str) -> str:
            value, _owner = self._store.exports().get(name, (None, None))
            if value is None:
                raise invalid(f"No export named {name} found.")
            imports.add(name)
            return value

        return evaluate.Evaluator(template, seen, pseudo, physical, attribute, imported, self._dynamic)

    def compared(self, stack: Stack, plan: Plan, seen: dict[str, Any]) -> changes.Comparison:
        """The stack as it is against a plan."""
        before = read_template(stack.template) if stack.template else {"Resources": {}}
        existing = self._store.resources[stack.id]
        fresh: set[str] = set()

        def viewed(template: dict[str, Any], values: dict[str, Any], known: Callable[[str], bool], secret: bool) -> Any:
            def resource(name: str) -> Resource:
                if not known(name):
                    raise evaluate.Unknown(name)
                return existing[name]

            made = self._evaluator(stack, template, _masked(template, values) if secret else values, set())
            made.look_up(
                physical=lambda name: resource(name).physical_id,
                attribute=lambda name, key: _attribute(resource(name), key),
                dynamic=(lambda kind, reference: f"{{{{resolve:{kind}:{reference}}}}}") if secret else None,
            )
            return made

        def kept(name: str) -> bool:
            return name in existing and name not in fresh

        views = changes.Views(
            after=viewed(plan.template, seen, kept, False), after_shown=viewed(plan.template, seen, kept, True),
            before_shown=viewed(before, stack.resolved, existing.__contains__, True),
            removed_shown=viewed(before, stack.resolved, lambda name: False, True), fresh=fresh,
        )  # fmt: skip
        altered = {name for name, value in seen.items() if name in stack.resolved and stack.resolved[name] != value}
        return changes.Comparison(plan, before, existing, altered, views)

    def _check_types(self, active: dict[str, Any]) -> None:
        faults = []
        for name, resource in active.items():
            kind = resource["Type"]
            if kind in WITHOUT_EFFECT:
                continue
            known = known_type(kind)
            if known is None:
                faults.append(f"{name} ({kind}): {refusal(kind)}")
                continue
            fault = known.fault(resource.get("Properties", {}))
            if fault:
                faults.append(f"{name} ({kind}): {fault}")
        if faults:
            raise invalid(f"The local cloud cannot deploy this template. {'; '.join(faults)}. See {COVERAGE_PAGE}.")

    @staticmethod
    def _check_capabilities(active: dict[str, Any], capabilities: list[str]) -> None:
        identities = [r for r in active.values() if r["Type"].startswith("AWS::IAM::")]
        kinds = [(known_type(r["Type"]), r.get("Properties", {})) for r in identities]
        named = any(kind.name_property in given for kind, given in kinds if kind is not None and kind.name_property)
        if named and "CAPABILITY_NAMED_IAM" not in capabilities:
            raise AwsError("InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_NAMED_IAM]")
        if identities and not {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"} & set(capabilities):
            raise AwsError("InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_IAM]")

    def _ssm(self, name: str) -> str:
        try:
            return self._clients("ssm").get_parameter(Name=name, WithDecryption=False)["Parameter"]["Value"]
        except ClientError:
            raise invalid(f"Unable to fetch parameters [{name}] from parameter store for this account.") from None

    def _dynamic(self, kind: str, reference: str) -> str:
        try:
            if kind.startswith("ssm"):
                answer = self._clients("ssm").get_parameter(Name=reference, WithDecryption=kind == "ssm-secure")
                return answer["Parameter"]["Value"]
            parts = reference.split(":")
            arn = ":".join(parts[:7]) if reference.startswith("arn:") else parts[0]
            text = self._clients("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
            rest = parts[7:] if reference.startswith("arn:") else parts[1:]
            if len(rest) > 1 and rest[1]:
                return json.loads(text)[rest[1]]
            return text
        except (ClientError, KeyError, ValueError) as fault:
            raise invalid(
                f"The dynamic reference {{{{resolve:{kind}:{reference}}}}} cannot be resolved: {fault}"
            ) from fault

    def _from_s3(self, address: str) -> str:
        url = urlsplit(address)
        if url.scheme == "s3":
            raise invalid(f"S3 error: Domain name specified in {url.hostname} is not a valid S3 domain")
        if url.scheme not in ("http", "https") or not S3_HOST.fullmatch(url.hostname or ""):
            raise invalid("TemplateURL must be a supported URL.")
        host = VIRTUAL_HOST.fullmatch(url.hostname or "")
        path = unquote(url.path).lstrip("/")
        bucket, key = (host["bucket"], path) if host else path.partition("/")[::2]
        try:
            return self._context.objects.read(bucket, key).decode()
        except AwsError as fault:
            raise invalid(f"S3 error: {fault.message} (TemplateURL {address})") from fault


def _attribute(resource: Resource, key: str) -> Any:
    """What Fn::GetAtt gives: what the type returns, else a property of that name, as AWS's engine does."""
    if key in resource.attributes:
        return resource.attributes[key]
    value: Any = resource.properties
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            name = resource.logical_id
            raise invalid(f"Template error: resource {name} does not support attribute type {key} in Fn::GetAtt")
        value = value[part]
    return value


def _masked(template: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Parameters as a change set may show them."""
    return parameters.masked(template.get("Parameters", {}), values)


def _policies(name: str, resource: dict[str, Any], evaluator: evaluate.Evaluator) -> tuple[str, str]:
    """Functions are allowed where they need no resource; a value that is none of AWS's must not come to mean Delete.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/function-refs-in-policy-attributes.html
    """
    found = []
    for field, allowed in (("DeletionPolicy", DELETION_POLICIES), ("UpdateReplacePolicy", REPLACE_POLICIES)):
        try:
            value = evaluator.value(resource.get(field, "Delete"))
        except evaluate.Unknown:
            value = resource[field]
        if value == "Snapshot":
            raise invalid(
                f"The local cloud makes no snapshots ({field} of {name}): no type that it has can be kept so."
            )
        if value not in allowed:
            raise invalid(f"Template format error: {field} of {name} is {value!r}; allowed: {', '.join(allowed)}")
        found.append(value)
    return found[0], found[1]
