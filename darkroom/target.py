"""Where commands go: the local cloud (the default) or an AWS account, as clients and as an environment for other tools.

For the local cloud nothing of the user's AWS configuration is used, neither profile nor keys, by us or by the tools we
start; so no mistake reaches a real account. A shell that `darkroom env` has led to the local cloud reaches no account either:
`--target aws` is refused there.
"""

import os
import shutil
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from contract.names import ENDPOINT, ENVIRONMENT, PROJECT, NameRefused, Names
from darkroom import local, stacks
from darkroom.failure import DarkroomError
from darkroom.home import Home
from local_cloud import process

# The folder that `make install` filled: it has the CDK app and the CDK CLI.
INSTALLATION = Path(__file__).parents[1]
# Set by `darkroom env`: the AWS variables of this shell mean the local cloud of this home.
SHELL_MARK = "DARKROOM_LOCAL_SHELL"
# Variables that lead an AWS tool, the CDK or a SageMaker library anywhere begin so. There is no list of single names: it would lack one.
LEADING_PREFIXES = ("AWS_", "CDK_", "SAGEMAKER_")


@dataclass
class Target:
    """One deployment: kind `local` or `aws`, and the project and environment that name its parts.

    `named` says which of the two words somebody gave. One that nobody gave is the default, unless AWS knows no such
    deployment and one other: then that one is meant.
    """

    kind: str
    home: Home
    environment: str = ENVIRONMENT
    project: str = PROJECT
    profile: str | None = None
    region: str | None = None
    named: frozenset[str] = frozenset()
    found: Names | None = None  # the deployment that was meant, where it is not the default
    _clients: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.is_local and (self.profile or self.region):
            raise DarkroomError(
                "--profile and --region belong to --target aws; the local cloud uses neither.", "Add --target aws."
            )
        if not self.is_local and os.environ.get(SHELL_MARK):
            raise DarkroomError(
                f"This shell took up `darkroom env`: its AWS variables mean the local cloud of {os.environ[SHELL_MARK]}, "
                "not an AWS account.",
                "Use --target aws in a new shell.",
            )

    @property
    def declared(self) -> Names:
        """The deployment that options, variables and cdk.json name, whether it stands or not."""
        try:
            return Names(self.project, self.environment)
        except NameRefused as error:
            raise DarkroomError(str(error), "See --project and --environment.") from None

    @cached_property
    def names(self) -> Names:
        """The deployment that is meant. Whatever was not named is asked for."""
        declared = self.declared
        if {"project", "environment"} <= self.named or self._parameters(declared):
            return declared
        others = stacks.deployments(stacks.standing(self))
        matching = [
            names for names in others if all(getattr(names, word) == getattr(self, word) for word in self.named)
        ]
        if declared in others or not matching:
            return declared
        if len(matching) > 1:
            raise DarkroomError(
                f"The default deployment ({declared}) is not there; these are: {'; '.join(map(str, matching))}.",
                "Say which: --project NAME --environment NAME.",
            )
        self.found = matching[0]
        return self.found

    @property
    def key(self) -> str:
        """Names what is kept on disk for this deployment at this place only."""
        return f"{self.kind}-{self.account}-{self.region_name}-{self.declared.prefix}"

    def called(self, names: Names) -> "Target":
        """The same place, another deployment."""
        both = frozenset({"project", "environment"})
        return replace(self, project=names.project, environment=names.environment, named=both, found=None)

    def say(self, command: str) -> str:
        """A command line to copy that means this target."""
        words = [] if self.is_local else ["--target aws"]
        for word, default in (("project", PROJECT), ("environment", ENVIRONMENT)):
            value = getattr(self.found or self, word)
            if value != default:
                words.append(f"--{word} {value}")
        return " ".join(["darkroom", command, *words])

    @property
    def is_local(self) -> bool:
        return self.kind == "local"

    @property
    def place(self) -> str:
        """For questions."""
        return (
            f"the local cloud of {self.home.path}"
            if self.is_local
            else f"AWS account {self.account}, region {self.region_name}"
        )

    @cached_property
    def cloud(self) -> local.LivingCloud:
        return local.require(self.home)

    @cached_property
    def _session(self) -> Any:
        import boto3
        from botocore.exceptions import BotoCoreError

        if self.is_local:
            # A profile named in the user's environment would be looked up even where keys are given.
            for name in leading(os.environ):
                del os.environ[name]
            os.environ.update(isolation(self.home))
            cloud = self.cloud
            return boto3.Session(cloud.access_key_id, cloud.secret_access_key, region_name=cloud.region)
        try:
            # boto3 does not read AWS_REGION, which the AWS CLI and the CDK prefer.
            return boto3.Session(
                profile_name=self.profile, region_name=self.region or os.environ.get("AWS_REGION") or None
            )
        except BotoCoreError as error:
            raise DarkroomError(
                f"AWS cannot be used: {error}.", "Name a profile: --profile NAME, or set AWS_PROFILE."
            ) from None

    def client(self, service: str) -> Any:
        """The boto3 client for a service, made once."""
        if service not in self._clients:
            from botocore.config import Config

            # A prediction may take a minute on a cold model; a lost local cloud should be noticed soon.
            settings: dict[str, Any] = {"config": Config(retries={"mode": "standard"}, user_agent_extra="darkroom")}
            if self.is_local:
                settings["endpoint_url"] = self.cloud.endpoint
            else:
                settings["region_name"] = self.region_name
            self._clients[service] = self._session.client(service, **settings)
        return self._clients[service]

    @property
    def region_name(self) -> str:
        if not self._session.region_name:
            raise DarkroomError("No AWS region is set.", "Give --region, or set AWS_REGION.")
        return self._session.region_name

    @cached_property
    def account(self) -> str:
        return self.cloud.account_id if self.is_local else self.client("sts").get_caller_identity()["Account"]

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The deployment's SSM parameters by their short names; empty before the first deploy."""
        return self._parameters(self.names)

    def _parameters(self, names: Names) -> dict[str, str]:
        prefix = names.parameters
        pages = self.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=prefix, Recursive=True)
        return {item["Name"].removeprefix(prefix): item["Value"] for page in pages for item in page["Parameters"]}

    def forget_parameters(self) -> None:
        """Read the parameters again at the next use."""
        self.__dict__.pop("parameters", None)

    def parameter(self, name: str) -> str:
        """One SSM parameter, or an error that says what is missing."""
        if name not in self.parameters:
            if name.endswith(ENDPOINT) and self.parameters:
                raise DarkroomError(
                    f"There is no endpoint {name.removesuffix('-endpoint')!r}: endpoints exist once a model has been approved.",
                    f"Train one: {self.say('run --data FOLDER')}. "
                    f"Endpoints switched on: {self.parameters.get('endpoints', 'none')}.",
                )
            raise DarkroomError(
                f"Darkroom is not deployed here ({self.kind}, {self.names}): "
                f"there is no SSM parameter {self.names.parameter(name)}.{self._others()}",
                f"Deploy it: {self.say('deploy')}",
            )
        return self.parameters[name]

    def _others(self) -> str:
        others = [str(names) for names in stacks.deployments(stacks.standing(self)) if names != self.names]
        return f" Deployed here: {'; '.join(others)}." if others else ""

    def tool_environment(self) -> dict[str, str]:
        """The whole environment for the CDK CLI and other tools."""
        foreign = leading(os.environ) if self.is_local else []
        kept = {name: value for name, value in os.environ.items() if name not in foreign}
        if not self.is_local:
            kept |= {"AWS_REGION": self.region_name, "AWS_DEFAULT_REGION": self.region_name}
            kept |= {"AWS_PROFILE": self.profile} if self.profile else {}
        path = {"PATH": os.pathsep.join([*tool_folders(), kept.get("PATH", os.defpath)])}
        return kept | path | (self.exports() if self.is_local else {}) | TOOL_SETTINGS

    def shell_exports(self, notebook: bool = False) -> dict[str, str]:
        """`exports`, and what stops programs that write AWS's hosts into their code: for shells, not for our own tools.

        `notebook`: with the keys of a SageMaker notebook's role instead of the account's own.
        """
        keys = process.notebook_variables(self.cloud) if notebook else {}
        return self.exports() | process.shell_variables(self.cloud, self.home.folder("aws"), os.environ) | keys

    def exports(self) -> dict[str, str]:
        """What a shell needs so that any AWS tool reaches the local cloud and nothing else."""
        cloud = self.cloud
        return {
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AWS_ACCESS_KEY_ID": cloud.access_key_id,
            "AWS_SECRET_ACCESS_KEY": cloud.secret_access_key,
            "AWS_REGION": cloud.region,
            "AWS_DEFAULT_REGION": cloud.region,
            **isolation(self.home),
            "CDK_DOCKER": str(docker_command()),
            "DARKROOM_HOME": str(self.home.path),
            "DARKROOM_ENVIRONMENTS": str(self.home.environments),
            "LOCAL_CLOUD_STATE": str(self.home.state),
            "LOCAL_CLOUD_ENVIRONMENTS": str(self.home.environments),
            SHELL_MARK: str(self.home.path),
        }


# Node 24 is newer than some jsii releases have tested; the CDK CLI must neither phone home nor ask for updates.
TOOL_SETTINGS = {
    "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
    "CDK_DISABLE_CLI_TELEMETRY": "true",
    "CDK_DISABLE_VERSION_CHECK": "1",
}
LOOPBACK = "127.0.0.1,localhost"


def leading(environment: Any) -> list[str]:
    """The variables of an environment that lead AWS tools somewhere."""
    return sorted(name for name in environment if name.upper().startswith(LEADING_PREFIXES))


def isolation(home: Home) -> dict[str, str]:
    """Empty configuration files, and no instance metadata. A proxy of the user's must not stand before the loopback port."""
    folder = home.folder("aws")
    for name in ("config", "credentials"):
        (folder / name).touch()
    direct = {
        name: ",".join(dict.fromkeys([*filter(None, os.environ.get(name, "").split(",")), *LOOPBACK.split(",")]))
        for name in ("NO_PROXY", "no_proxy")
    }
    return {
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        # StartSyncExecution and TestState would go to http://sync-127.0.0.1.
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        **direct,
    }


def tool_folders() -> list[str]:
    """Folders with python, node, cdk and aws of this installation."""
    return [str(Path(sys.executable).parent), str(INSTALLATION / "node_modules" / ".bin")]


def docker_command() -> Path:
    """The stand-in for docker, installed beside this Python."""
    command = shutil.which(local.DOCKER_COMMAND, path=str(Path(sys.executable).parent))
    if not command:
        raise DarkroomError(f"The command {local.DOCKER_COMMAND} is not installed.", "Run: make install")
    return Path(command)


def project_root() -> Path:
    """The folder of the CDK app: the working directory if it has one, else the one that Darkroom was installed from."""
    return Path.cwd() if (Path.cwd() / "cdk.json").is_file() else INSTALLATION
