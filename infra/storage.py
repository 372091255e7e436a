"""Where everything lies: data sets, what executions write, and the models that were registered.

Three buckets because they differ in what may be lost: data sets are the user's, artifacts can be made again and expire,
registered models must outlive both. No bucket empties itself (that would take a Lambda function): S3 refuses to
delete a bucket that still holds objects, which is the protection that `removal: destroy` leaves in place.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import Aws, CfnOutput, CfnParameter, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from contract.names import (
    ARTIFACTS_BUCKET,
    COMPARISONS,
    DATA_BUCKET,
    EXECUTIONS,
    FEATURE_CACHE,
    MACHINE_LOGS,
    MODELS_BUCKET,
    PROCESSING_LOGS,
    TRAINING_LOGS,
    TRANSFORM_LOGS,
    log_group_of_endpoint,
)
from infra import grants
from infra.settings import Settings

KEY_PARAMETER = "key-arn"


def key_of(stack: Stack, settings: Settings) -> str | None:
    """The key's ARN in another stack, read from its SSM parameter when that stack is deployed; None without a key of our own.

    An alias will not do: volumes and log groups take only the key itself. An export that a setting removes could not be removed.
    """
    if settings.encryption != "kms":
        return None
    return CfnParameter(
        stack, "KeyArn", type="AWS::SSM::Parameter::Value<String>", default=settings.parameter(KEY_PARAMETER)
    ).value_as_string  # fmt: skip


class StorageStack(Stack):
    """Buckets `data`, `artifacts`, `models`, their access logs and, by setting, the key that encrypts them."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(scope, id, description="Darkroom: data sets, artifacts and models", **kwargs)
        self.settings = settings
        days = settings.lifecycle
        self.removal = RemovalPolicy.RETAIN if settings.removal == "retain" else RemovalPolicy.DESTROY
        self.key = self._key() if settings.encryption == "kms" else None
        self.access_logs = self._access_logs()
        self.data = self._bucket("Data", DATA_BUCKET, versioned=True)
        self.artifacts = self._bucket(
            "Artifacts",
            ARTIFACTS_BUCKET,
            versioned=False,
            expire={
                EXECUTIONS: days.executions_days,
                COMPARISONS: days.comparisons_days,
                FEATURE_CACHE: days.feature_cache_days,
            },
        )
        self.models = self._bucket("Models", MODELS_BUCKET, versioned=True)

    def _key(self) -> kms.Key:
        """Kept whatever is removed: what it has encrypted cannot be read without it, also after the setting was changed.

        Its own policy says who uses it, so that no other stack needs its ARN: an export of what a setting can remove could not
        be removed while it is used. Others find it by an SSM parameter (`key_of`).
        """
        key = kms.Key(
            self, "Key", description=f"Darkroom {self.settings.environment}: photos, artifacts and models",
            enable_key_rotation=True, removal_policy=RemovalPolicy.RETAIN,
        )  # fmt: skip
        ours = {
            "aws:PrincipalAccount": Aws.ACCOUNT_ID,
            **{f"aws:PrincipalTag/{name}": value for name, value in self.settings.names.tags.items()},
        }
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="RolesOfThisDeployment",
                principals=[iam.AnyPrincipal()],
                actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
                resources=["*"],
                conditions={"StringEquals": ours},
            )
        )
        # SageMaker attaches encrypted volumes by grants, in the name of the role:
        # https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="VolumesOfThisDeployment",
                principals=[iam.AnyPrincipal()],
                actions=["kms:CreateGrant"],
                resources=["*"],
                conditions={"StringEquals": ours, "Bool": {"kms:GrantIsForAWSResource": "true"}},
            )
        )
        key.add_to_resource_policy(self._logs_may_encrypt())
        ssm.StringParameter(
            self, "KeyParameter", parameter_name=self.settings.parameter(KEY_PARAMETER), string_value=key.key_arn
        )
        kms.CfnAlias(self, "KeyAlias", alias_name=self.settings.names.key_alias, target_key_id=key.key_id)
        return key

    def _logs_may_encrypt(self) -> iam.PolicyStatement:
        """CloudWatch Logs uses the key itself, for the log groups of this deployment.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
        """
        groups = [f"{MACHINE_LOGS}{self.settings.prefix}-*", log_group_of_endpoint(f"{self.settings.prefix}-*")]
        if self.settings.logs.own_job_groups:
            groups += [PROCESSING_LOGS, TRAINING_LOGS, TRANSFORM_LOGS]
        return iam.PolicyStatement(
            sid="LogsOfThisDeployment",
            principals=[iam.ServicePrincipal(f"logs.{Aws.REGION}.{Aws.URL_SUFFIX}")],
            actions=["kms:Decrypt", "kms:Describe*", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
            resources=["*"],
            conditions={
                "ArnLike": {
                    "kms:EncryptionContext:aws:logs:arn": [grants.arn("logs", f"log-group:{name}") for name in groups]
                }
            },
        )

    def _access_logs(self) -> s3.Bucket:
        return s3.Bucket(
            self,
            "AccessLogs",
            # Log delivery cannot write to a bucket with a KMS default key of ours without a key policy for it:
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            removal_policy=self.removal,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(self.settings.lifecycle.access_logs_days))],
        )

    def _bucket(self, name: str, parameter: str, *, versioned: bool, expire: dict[str, int] | None = None) -> s3.Bucket:
        rules = [s3.LifecycleRule(id="unfinished-uploads", abort_incomplete_multipart_upload_after=Duration.days(3))]
        for prefix, days in (expire or {}).items():
            rules.append(s3.LifecycleRule(id=prefix.rstrip("/"), prefix=prefix, expiration=Duration.days(days)))
        if versioned:
            old = Duration.days(self.settings.lifecycle.old_versions_days)
            rules.append(s3.LifecycleRule(id="old-versions", noncurrent_version_expiration=old))
        bucket = s3.Bucket(
            self,
            name,
            encryption=s3.BucketEncryption.KMS if self.key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=self.key,
            bucket_key_enabled=True if self.key else None,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            versioned=versioned,
            removal_policy=self.removal,
            server_access_logs_bucket=self.access_logs,
            server_access_logs_prefix=f"{name.lower()}/",
            lifecycle_rules=rules,
        )
        path = self.settings.parameter(parameter)
        ssm.StringParameter(self, f"{name}BucketParameter", parameter_name=path, string_value=bucket.bucket_name)
        CfnOutput(self, f"{name}Bucket", value=bucket.bucket_name)
        return bucket
