"""IAM roles and policies, KMS keys."""

from __future__ import annotations

from typing import Any

from local_cloud.cloudformation.resources.kinds import (
    Aws,
    Made,
    Naming,
    Properties,
    ResourceType,
    as_text,
    delete_quietly,
    pick,
    register,
    tag_changes,
    true,
    whole,
)
from local_cloud.cloudformation.template import invalid


@register
class Role(ResourceType):
    """A role with its inline and managed policies."""

    type = "AWS::IAM::Role"
    name_property = "RoleName"
    required = frozenset({"AssumeRolePolicyDocument"})
    properties = frozenset({
        "RoleName", "AssumeRolePolicyDocument", "Path", "ManagedPolicyArns", "Policies", "PermissionsBoundary",
        "Description", "MaxSessionDuration", "Tags",
    })  # fmt: skip
    replacing = frozenset({"RoleName", "Path"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        iam = aws.client("iam")
        name = properties.get("RoleName") or naming.name(64)
        made = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=as_text(properties["AssumeRolePolicyDocument"]),
            **pick(properties, "Path", "Description", "PermissionsBoundary", "Tags"),
            **(
                {"MaxSessionDuration": int(properties["MaxSessionDuration"])}
                if "MaxSessionDuration" in properties
                else {}
            ),
        )["Role"]
        with whole(self, aws, name, properties):
            self._policies(iam, name, {}, properties)
        return Made(name, {"Arn": made["Arn"], "RoleId": made["RoleId"]})

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        iam = aws.client("iam")
        trust = as_text(new["AssumeRolePolicyDocument"])
        iam.update_assume_role_policy(RoleName=physical_id, PolicyDocument=trust)
        iam.update_role(
            RoleName=physical_id,
            Description=new.get("Description", ""),
            MaxSessionDuration=int(new.get("MaxSessionDuration", 3600)),
        )
        if "PermissionsBoundary" in new:
            iam.put_role_permissions_boundary(RoleName=physical_id, PermissionsBoundary=new["PermissionsBoundary"])
        elif "PermissionsBoundary" in old:
            iam.delete_role_permissions_boundary(RoleName=physical_id)
        changed, removed = tag_changes(old, new)
        if changed:
            iam.tag_role(RoleName=physical_id, Tags=changed)
        if removed:
            iam.untag_role(RoleName=physical_id, TagKeys=removed)
        self._policies(iam, physical_id, old, new)
        role = iam.get_role(RoleName=physical_id)["Role"]
        return Made(physical_id, {"Arn": role["Arn"], "RoleId": role["RoleId"]})

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        iam = aws.client("iam")
        for arn in properties.get("ManagedPolicyArns", []):
            delete_quietly(iam.detach_role_policy, RoleName=physical_id, PolicyArn=arn)
        for policy in properties.get("Policies", []):
            delete_quietly(iam.delete_role_policy, RoleName=physical_id, PolicyName=policy["PolicyName"])
        delete_quietly(iam.delete_role, RoleName=physical_id)

    @staticmethod
    def _policies(iam: Any, name: str, old: Properties, new: Properties) -> None:
        before, after = set(old.get("ManagedPolicyArns", [])), set(new.get("ManagedPolicyArns", []))
        for arn in after - before:
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)
        for arn in before - after:
            delete_quietly(iam.detach_role_policy, RoleName=name, PolicyArn=arn)
        kept = {policy["PolicyName"] for policy in new.get("Policies", [])}
        for policy in new.get("Policies", []):
            document = as_text(policy["PolicyDocument"])
            iam.put_role_policy(RoleName=name, PolicyName=policy["PolicyName"], PolicyDocument=document)
        for policy in old.get("Policies", []):
            if policy["PolicyName"] not in kept:
                delete_quietly(iam.delete_role_policy, RoleName=name, PolicyName=policy["PolicyName"])


@register
class Policy(ResourceType):
    """An inline policy put on roles, users and groups."""

    type = "AWS::IAM::Policy"
    required = frozenset({"PolicyName", "PolicyDocument"})
    properties = frozenset({"PolicyName", "PolicyDocument", "Roles", "Users", "Groups"})
    replacing = frozenset({"PolicyName"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        self._put(aws.client("iam"), {}, properties)
        return Made(naming.name(64))

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        self._put(aws.client("iam"), old, new)
        return Made(physical_id)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        self._put(aws.client("iam"), properties, {"PolicyName": properties["PolicyName"]})

    @staticmethod
    def _put(iam: Any, old: Properties, new: Properties) -> None:
        for plural, kind in (("Roles", "role"), ("Users", "user"), ("Groups", "group")):
            parameter = f"{kind.title()}Name"
            for name in new.get(plural, []):
                document = as_text(new["PolicyDocument"])
                put = getattr(iam, f"put_{kind}_policy")
                put(**{parameter: name}, PolicyName=new["PolicyName"], PolicyDocument=document)
            for name in set(old.get(plural, [])) - set(new.get(plural, [])):
                delete_quietly(getattr(iam, f"delete_{kind}_policy"), **{parameter: name}, PolicyName=old["PolicyName"])


@register
class ManagedPolicy(ResourceType):
    """A customer-managed policy."""

    type = "AWS::IAM::ManagedPolicy"
    name_property = "ManagedPolicyName"
    required = frozenset({"PolicyDocument"})
    properties = frozenset({"ManagedPolicyName", "PolicyDocument", "Path", "Description", "Roles", "Users", "Groups"})
    replacing = frozenset({"ManagedPolicyName", "Path", "Description"})

    def physical_of(self, aws: Aws, name: str) -> str:
        return f"arn:aws:iam::{aws.account_id}:policy/{name}"

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        iam = aws.client("iam")
        name = properties.get("ManagedPolicyName") or naming.name(128)
        document = as_text(properties["PolicyDocument"])
        made = iam.create_policy(PolicyName=name, PolicyDocument=document, **pick(properties, "Path", "Description"))
        arn = made["Policy"]["Arn"]
        with whole(self, aws, arn, properties):
            self._attach(iam, arn, {}, properties)
        return Made(arn, {"PolicyArn": arn, "PolicyId": made["Policy"]["PolicyId"]})

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        iam = aws.client("iam")
        if new["PolicyDocument"] != old.get("PolicyDocument"):
            for version in iam.list_policy_versions(PolicyArn=physical_id)["Versions"]:
                if not version["IsDefaultVersion"]:
                    iam.delete_policy_version(PolicyArn=physical_id, VersionId=version["VersionId"])
            document = as_text(new["PolicyDocument"])
            iam.create_policy_version(PolicyArn=physical_id, PolicyDocument=document, SetAsDefault=True)
        self._attach(iam, physical_id, old, new)
        return Made(physical_id, {"PolicyArn": physical_id})

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        iam = aws.client("iam")
        self._attach(iam, physical_id, properties, {})
        delete_quietly(iam.delete_policy, PolicyArn=physical_id)

    @staticmethod
    def _attach(iam: Any, arn: str, old: Properties, new: Properties) -> None:
        for plural, kind in (("Roles", "role"), ("Users", "user"), ("Groups", "group")):
            before, after = set(old.get(plural, [])), set(new.get(plural, []))
            for name in after - before:
                getattr(iam, f"attach_{kind}_policy")(**{f"{kind.title()}Name": name}, PolicyArn=arn)
            for name in before - after:
                detach = getattr(iam, f"detach_{kind}_policy")
                delete_quietly(detach, **{f"{kind.title()}Name": name}, PolicyArn=arn)


@register
class Key(ResourceType):
    """A KMS key; deleting it schedules its deletion, as on AWS."""

    type = "AWS::KMS::Key"
    properties = frozenset({
        "KeyPolicy", "Description", "EnableKeyRotation", "PendingWindowInDays", "KeySpec", "KeyUsage", "Tags", "Enabled",
        "MultiRegion",
    })  # fmt: skip
    without_effect = {  # noqa: RUF012
        "RotationPeriodInDays": "key material is not rotated here",
        "BypassPolicyLockoutSafetyCheck": "key policies are not enforced here",
    }
    # AWS refuses such an update, so that no key is lost by mistake:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-kms-key.html
    _of_the_key = {"KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT"}  # noqa: RUF012

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        kms = aws.client("kms")
        tags = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in properties.get("Tags", [])]
        made = kms.create_key(
            **({"Policy": as_text(properties["KeyPolicy"])} if "KeyPolicy" in properties else {}),
            **pick(properties, "Description", "KeySpec", "KeyUsage"),
            MultiRegion=true(properties.get("MultiRegion", False)),
            **({"Tags": tags} if tags else {}),
        )["KeyMetadata"]
        with whole(self, aws, made["KeyId"], properties):
            self._configure(kms, made["KeyId"], properties)
        return Made(made["KeyId"], {"Arn": made["Arn"], "KeyId": made["KeyId"]})

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        kms = aws.client("kms")
        made = kms.describe_key(KeyId=physical_id)["KeyMetadata"]
        fixed = [
            name for name, default in self._of_the_key.items() if new.get(name, default) != made.get(name, default)
        ]
        fixed += ["MultiRegion"] if true(new.get("MultiRegion", False)) != made.get("MultiRegion", False) else []
        if fixed:
            raise invalid(f"{', '.join(fixed)} of a KMS key cannot be changed. Make another key.")
        policy = new.get("KeyPolicy") or self._policy_of_a_new_key(aws) if "KeyPolicy" in {**old, **new} else None
        if policy:
            kms.put_key_policy(KeyId=physical_id, PolicyName="default", Policy=as_text(policy))
        kms.update_key_description(KeyId=physical_id, Description=new.get("Description", ""))
        changed, removed = tag_changes(old, new)
        if changed:
            kms.tag_resource(KeyId=physical_id, Tags=[{"TagKey": t["Key"], "TagValue": t["Value"]} for t in changed])
        if removed:
            kms.untag_resource(KeyId=physical_id, TagKeys=removed)
        self._configure(kms, physical_id, new)
        return Made(physical_id, {"Arn": aws.arn("kms", f"key/{physical_id}"), "KeyId": physical_id})

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        window = int(properties.get("PendingWindowInDays", 30))
        delete_quietly(
            aws.client("kms").schedule_key_deletion,
            "KMSInvalidStateException",
            KeyId=physical_id,
            PendingWindowInDays=window,
        )

    @staticmethod
    def _policy_of_a_new_key(aws: Aws) -> Properties:
        """https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html"""
        root = {"AWS": f"arn:aws:iam::{aws.account_id}:root"}
        allowed = {"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}
        return {"Version": "2012-10-17", "Statement": [{"Sid": "Enable IAM User Permissions", **allowed}]}

    @staticmethod
    def _configure(kms: Any, key: str, properties: Properties) -> None:
        rotate = true(properties.get("EnableKeyRotation", False))
        (kms.enable_key_rotation if rotate else kms.disable_key_rotation)(KeyId=key)
        (kms.enable_key if true(properties.get("Enabled", True)) else kms.disable_key)(KeyId=key)


@register
class Alias(ResourceType):
    """Another name of a key."""

    type = "AWS::KMS::Alias"
    name_property = "AliasName"
    properties = required = frozenset({"AliasName", "TargetKeyId"})
    replacing = frozenset({"AliasName"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        aws.client("kms").create_alias(AliasName=properties["AliasName"], TargetKeyId=properties["TargetKeyId"])
        return Made(properties["AliasName"])

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        aws.client("kms").update_alias(AliasName=physical_id, TargetKeyId=new["TargetKeyId"])
        return Made(physical_id)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("kms").delete_alias, AliasName=physical_id)
