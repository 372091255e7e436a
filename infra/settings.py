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

from contract.instances import InstanceTypes, an_instance_type
from contract.names import ENVIRONMENT, PROJECT, NameRefused, Names
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

    enabled: bool = True
    instance_type: str = "ml.m5.large"
    instance_count: int = 1

    def __post_init__(self) -> None:
        an_instance_type("endpoints.*.instance_type", self.instance_type)
        an_integer("endpoints.*.instance_count", self.instance_count, 1, 100)


@dataclass(frozen=True)
class Endpoints:
    """GPU multi-model endpoints exist only for the Triton container on AWS: ours is on CPU."""

    cpu: Endpoint = Endpoint()
    multi_model: Endpoint = Endpoint()
    gpu: Endpoint = Endpoint(enabled=False, instance_type="ml.g4dn.xlarge")


@dataclass(frozen=True)
class Runtimes:
    """Longest run of each kind of job, in minutes; SageMaker stops the job, and the cost, after it."""

    prepare: int = 120
    tuning: int = 720
    training: int = 360
    analysis: int = 60
    transform: int = 120
    spot_wait: int = 60

    def __post_init__(self) -> None:
        for kind, value in dataclasses.asdict(self).items():
            an_integer(f"max_runtime_minutes.{kind}", value, 1, 5 * 24 * 60)


@dataclass(frozen=True)
class Lifecycle:
    """Days until S3 removes what can be made again; registered models are never removed by a rule."""

    executions_days: int = 90
    comparisons_days: int = 365
    feature_cache_days: int = 30
    old_versions_days: int = 30
    access_logs_days: int = 90

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            an_integer(f"lifecycle.{name}", value, 1, 3650)


@dataclass(frozen=True)
class Network:
    """Subnets and security groups handed to every job and endpoint; both or neither. Darkroom makes no VPC."""

    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
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
class Logs:
    """`own_job_groups` also creates SageMaker's account-wide job log groups with this retention: only for an account
    where no SageMaker job has run yet, because CloudFormation cannot adopt groups that exist."""

    retention_days: int = 90
    own_job_groups: bool = False

    def __post_init__(self) -> None:
        if self.retention_days not in RETENTION_DAYS:
            days = ", ".join(map(str, RETENTION_DAYS))
            raise SettingError("logs.retention_days", self.retention_days, f"what CloudWatch Logs takes: {days}")


@dataclass(frozen=True)
class Settings:
    """Everything that differs between deployments."""

    project: str = PROJECT
    environment: str = ENVIRONMENT
    instances: InstanceTypes = field(default_factory=InstanceTypes)
    volume_gb: int = 50
    endpoints: Endpoints = Endpoints()
    debugger: Literal["open", "managed"] = "open"
    clarify: Literal["open", "managed"] = "open"
    approval: Literal["automatic", "manual"] = "automatic"
    spot_training: bool = False
    max_runtime_minutes: Runtimes = Runtimes()
    encryption: Literal["s3", "kms"] = "s3"
    removal: Literal["destroy", "retain"] = "destroy"
    lifecycle: Lifecycle = Lifecycle()
    logs: Logs = Logs()
    network: Network = Network()
    readable_prefixes: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            _ = self.names
        except NameRefused as error:
            raise _sentence(str(error)) from None
        an_integer("volume_gb", self.volume_gb, 1, 16384)
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
    found = []
    for name, hint in typing.get_type_hints(kind).items():
        path = f"{prefix}{name}"
        found += paths(hint, f"{path}.") if dataclasses.is_dataclass(hint) else [path]
    return found


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
    given = {
        name: _build(hints[name], value, f"{prefix}{name}.", getattr(default, name))
        if dataclasses.is_dataclass(hints[name])
        else _convert(f"{prefix}{name}", value, hints[name])
        for name, value in values.items()
    }
    return dataclasses.replace(default, **given)


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
