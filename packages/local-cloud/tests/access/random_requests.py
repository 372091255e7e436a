"""Requests and the policies that concern them, at random: near misses of a real request, so that either answer is likely.

The form is that of `@cloud-copilot/iam-simulate`, a second implementation in TypeScript, which judges the same requests.
Four things are not asked, since the two read AWS's guide differently there and we keep to its words:

- Policy variables in a document of 2008: the guide says that they are plain text; the other one fills them in.
- A date written as seconds since 1970: the guide allows it; the other one takes the number for milliseconds.
- `ForAnyValue:…IfExists` without the key: the guide says that IfExists is then true; the other one says false.
- A wildcard in the part of an ARN that names the type (`arn:aws:iam::111122223333:ro*in`): the guide lets a * stand for
  any characters, slashes too; the other one never lets it reach over the first slash.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any

ACCOUNT, OTHER = "111122223333", "444455556666"
REGION = "us-east-1"


def _arn(service: str, rest: str, region: str = REGION, account: str = ACCOUNT) -> str:
    return f"arn:aws:{service}:{region}:{account}:{rest}"


# Action, its resource, and the condition keys that its service sets: single-valued texts, else lists.
ACTIONS: list[tuple[str, str, dict[str, str | list[str]]]] = [
    ("s3:GetObject", "arn:aws:s3:::photos/team-a/ant/1.jpg", {"s3:ExistingObjectTag/stage": "raw"}),
    ("s3:PutObject", "arn:aws:s3:::photos/team-a/ant/2.jpg", {"s3:x-amz-server-side-encryption": "aws:kms"}),
    ("s3:ListBucket", "arn:aws:s3:::photos", {"s3:prefix": "team-a/ant/", "s3:delimiter": "/", "s3:max-keys": "100"}),
    ("sqs:SendMessage", _arn("sqs", "jobs"), {}),
    ("sns:Publish", _arn("sns", "failures"), {}),
    ("kms:Decrypt", _arn("kms", "key/1234abcd-12ab-34cd-56ef-1234567890ab"), {"kms:ViaService": "s3.us-east-1.amazonaws.com"}),
    ("iam:PassRole", _arn("iam", "role/service/Train", ""), {"iam:PassedToService": "sagemaker.amazonaws.com"}),
    ("sts:AssumeRole", _arn("iam", "role/service/Train", ""), {"sts:ExternalId": "42"}),
    ("sagemaker:CreateTrainingJob", _arn("sagemaker", "training-job/bees-1"),
     {"sagemaker:InstanceTypes": ["ml.m5.large", "ml.m5.xlarge"], "aws:RequestTag/team": "a", "aws:TagKeys": ["team", "cost"]}),
    ("states:StartExecution", _arn("states", "stateMachine:Pipeline"), {}),
    ("ssm:GetParameter", _arn("ssm", "parameter/pipeline/dev/model"), {}),
    ("logs:PutLogEvents", _arn("logs", "log-group:/aws/sagemaker/TrainingJobs:log-stream:bees-1"), {}),
]  # fmt: skip
EVERYWHERE: dict[str, str | list[str]] = {
    "aws:SourceIp": "203.0.113.7",
    "aws:CurrentTime": "2026-06-01T12:00:00Z",
    "aws:SecureTransport": "true",
    "aws:username": "ana",
    "aws:PrincipalTag/team": "team-a",
    "aws:SourceArn": "arn:aws:states:us-east-1:111122223333:stateMachine:Pipeline",
    "aws:SourceAccount": ACCOUNT,
    "aws:RequestedRegion": REGION,
    "aws:MultiFactorAuthAge": "300",
    "aws:CalledVia": ["states.amazonaws.com", "sagemaker.amazonaws.com"],
}
NUMBERS, DATES, FLAGS, ARNS, ADDRESSES = (
    {"aws:MultiFactorAuthAge", "s3:max-keys"}, {"aws:CurrentTime"}, {"aws:SecureTransport"}, {"aws:SourceArn"},
    {"aws:SourceIp"},
)  # fmt: skip
PRINCIPALS = [
    _arn("iam", "user/ana", ""), _arn("iam", "role/service/Train", ""), _arn("sts", "assumed-role/Train/bees-1", ""),
    _arn("sts", "assumed-role/Train/bees-1", "", OTHER), _arn("iam", "user/ana", "", OTHER),
    "sagemaker.amazonaws.com", "events.amazonaws.com",
]  # fmt: skip
RESOURCE_POLICIES = ("s3", "sqs", "sns", "kms", "sts")


def _type_and_rest(resource: str) -> tuple[str, str]:
    found = re.match(r"[^/:]+[/:]", resource)
    return (found[0], resource[found.end() :]) if found else ("", resource)


class Requests:
    """An endless source of requests; the same seed gives the same ones."""

    def __init__(self, seed: int):
        self._random = random.Random(seed)

    def next(self) -> dict[str, Any]:
        r = self._random
        action, resource, own = r.choice(ACTIONS)
        keys = {**EVERYWHERE, **own}
        context = {key: value for key, value in keys.items() if r.random() < 0.7}
        service = action.split(":")[0]
        principal = r.choice(PRINCIPALS[:3] if r.random() < 0.75 else PRINCIPALS)
        person = not principal.endswith(".amazonaws.com")
        asked: dict[str, Any] = {
            "request": {
                "principal": principal,
                "action": action,
                "resource": {"resource": resource, "accountId": ACCOUNT},
                "contextVariables": context,
            },
            "identityPolicies": [
                {"name": f"p{n}", "policy": self._policy(action, resource, keys)} for n in range(r.choice([0, 1, 1, 2]))
            ] if person else [],
            "serviceControlPolicies": [],
            "resourceControlPolicies": [],
        }  # fmt: skip
        if person and r.random() < 0.3:
            policy = self._policy(action, resource, keys)
            asked["permissionBoundaryPolicies"] = [{"name": "bound", "policy": policy}]
        if ":assumed-role/" in principal and r.random() < 0.3:
            asked["sessionPolicy"] = self._policy(action, resource, keys)
        if service in RESOURCE_POLICIES and (not person or service in ("kms", "sts") or r.random() < 0.6):
            asked["resourcePolicy"] = self._policy(action, resource, keys, of_resource=service)
        return asked

    def _policy(self, action: str, resource: str, keys: dict[str, Any], of_resource: str = "") -> dict[str, Any]:
        r = self._random
        statements = [self._statement(action, resource, keys, of_resource) for _ in range(r.choice([1, 1, 2, 3]))]
        policy: dict[str, Any] = {"Statement": statements}
        variables = "${" in json.dumps(statements)
        policy["Version"] = "2012-10-17" if variables or r.random() < 0.9 else "2008-10-17"
        return policy

    def _statement(self, action: str, resource: str, keys: dict[str, Any], of_resource: str) -> dict[str, Any]:
        r = self._random
        statement: dict[str, Any] = {"Effect": "Allow" if r.random() < 0.8 else "Deny"}
        inverted = "Not" if r.random() < 0.07 else ""
        statement[f"{inverted}Action"] = self._some([self._action(action) for _ in range(r.choice([1, 1, 2]))])
        if of_resource != "sts":
            inverted = "Not" if r.random() < 0.07 else ""
            statement[f"{inverted}Resource"] = self._some(
                [self._resource(resource) for _ in range(r.choice([1, 1, 2]))]
            )
        if of_resource:
            statement["Principal"] = self._principal()
        conditions: dict[str, dict[str, Any]] = {}
        for _ in range(r.choice([0, 0, 1, 1, 2])):
            operator, key, values = self._condition(keys)
            conditions.setdefault(operator, {})[key] = values
        if conditions:
            statement["Condition"] = conditions
        return statement

    def _some(self, values: list[str]) -> str | list[str]:
        return values[0] if len(values) == 1 and self._random.random() < 0.5 else values

    def _action(self, action: str) -> str:
        r = self._random
        service, name = action.split(":")
        return r.choice([
            action, action, action.lower(), "*", f"{service}:*", f"{service}:{name[:3]}*", f"{service}:*{name[-4:]}",
            f"{service}:{name[:2]}?{name[3:]}", f"{service}:Describe*", "ec2:*",
        ])  # fmt: skip

    def _resource(self, resource: str) -> str:
        r = self._random
        parts = resource.split(":", 5)
        if r.random() < 0.15 and parts[2] != "s3":  # another region or account, or any
            parts[r.choice([3, 4])] = r.choice(["*", "eu-west-1", OTHER, ""])
        if r.random() < 0.2:
            return "*"
        kind, rest = _type_and_rest(parts[5]) if parts[2] != "s3" else ("", parts[5])
        parts[5] = kind + self._near(rest)
        return ":".join(parts)

    def _near(self, text: str) -> str:
        """The text, with wildcards or variables for parts of it, or something else."""
        r = self._random
        start = r.randrange(len(text))
        end = r.randrange(start, len(text))
        return r.choice([
            text, text, f"{text[:start]}*", f"{text[:start]}*{text[end + 1:]}", f"{text[:start]}?{text[start + 1:]}",
            text.replace("team-a", "${aws:PrincipalTag/team}"), text.replace("team-a", "${aws:PrincipalTag/team, 'team-b'}"),
            text.replace("ant", "${aws:username}"), text[: start + 1], text + "x", "*", text.upper(), text.replace("/", "${*}"),
        ])  # fmt: skip

    def _principal(self) -> Any:
        r = self._random
        return r.choice([
            "*", {"AWS": "*"}, {"AWS": ACCOUNT}, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, {"AWS": f"arn:aws:iam::{OTHER}:root"},
            {"AWS": PRINCIPALS[0]}, {"AWS": [PRINCIPALS[1], PRINCIPALS[4]]}, {"AWS": PRINCIPALS[2]}, {"AWS": PRINCIPALS[3]},
            {"Service": "sagemaker.amazonaws.com"}, {"Service": ["events.amazonaws.com", "states.amazonaws.com"]},
        ])  # fmt: skip

    def _condition(self, keys: dict[str, Any]) -> tuple[str, str, Any]:
        r = self._random
        key = r.choice(sorted(keys))
        value = keys[key]
        exists = "IfExists" if r.random() < 0.15 else ""
        spelled = key if r.random() < 0.8 else key.lower()
        if r.random() < 0.08:
            return "Null", spelled, r.choice(["true", "false"])
        if isinstance(value, list):
            operator = r.choice(
                ["StringEquals", "StringLike", "StringNotEquals", "StringNotLike", "StringEqualsIgnoreCase"]
            )
            values = [self._near(r.choice(value)) for _ in range(r.choice([1, 2, 3]))]
            quantifier = r.choice(["ForAnyValue", "ForAllValues"])
            return f"{quantifier}:{operator}{exists if quantifier == 'ForAllValues' else ''}", spelled, values
        not_ = r.choice(["", "", "Not"])
        relation = r.choice(["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"])
        if key in NUMBERS:
            return f"Numeric{relation}{exists}", spelled, self._some([str(int(value) + r.choice([-1, 0, 1]))])
        if key in DATES:
            moments = [
                "2026-06-01T12:00:00Z",
                "2026-06-01T11:59:59Z",
                "2026-07-01T00:00:00Z",
                "2026-06-01T14:00:00+02:00",
            ]
            return f"Date{relation}{exists}", spelled, self._some([r.choice(moments)])
        if key in FLAGS:
            return f"Bool{exists}", spelled, r.choice(["true", "false"])
        if key in ADDRESSES:
            nets = ["203.0.113.0/24", "203.0.113.7", "203.0.113.7/32", "198.51.100.0/24", "2001:db8::/32"]
            return f"{not_}IpAddress{exists}", spelled, self._some([r.choice(nets) for _ in range(r.choice([1, 2]))])
        if key in ARNS:
            parts = value.split(":", 5)
            parts[r.choice([3, 4, 5])] = r.choice(["*", "us-*", "stateMachine:*", "stateMachine:Other"])
            return f"Arn{not_}{r.choice(['Like', 'Equals'])}{exists}", spelled, r.choice([value, ":".join(parts)])
        operator = r.choice([f"String{not_}Equals", f"String{not_}EqualsIgnoreCase", f"String{not_}Like"])
        return f"{operator}{exists}", spelled, self._some([self._near(value) for _ in range(r.choice([1, 1, 2]))])
