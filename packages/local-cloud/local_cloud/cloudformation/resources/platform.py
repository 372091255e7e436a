"""Registries, parameters, secrets, log groups and state machines."""

from __future__ import annotations

import json
import secrets as randomness
import string
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
class Repository(ResourceType):
    """An ECR repository; one that still holds images is only deleted with EmptyOnDelete."""

    type = "AWS::ECR::Repository"
    name_property = "RepositoryName"
    properties = frozenset({
        "RepositoryName", "ImageTagMutability", "ImageScanningConfiguration", "LifecyclePolicy", "RepositoryPolicyText",
        "EncryptionConfiguration", "EmptyOnDelete", "Tags",
    })  # fmt: skip
    replacing = frozenset({"RepositoryName", "EncryptionConfiguration"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        name = properties.get("RepositoryName") or naming.name(256, lower=True)
        ecr = aws.client("ecr")
        scanning = properties.get("ImageScanningConfiguration", {})
        encryption = properties.get("EncryptionConfiguration", {})
        ecr.create_repository(
            repositoryName=name,
            imageTagMutability=properties.get("ImageTagMutability", "MUTABLE"),
            imageScanningConfiguration={"scanOnPush": true(scanning.get("ScanOnPush", False))},
            encryptionConfiguration={
                "encryptionType": encryption.get("EncryptionType", "AES256"),
                **({"kmsKey": encryption["KmsKey"]} if "KmsKey" in encryption else {}),
            },
            tags=properties.get("Tags", []),
        )
        with whole(self, aws, name, properties):
            return self._configure(aws, name, {}, properties)

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        ecr = aws.client("ecr")
        mutability = new.get("ImageTagMutability", "MUTABLE")
        ecr.put_image_tag_mutability(repositoryName=physical_id, imageTagMutability=mutability)
        scan = true(new.get("ImageScanningConfiguration", {}).get("ScanOnPush", False))
        ecr.put_image_scanning_configuration(
            repositoryName=physical_id, imageScanningConfiguration={"scanOnPush": scan}
        )
        return self._configure(aws, physical_id, old, new)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        force = true(properties.get("EmptyOnDelete", False))
        delete_quietly(aws.client("ecr").delete_repository, repositoryName=physical_id, force=force)

    @staticmethod
    def _configure(aws: Aws, name: str, old: Properties, new: Properties) -> Made:
        ecr = aws.client("ecr")
        if "LifecyclePolicyText" in new.get("LifecyclePolicy", {}):
            text = new["LifecyclePolicy"]["LifecyclePolicyText"]
            ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=text)
        elif "LifecyclePolicy" in old:
            delete_quietly(ecr.delete_lifecycle_policy, repositoryName=name)
        if "RepositoryPolicyText" in new:
            ecr.set_repository_policy(repositoryName=name, policyText=as_text(new["RepositoryPolicyText"]))
        elif "RepositoryPolicyText" in old:
            delete_quietly(ecr.delete_repository_policy, repositoryName=name)
        uri = f"{aws.account_id}.dkr.ecr.{aws.region}.amazonaws.com/{name}"
        return Made(name, {"Arn": aws.arn("ecr", f"repository/{name}"), "RepositoryUri": uri})


@register
class Parameter(ResourceType):
    """An SSM parameter."""

    type = "AWS::SSM::Parameter"
    name_property = "Name"
    required = frozenset({"Type", "Value"})
    properties = frozenset(
        {"Name", "Type", "Value", "Description", "AllowedPattern", "DataType", "Tier", "Tags", "Policies"}
    )
    replacing = frozenset({"Name", "Type"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        name = properties.get("Name") or naming.name(128)
        return self._put(aws, name, properties, overwrite=False)

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        gone = sorted(old.get("Tags", {}).keys() - new.get("Tags", {}).keys())
        if gone:
            aws.client("ssm").remove_tags_from_resource(ResourceType="Parameter", ResourceId=physical_id, TagKeys=gone)
        return self._put(aws, physical_id, new, overwrite=True)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("ssm").delete_parameter, Name=physical_id)

    @staticmethod
    def _put(aws: Aws, name: str, properties: Properties, overwrite: bool) -> Made:
        chosen = pick(properties, "Type", "Value", "Description", "AllowedPattern", "DataType", "Tier", "Policies")
        ssm = aws.client("ssm")
        tags = properties.get("Tags", {})  # a map here, unlike everywhere else
        named = [{"Key": key, "Value": value} for key, value in tags.items()]
        if overwrite:
            ssm.put_parameter(Name=name, Overwrite=True, **chosen)
            if named:
                ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId=name, Tags=named)
        else:
            ssm.put_parameter(Name=name, **chosen, **({"Tags": named} if named else {}))
        return Made(name, pick(properties, "Type", "Value"))


@register
class Secret(ResourceType):
    """A secret, given or generated."""

    type = "AWS::SecretsManager::Secret"
    name_property = "Name"
    properties = frozenset({"Name", "Description", "SecretString", "GenerateSecretString", "KmsKeyId", "Tags"})
    replacing = frozenset({"Name"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        name = properties.get("Name") or naming.name(64)
        text = properties.get("SecretString") or _generated(properties.get("GenerateSecretString", {}))
        made = aws.client("secretsmanager").create_secret(
            Name=name, SecretString=text, **pick(properties, "Description", "KmsKeyId", "Tags")
        )
        return Made(made["ARN"], {"Id": made["ARN"]})

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        changed = pick(new, "Description", "SecretString", "KmsKeyId")
        aws.client("secretsmanager").update_secret(SecretId=physical_id, **changed)
        return Made(physical_id, {"Id": physical_id})

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(
            aws.client("secretsmanager").delete_secret, SecretId=physical_id, ForceDeleteWithoutRecovery=True
        )


def _generated(rules: Properties) -> str:
    excluded = set(rules.get("ExcludeCharacters", ""))
    alphabet = [c for c in string.ascii_letters + string.digits + "" if c not in excluded]
    if not true(rules.get("ExcludePunctuation", False)):
        alphabet += [c for c in "!#$%&()*+,-./:;<=>?@[]^_{|}~" if c not in excluded]
    made = "".join(randomness.choice(alphabet) for _ in range(int(rules.get("PasswordLength", 32))))
    if "GenerateStringKey" not in rules:
        return made
    return json.dumps({**json.loads(rules.get("SecretStringTemplate", "{}")), rules["GenerateStringKey"]: made})


@register
class LogGroup(ResourceType):
    """A CloudWatch log group."""

    type = "AWS::Logs::LogGroup"
    name_property = "LogGroupName"
    properties = frozenset({"LogGroupName", "RetentionInDays", "KmsKeyId", "Tags"})
    without_effect = {  # noqa: RUF012
        "LogGroupClass": "all classes are alike here",
        "DataProtectionPolicy": "log lines are not masked here",
        "DeletionProtectionEnabled": "deletion is not guarded here",
    }
    replacing = frozenset({"LogGroupName"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        name = properties.get("LogGroupName") or naming.name(512)
        tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        options: dict[str, Any] = {"logGroupName": name, **({"tags": tags} if tags else {})}
        if "KmsKeyId" in properties:
            options["kmsKeyId"] = properties["KmsKeyId"]
        aws.client("logs").create_log_group(**options)
        with whole(self, aws, name, properties):
            return self.update(aws, name, {}, properties)

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        logs = aws.client("logs")
        if "RetentionInDays" in new:
            logs.put_retention_policy(logGroupName=physical_id, retentionInDays=int(new["RetentionInDays"]))
        elif "RetentionInDays" in old:
            logs.delete_retention_policy(logGroupName=physical_id)
        if old and new.get("KmsKeyId") != old.get("KmsKeyId"):
            if "KmsKeyId" in new:
                logs.associate_kms_key(logGroupName=physical_id, kmsKeyId=new["KmsKeyId"])
            else:
                logs.disassociate_kms_key(logGroupName=physical_id)
        return Made(physical_id, {"Arn": aws.arn("logs", f"log-group:{physical_id}:*")})

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("logs").delete_log_group, logGroupName=physical_id)


@register
class LogResourcePolicy(ResourceType):
    """Who may write to log groups."""

    type = "AWS::Logs::ResourcePolicy"
    name_property = "PolicyName"
    properties = required = frozenset({"PolicyName", "PolicyDocument"})
    replacing = frozenset({"PolicyName"})

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        name, document = properties["PolicyName"], as_text(properties["PolicyDocument"])
        aws.client("logs").put_resource_policy(policyName=name, policyDocument=document)
        return Made(name)

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        return self.create(aws, new, Naming("", "", ""))

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        delete_quietly(aws.client("logs").delete_resource_policy, policyName=physical_id)


@register
class StateMachine(ResourceType):
    """A state machine; its definition as text, as an object, or in S3, with substitutions."""

    type = "AWS::StepFunctions::StateMachine"
    name_property = "StateMachineName"
    required = frozenset({"RoleArn"})
    properties = frozenset({
        "StateMachineName", "StateMachineType", "RoleArn", "Definition", "DefinitionString", "DefinitionS3Location",
        "DefinitionSubstitutions", "LoggingConfiguration", "TracingConfiguration", "EncryptionConfiguration", "Tags",
    })  # fmt: skip
    replacing = frozenset({"StateMachineName", "StateMachineType"})

    def physical_of(self, aws: Aws, name: str) -> str:
        return aws.arn("states", f"stateMachine:{name}")

    def create(self, aws: Aws, properties: Properties, naming: Naming) -> Made:
        made = aws.client("stepfunctions").create_state_machine(
            name=properties.get("StateMachineName") or naming.name(80),
            type=properties.get("StateMachineType", "STANDARD"),
            tags=[{"key": tag["Key"], "value": tag["Value"]} for tag in properties.get("Tags", [])],
            **self._settings(aws, properties),
        )
        return self._made(made["stateMachineArn"])

    def update(self, aws: Aws, physical_id: str, old: Properties, new: Properties) -> Made:
        states = aws.client("stepfunctions")
        states.update_state_machine(stateMachineArn=physical_id, **self._settings(aws, new))
        changed, removed = tag_changes(old, new)
        if changed:
            tags = [{"key": tag["Key"], "value": tag["Value"]} for tag in changed]
            states.tag_resource(resourceArn=physical_id, tags=tags)
        if removed:
            states.untag_resource(resourceArn=physical_id, tagKeys=removed)
        return self._made(physical_id)

    def delete(self, aws: Aws, physical_id: str, properties: Properties) -> None:
        aws.client("stepfunctions").delete_state_machine(stateMachineArn=physical_id)

    def _settings(self, aws: Aws, properties: Properties) -> dict[str, Any]:
        settings = {"definition": self._definition(aws, properties), "roleArn": properties["RoleArn"]}
        if "LoggingConfiguration" in properties:
            settings["loggingConfiguration"] = _small(properties["LoggingConfiguration"])
        if "TracingConfiguration" in properties:
            settings["tracingConfiguration"] = _small(properties["TracingConfiguration"])
        if "EncryptionConfiguration" in properties:
            settings["encryptionConfiguration"] = _small(properties["EncryptionConfiguration"])
        return settings

    @staticmethod
    def _definition(aws: Aws, properties: Properties) -> str:
        if "DefinitionString" in properties:
            text = properties["DefinitionString"]
        elif "Definition" in properties:
            text = json.dumps(properties["Definition"])
        elif "DefinitionS3Location" in properties:
            place = properties["DefinitionS3Location"]
            version = {"VersionId": place["Version"]} if "Version" in place else {}
            body = aws.client("s3").get_object(Bucket=place["Bucket"], Key=place["Key"], **version)["Body"].read()
            text = body.decode()
        else:
            raise invalid("A state machine needs DefinitionString, Definition or DefinitionS3Location")
        for name, value in properties.get("DefinitionSubstitutions", {}).items():
            text = text.replace(f"${{{name}}}", str(value))
        return text

    @staticmethod
    def _made(arn: str) -> Made:
        return Made(arn, {"Arn": arn, "Name": arn.rpartition(":")[2], "StateMachineRevisionId": "INITIAL"})


def _small(value: Any) -> Any:
    """The same with small first letters: the API's spelling."""
    if isinstance(value, list):
        return [_small(item) for item in value]
    if isinstance(value, dict):
        return {
            name[0].lower() + name[1:]: true(item) if name in ("IncludeExecutionData", "Enabled") else _small(item)
            for name, item in value.items()
        }
    return value
