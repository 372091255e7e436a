"""What the local cloud's parts may know of each other: one object, handed to every service when it is made.

Nothing here reaches outside the process. A service that needs S3, logs, metrics or images uses these seams, not HTTP:
a job that reads thousands of photos must not pay for thousands of requests.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_cloud.access.authority import Authority
from local_cloud.clock import Clock
from local_cloud.errors import AwsError
from local_cloud.logs import Logs
from local_cloud.metrics import Metrics
from local_cloud.objects import Objects

if TYPE_CHECKING:
    from local_cloud.docker.store import ImageStore

JOB_CREDENTIALS_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class CloudContext:
    """The cloud as its services see it; `endpoint` is the base URL of every API of this cloud."""

    state_dir: Path
    region: str
    account_id: str
    endpoint: str
    objects: Objects
    logs: Logs
    metrics: Metrics
    images: ImageStore
    clock: Clock
    authority: Authority
    # Tells EventBridge: source, detail type, detail, ARNs concerned.
    emit: Callable[[str, str, dict[str, Any], list[str]], None]

    def job_environment(self, role_arn: str) -> dict[str, str]:
        """What AWS gives a job: region and credentials of its role; here also where the cloud is, and nothing else.

        Raises ValidationException when the role does not exist, as SageMaker does.
        """
        return self.role_variables(role_arn, "sagemaker.amazonaws.com", f"SageMaker-{uuid.uuid4().hex[:12]}")

    def role_variables(self, role_arn: str, service: str, session: str) -> dict[str, str]:
        """Region and credentials of a role that a service assumes for what it runs, and where the cloud is."""
        role = self._role(role_arn, service)
        self.authority.check_trust(role.arn, service)
        credentials = self._assume(role.arn, session)
        return {
            "AWS_REGION": self.region,
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
            "AWS_SESSION_TOKEN": credentials.session_token,
            "AWS_ENDPOINT_URL": self.endpoint,
            # A job must not find the user's own profiles: they may lead to a real account.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            # There is no host sync-127.0.0.1 (StartSyncExecution).
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        }

    def _role(self, role_arn: str, service: str) -> Any:
        from moto.iam.models import iam_backends

        roles = iam_backends[self.account_id]["aws"].roles.values()
        for role in roles:
            if role.arn == role_arn:
                return role
        raise AwsError(
            "ValidationException",
            f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
            f"'{service}' to assume the role.",
        )

    def _assume(self, role_arn: str, session: str) -> Any:
        from moto.sts.models import sts_backends

        sts: Any = sts_backends[self.account_id]["aws"]
        return sts.assume_role(
            region_name=self.region,
            role_session_name=session,
            role_arn=role_arn,
            policy=None,
            duration=JOB_CREDENTIALS_SECONDS,
            external_id=None,
        )
