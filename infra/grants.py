"""Policy statements in Darkroom's own terms, so that a role reads as a list of what its job does.

Every statement names its resources. The few that AWS only accepts with "*" say why, and carry a condition where
one exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_cdk import Aws, Stack
from aws_cdk import aws_ecr_assets as assets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.settings import Settings

METRIC_NAMESPACES = ("/aws/sagemaker/*", "Darkroom/*")


def arn(service: str, resource: str, *, region: str = Aws.REGION, account: str = Aws.ACCOUNT_ID) -> str:
    return f"arn:{Aws.PARTITION}:{service}:{region}:{account}:{resource}"


def company_rules(scope: Construct, id: str, settings: Settings) -> dict[str, Any]:
    """What `roles` in the settings asks of each role: path, name and boundary, as a role's constructor takes them."""
    roles = settings.roles
    rules: dict[str, Any] = {} if roles.path == "/" else {"path": roles.path}
    if roles.name_prefix:
        name = f"{id}Role" if not id.endswith("Role") else id
        rules["role_name"] = (
            f"{roles.name_prefix}{settings.prefix}-{Stack.of(scope).stack_name.rpartition('-')[2]}-{name}"
        )
    if roles.permissions_boundary:
        bound = roles.permissions_boundary
        find = (
            iam.ManagedPolicy.from_managed_policy_arn
            if bound.startswith("arn:")
            else iam.ManagedPolicy.from_managed_policy_name
        )
        rules["permissions_boundary"] = find(scope, f"{id}Boundary", bound)
    return rules


def reads(bucket: s3.IBucket, *prefixes: str) -> list[iam.PolicyStatement]:
    """Get and list objects below these prefixes (which may hold `*`), nothing else of the bucket."""
    return [
        iam.PolicyStatement(
            actions=["s3:GetObject"], resources=[bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes]
        ),
        iam.PolicyStatement(
            actions=["s3:ListBucket"],
            resources=[bucket.bucket_arn],
            conditions={"StringLike": {"s3:prefix": listings(prefixes)}},
        ),
    ]


def listings(prefixes: Sequence[str]) -> list[str]:
    """What `s3:prefix` may say: a folder, what is below it, and the folder without its last slash, as some of SageMaker's tools ask."""
    whole = [prefix.removesuffix("/") for prefix in prefixes if prefix.endswith("/")]
    return [*(f"{prefix}*" for prefix in prefixes), *whole]


def writes(bucket: s3.IBucket, *prefixes: str) -> list[iam.PolicyStatement]:
    """Put objects below these prefixes; no delete."""
    return [
        iam.PolicyStatement(
            actions=["s3:PutObject", "s3:AbortMultipartUpload"],
            resources=[bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes],
        )
    ]


def reads_uri(uri: str) -> list[iam.PolicyStatement]:
    """As `reads`, for an S3 URI of a bucket that is not ours."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    bucket_arn = f"arn:{Aws.PARTITION}:s3:::{bucket}"
    return [
        iam.PolicyStatement(actions=["s3:GetObject"], resources=[f"{bucket_arn}/{prefix}*"]),
        iam.PolicyStatement(
            actions=["s3:ListBucket"], resources=[bucket_arn],
            conditions={"StringLike": {"s3:prefix": listings([prefix])}},
        ),
    ]  # fmt: skip


def pulls(*images: assets.DockerImageAsset, repositories: tuple[str, ...] = ()) -> list[iam.PolicyStatement]:
    """Pull images. CDK keeps every image asset in one repository and ECR knows no narrower resource than that."""
    names = list(dict.fromkeys([*(image.repository.repository_arn for image in images), *repositories]))
    return [
        iam.PolicyStatement(
            actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            resources=names,
        ),
        # This action has no resource: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
        iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]),
    ]


def logs_to(group: str, streams: str, *, creates: bool = True) -> list[iam.PolicyStatement]:
    """Write log streams of this name in one of SageMaker's log groups, which SageMaker creates on first use unless we have."""
    on_group = ["logs:DescribeLogStreams", *(["logs:CreateLogGroup"] if creates else [])]
    return [
        iam.PolicyStatement(actions=sorted(on_group), resources=[arn("logs", f"log-group:{group}")]),
        iam.PolicyStatement(
            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
            resources=[arn("logs", f"log-group:{group}:log-stream:{streams}")],
        ),
    ]


def puts_metrics() -> list[iam.PolicyStatement]:
    """CloudWatch metrics have no resource; the namespace is the boundary."""
    return [
        iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringLike": {"cloudwatch:namespace": list(METRIC_NAMESPACES)}},
        )
    ]


def uses_network(subnets: tuple[str, ...], security_groups: tuple[str, ...]) -> list[iam.PolicyStatement]:
    """Attach jobs to the given subnets; nothing when there are none.

    https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
    """
    if not subnets:
        return []
    interfaces = [arn("ec2", "network-interface/*")]
    return [
        iam.PolicyStatement(
            actions=["ec2:CreateNetworkInterface"],
            resources=[
                *interfaces,
                # A subnet that another account shares has that account in its ARN; its id is nobody else's.
                *(arn("ec2", f"subnet/{name}", account="*") for name in subnets),
                *(arn("ec2", f"security-group/{name}") for name in security_groups),
            ],
        ),
        iam.PolicyStatement(
            actions=[
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
            ],
            resources=interfaces,
        ),
        # EC2's describe actions have no resource.
        iam.PolicyStatement(
            actions=[
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ],
            resources=["*"],
        ),
    ]
