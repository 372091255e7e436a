"""Where commands go: the local cloud (the default) or an AWS account, as clients and as an environment for other tools.

For the local cloud nothing of the user's AWS configuration is used, neither profile nor keys, by us or by the tools we
start; so no mistake reaches a real account.
"""

import os
import shutil
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from contract.names import ENVIRONMENT, PROJECT, NameRefused, Names
from darkroom import local
from darkroom.failure import DarkroomError
from darkroom.home import Home

# The folder that `make install` filled: it has the CDK app and the CDK CLI.
INSTALLATION = Path(__file__).parents[1]


@dataclass
class Target:
    """One deployment: kind `local` or `aws`, and the environment whose SSM parameters name its parts."""

    kind: str
    home: Home
    environment: str = ENVIRONMENT
    project: str = PROJECT
    profile: str | None = None
    region: str | None = None
    _clients: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def names(self) -> Names:
        """The names of the parts of this deployment."""
        try:
            return Names(self.project, self.environment)
        except NameRefused as error:
            raise DarkroomError(str(error), "See --project and --environment.") from None

    @property
    def is_local(self) -> bool:
        return self.kind == "local"

    @cached_property
    def cloud(self) -> local.LocalCloud:
        return local.require(self.home)

    @cached_property
    def _session(self) -> Any:
        import boto3
        from botocore.exceptions import BotoCoreError

        if self.is_local:
            # A profile named in the user's environment would be looked up even where keys are given.
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                del os.environ[name]
            os.environ.update(isolation(self.home))
            cloud = self.cloud
            return boto3.Session(cloud.access_key_id, cloud.secret_access_key, region_name=cloud.region)
        try:
            return boto3.Session(profile_name=self.profile, region_name=self.region)
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
        prefix = self.names.parameters
        pages = self.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=prefix, Recursive=True)
        return {item["Name"].removeprefix(prefix): item["Value"] for page in pages for item in page["Parameters"]}

    def forget_parameters(self) -> None:
        """Read the parameters again at the next use."""
        self.__dict__.pop("parameters", None)

    def parameter(self, name: str) -> str:
        """One SSM parameter, or an error that says what is missing."""
        if name not in self.parameters:
            if name.endswith("-endpoint") and self.parameters:
                raise DarkroomError(
                    f"There is no endpoint {name.removesuffix('-endpoint')!r}: endpoints exist once a model has been approved.",
                    f"Train one: darkroom run --data FOLDER. Endpoints switched on: {self.parameters.get('endpoints', 'none')}.",
                )
            raise DarkroomError(
                f"Darkroom is not deployed here ({self.kind}, environment {self.environment}): "
                f"there is no SSM parameter {self.names.parameter(name)}.",
                "Deploy it: darkroom deploy" + ("" if self.is_local else " --target aws"),
            )
        return self.parameters[name]

    def tool_environment(self) -> dict[str, str]:
        """The whole environment for the CDK CLI and other tools."""
        kept = {name: value for name, value in os.environ.items() if not self.is_local or not name.startswith("AWS_")}
        if not self.is_local:
            chosen = {"AWS_PROFILE": self.profile, "AWS_REGION": self.region}
            kept |= {name: value for name, value in chosen.items() if value}
        path = {"PATH": os.pathsep.join([*tool_folders(), kept.get("PATH", os.defpath)])}
        return kept | path | (self.exports() if self.is_local else {}) | TOOL_SETTINGS

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
            "DARKROOM_STATE": str(self.home.state),
            "DARKROOM_ENVIRONMENTS": str(self.home.environments),
        }


# Node 24 is newer than some jsii releases have tested; the CDK CLI must neither phone home nor ask for updates.
TOOL_SETTINGS = {
    "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
    "CDK_DISABLE_CLI_TELEMETRY": "true",
    "CDK_DISABLE_VERSION_CHECK": "1",
}
# Variables of the user's shell that would lead AWS tools elsewhere.
FOREIGN = (
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)  # fmt: skip


def isolation(home: Home) -> dict[str, str]:
    """Empty configuration files, and no instance metadata."""
    folder = home.folder("aws")
    for name in ("config", "credentials"):
        (folder / name).touch()
    return {
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def tool_folders() -> list[str]:
    """Folders with python, node, cdk and aws of this installation."""
    return [str(Path(sys.executable).parent), str(INSTALLATION / "node_modules" / ".bin")]


def docker_command() -> Path:
    """The stand-in for docker, installed beside this Python."""
    found = shutil.which("darkroom-docker", path=str(Path(sys.executable).parent))
    if not found:
        raise DarkroomError("The command darkroom-docker is not installed.", "Run: make install")
    return Path(found)


def project_root() -> Path:
    """The folder of the CDK app: the working directory if it has one, else the one that Darkroom was installed from."""
    return Path.cwd() if (Path.cwd() / "cdk.json").is_file() else INSTALLATION
