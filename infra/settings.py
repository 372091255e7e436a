"""What a deployment may choose, typed, validated and read once: `darkroom` in cdk.json, then `-c key=value`.

`-c` names a field by its path (`-c endpoints.gpu.enabled=true`); lists are separated by commas. A key that is not a
setting is refused by name, so that a typing error never deploys the default in silence. docs/infrastructure.md
documents every field; a test holds the two together.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from contract.instances import InstanceTypes, instance_type
from contract.names import ENVIRONMENT, PROJECT, WORD, NameRefused, Names
from contract.rule import boolean, check_fields, choice, form, integer, other
from contract.validation import InvalidField, a_boolean, a_choice, an_integer, did_you_mean

# No wildcard: the prefix becomes part of a policy, where `*` would let in more than it says.
S3_PREFIX = re.compile(r"s3://(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^*?$]*")
# What AWS gives out: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
ID = "(?:[0-9a-f]{8}|[0-9a-f]{17})"
SUBNET, SECURITY_GROUP = re.compile(f"subnet-{ID}"), re.compile(f"sg-{ID}")
# What all services take: https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
TAG_KEY, TAG_VALUE = (re.compile(rf"[\w .:/=+\-@]{{{least},{most}}}") for least, most in ((1, 128), (0, 256)))
MOST_TAGS = 40  # of 50: AWS and Darkroom add their own
RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653)
LONGEST_RUN = 5 * 24 * 60  # minutes
A_LIST: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
A_WORD = {"type": "string", "pattern": f"^{WORD.pattern}$"}
# Context that the CDK CLI or CDK users may put beside ours; all else without a colon or slash is a typing error.
FOREIGN_CONTEXT = ("cli-telemetry", "acknowledged-issue-numbers")


class SettingError(InvalidField):
    """A setting that cannot be used: says which, the value received and what is allowed."""


def _matches(path: str, value: str, pattern: re.Pattern[str], allowed: str) -> None:
    if not pattern.fullmatch(value):
        raise SettingError(path, value, allowed)


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: whether it exists once a model is approved, and on what."""

    enabled: bool = boolean(True, "whether it exists once a model is approved")
    instance_type: str = instance_type("ml.m5.large", "its machine")
    instance_count: int = integer(1, 1, 100, "how many of them")

    def __post_init__(self) -> None:
        check_fields(self, "endpoints.*")


@dataclass(frozen=True)
class Endpoints:
    """GPU multi-model endpoints exist only for the Triton container on AWS: ours is on CPU."""

    cpu: Endpoint = Endpoint()
    multi_model: Endpoint = Endpoint()
    gpu: Endpoint = Endpoint(enabled=False, instance_type="ml.g4dn.xlarge")


@dataclass(frozen=True)
class Runtimes:
    """Longest run of each kind of job, in minutes; SageMaker stops the job, and the cost, after it."""

    prepare: int = integer(
        120, 1, LONGEST_RUN, "preparing data; after these minutes SageMaker stops a job, and its cost"
    )
    tuning: int = integer(720, 1, LONGEST_RUN, "all trials together")
    training: int = integer(360, 1, LONGEST_RUN, "one training")
    analysis: int = integer(60, 1, LONGEST_RUN, "each of health, explanations, evaluation, bias, report")
    transform: int = integer(120, 1, LONGEST_RUN, "batch transform")
    spot_wait: int = integer(
        60, 1, LONGEST_RUN, "how long a training may wait for spot instances on top of its own time"
    )

    def __post_init__(self) -> None:
        check_fields(self, "max_runtime_minutes")


@dataclass(frozen=True)
class Lifecycle:
    """Days until S3 removes what can be made again; registered models are never removed by a rule."""

    executions_days: int = integer(
        90, 1, 3650, "days until what executions wrote is removed; registered models are copied out before"
    )
    comparisons_days: int = integer(
        365,
        1,
        3650,
        "days until results of comparisons are removed; they outlive executions, so that the next comparison can use them",
    )
    feature_cache_days: int = integer(30, 1, 3650, "days until cached features are removed")
    old_versions_days: int = integer(30, 1, 3650, "days until overwritten versions of data sets and models are removed")
    access_logs_days: int = integer(90, 1, 3650, "days until access logs are removed")

    def __post_init__(self) -> None:
        check_fields(self, "lifecycle")


@dataclass(frozen=True)
class Network:
    """Subnets and security groups handed to every job and endpoint; both or neither. Darkroom makes no VPC."""

    subnets: tuple[str, ...] = other(
        (), "subnet ids", "jobs and endpoints run in these; with network.security_groups or not at all", A_LIST
    )
    security_groups: tuple[str, ...] = other(
        (),
        "security group ids",
        "as above; S3, ECR, CloudWatch, SageMaker and STS must be reachable from there",
        A_LIST,
    )

    isolation: bool = boolean(
        True, "jobs and models that only work on their files get no network and no credentials (EnableNetworkIsolation)"
    )
    encrypt_between_machines: bool = boolean(
        True,
        "machines of one job talk encrypted; in a VPC their security group must allow UDP port 500 and protocol 50 among them",
    )

    def __post_init__(self) -> None:
        check_fields(self, "network")
        if bool(self.subnets) != bool(self.security_groups):
            raise SettingError(
                "network",
                dataclasses.asdict(self),
                "subnets and security_groups together, or neither to run outside a VPC",
            )
        for name in self.subnets:
            _matches("network.subnets", name, SUBNET, "ids such as subnet-0a1b2c3d")
        for name in self.security_groups:
            _matches("network.security_groups", name, SECURITY_GROUP, "ids such as sg-0a1b2c3d")


@dataclass(frozen=True)
class Roles:
    """What a company's rules ask of every role. Path and prefix are part of a role's ARN, which other stacks import: they are chosen
    before the first deployment and stay."""

    path: str = form(
        "/",
        r"/(?:[\w+=,.@-]+/){0,5}",
        "a path such as /teams/vision/",
        "of all roles; chosen before the first deployment",
    )
    name_prefix: str = form(
        "", r"[\w+=,.@-]{0,20}", "at most 20 letters, digits and + = , . @ - _",
        "begins the names of all roles, which are CloudFormation's own otherwise; chosen before the first deployment",
    )  # fmt: skip
    permissions_boundary: str = form(
        "", r"(?:arn:[\w-]+:iam::(?:\d{12}|aws):policy/)?[\w+=,.@/-]{0,512}", "the name or ARN of a managed policy",
        "a policy that bounds what every role may do, whatever else it is allowed",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_fields(self, "roles")


@dataclass(frozen=True)
class Logs:
    """`own_job_groups` also creates SageMaker's account-wide job log groups with this retention: only for an account
    where no SageMaker job has run yet, because CloudFormation cannot adopt groups that exist."""

    retention_days: int = other(
        90, "those of CloudWatch Logs",
        "days that log groups of state machines and endpoints keep their lines; also of shadow endpoints whose job failed",
        {"enum": list(RETENTION_DAYS)},
    )  # fmt: skip
    own_job_groups: bool = boolean(
        False, "also SageMaker's three account-wide job log groups; only where no job has run yet"
    )

    def __post_init__(self) -> None:
        if self.retention_days not in RETENTION_DAYS:
            days = ", ".join(map(str, RETENTION_DAYS))
            raise SettingError("logs.retention_days", self.retention_days, f"what CloudWatch Logs takes: {days}")


@dataclass(frozen=True)
class Settings:
    """Everything that differs between deployments."""

    project: str = other(
        PROJECT, "small letters, digits", "begins all names; with environment at most 14 characters", A_WORD
    )
    environment: str = other(
        ENVIRONMENT, "small letters, digits", "several can live in one account; other than dev it is part of the stacks' names", A_WORD
    )  # fmt: skip
    instances: InstanceTypes = field(default_factory=InstanceTypes)
    volume_gb: int = integer(50, 1, 16384, "disk of each job's machine")
    endpoints: Endpoints = Endpoints()
    debugger: Literal["open", "managed"] = choice(
        ("open", "managed"),
        "managed: AWS's hook configuration, rules and profiler in the training request; closed to new AWS customers",
    )
    clarify: Literal["open", "managed"] = choice(
        ("open", "managed"), "managed: AWS's Clarify image; closed to new AWS customers"
    )
    approval: Literal["automatic", "manual"] = choice(
        ("automatic", "manual"), "manual: a model that passed the gate waits for a person and is not published"
    )
    spot_training: bool = boolean(False, "tuning and training on spot instances, resumed from checkpoints")
    max_runtime_minutes: Runtimes = Runtimes()
    encryption: Literal["s3", "kms"] = choice(
        ("s3", "kms"), "kms: a key of your own (one dollar a month) for buckets, outputs, volumes of machines and logs"
    )
    removal: Literal["destroy", "retain"] = choice(
        ("destroy", "retain"),
        "what cdk destroy does with buckets, log groups and model package group; S3 never deletes a bucket that is not empty",
    )
    lifecycle: Lifecycle = Lifecycle()
    logs: Logs = Logs()
    network: Network = Network()
    roles: Roles = Roles()
    readable_prefixes: tuple[str, ...] = other(
        (), "S3 prefixes", "photos outside Darkroom's data bucket that executions may read", A_LIST
    )
    tags: Mapping[str, str] = other(
        {}, "name=value", "on everything, beside darkroom:project and darkroom:environment",
        {"type": "object", "additionalProperties": {"type": "string", "maxLength": 256}, "maxProperties": MOST_TAGS},
    )  # fmt: skip

    def __post_init__(self) -> None:
        try:
            _ = self.names
        except NameRefused as error:
            raise _sentence(str(error)) from None
        check_fields(self, "")
        for prefix in self.readable_prefixes:
            _matches(
                "readable_prefixes", prefix, S3_PREFIX, "S3 prefixes without wildcards, such as s3://bucket/photos/"
            )
        self._check_tags()

    def _check_tags(self) -> None:
        if len(self.tags) > MOST_TAGS:
            raise SettingError("tags", f"{len(self.tags)} names", f"at most {MOST_TAGS}")
        for key, value in self.tags.items():
            if key.lower().startswith(("aws:", "darkroom:")):
                raise SettingError(f"tags.{key}", value, "names that do not begin with aws: or darkroom:")
            signs = "letters, digits, spaces and _ . : / = + - @"
            _matches("a name in tags", key, TAG_KEY, f"1 to 128 {signs}")
            _matches(f"tags.{key}", value, TAG_VALUE, f"at most 256 {signs}")

    @property
    def names(self) -> Names:
        """All names that the command line, too, must know."""
        return Names(self.project, self.environment)

    @property
    def prefix(self) -> str:
        """Begins the name of every job, model and endpoint of this environment."""
        return self.names.prefix

    @property
    def all_tags(self) -> dict[str, str]:
        return {**self.names.tags, **self.tags}

    def parameter(self, name: str) -> str:
        """The SSM parameter of this name in this environment."""
        return self.names.parameter(name)


def read(context: Mapping[str, Any]) -> Settings:
    """Settings from a CDK context: the mapping `darkroom`, overridden by single keys. Raises SettingError."""
    values = context.get("darkroom", {})
    if not isinstance(values, Mapping):
        raise SettingError("context 'darkroom'", values, "an object, as in cdk.json")
    merged = _unfold(values)
    for key, value in context.items():
        if key == "darkroom" or any(mark in key for mark in ":/@") or key in FOREIGN_CONTEXT:
            continue
        if key not in paths():
            raise _unknown(key)
        _assign(merged, key, value)
    try:
        return _build(Settings, merged, "")
    except SettingError:
        raise
    except InvalidField as error:  # from a check that executions share
        raise _sentence(str(error)) from None


def paths(kind: Any = Settings, prefix: str = "") -> list[str]:
    """Every setting's path, as `-c` takes it: `environment`, `endpoints.gpu.enabled`, …"""
    names = []
    for name, hint in typing.get_type_hints(kind).items():
        path = f"{prefix}{name}"
        names += paths(hint, f"{path}.") if dataclasses.is_dataclass(hint) else [path]
    return names


def _sentence(text: str) -> SettingError:
    """A refusal that is a whole sentence already."""
    error = SettingError("", None, "")
    error.args = (text,)
    return error


def _unknown(key: str) -> SettingError:
    hint = did_you_mean(key, paths())
    return _sentence(f"{key!r} is not a setting. {hint + ' ' if hint else ''}Allowed: {', '.join(paths())}.")


def _unfold(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _unfold(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _assign(values: dict[str, Any], path: str, value: Any) -> None:
    *parents, leaf = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[leaf] = value


def _build(kind: type, values: Mapping[str, Any], prefix: str, default: Any = None) -> Any:
    """An instance of a settings class from a mapping; what is not given stays as in `default`."""
    if not isinstance(values, Mapping):
        raise SettingError(prefix.rstrip("."), values, f"an object with {', '.join(paths(kind))}")
    default = kind() if default is None else default
    hints = typing.get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise _unknown(f"{prefix}{name}")
    converted = {
        name: _build(hints[name], value, f"{prefix}{name}.", getattr(default, name))
        if dataclasses.is_dataclass(hints[name])
        else _convert(f"{prefix}{name}", value, hints[name])
        for name, value in values.items()
    }
    return dataclasses.replace(default, **converted)


def _convert(path: str, value: Any, hint: Any) -> Any:
    """`-c` gives text only; cdk.json gives JSON types. Both end as the field's type."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        return a_choice(path, value, typing.get_args(hint))
    if hint is bool:
        return a_boolean(path, value)
    if hint is int:
        return an_integer(path, value)
    if hint is str and isinstance(value, str):
        return value
    if origin is tuple and isinstance(value, str | list | tuple):
        items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
        if all(isinstance(item, str) for item in items):
            return tuple(items)
    if origin is not None and issubclass(origin, Mapping):
        return types.MappingProxyType(_mapping(path, value))
    allowed = "text" if hint is str else "a list of texts, on the command line separated by commas"
    raise SettingError(path, value, allowed)


def _mapping(path: str, value: Any) -> dict[str, str]:
    if isinstance(value, str):
        pairs = (pair.partition("=") for pair in value.split(",") if pair)
        value = {key: text if equals else None for key, equals, text in pairs}
    if isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values()):
        return dict(value)
    raise SettingError(path, value, f"texts by name, on the command line as {path}=name=value")
