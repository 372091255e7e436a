"""IAM's judgement, held against a second implementation and against the sentences of AWS's guide."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local_cloud.access.actions import Needed
from local_cloud.access.decision import Asked, Caller, Verdict, judge
from local_cloud.access.policy import MalformedPolicy, read_policy
from local_cloud.access.unused import elements
from tests.access.random_requests import ACCOUNT, Requests

REQUESTS = int(os.environ.get("LOCAL_CLOUD_ACCESS_REQUESTS", "10000"))
SEED = int(os.environ.get("LOCAL_CLOUD_ACCESS_SEED", "1"))
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service/Train"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/Train/bees-1"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:jobs"


def judged(simulation: dict[str, Any]) -> Verdict:
    request = simulation["request"]
    bounds = [read_policy(each["policy"]) for each in simulation.get("permissionBoundaryPolicies", [])]
    session = simulation.get("sessionPolicy")
    of_resource = simulation.get("resourcePolicy")
    caller = Caller(
        request["principal"], tuple(read_policy(each["policy"]) for each in simulation["identityPolicies"]),
        bounds[0] if bounds else None, (read_policy(session),) if session else None,
    )  # fmt: skip
    context = {
        key.lower(): [value] if isinstance(value, str) else value for key, value in request["contextVariables"].items()
    }
    decides = request["action"].startswith(("kms:", "sts:AssumeRole"))
    resource = request["resource"]
    policy = read_policy(of_resource) if of_resource else None
    return judge(
        caller, Asked(request["action"], resource["resource"], resource["accountId"], context, policy, decides)
    )


def names_caller(simulation: dict[str, Any]) -> bool:
    """Whether the resource's policy names the session itself, or everybody.

    AWS: a session policy does not limit what a resource grants to a session's ARN; the other implementation lets it.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session
    """
    without = {key: value for key, value in simulation.items() if key != "sessionPolicy"}
    return "sessionPolicy" in simulation and judged({**without, "identityPolicies": []}).allowed


def test_ten_thousand_requests_are_judged_as_a_second_implementation_judges_them():
    source = Requests(SEED)
    simulations = [source.next() for _ in range(REQUESTS)]
    answers = subprocess.run(
        [Path(sys.executable).with_name("node"), Path(__file__).with_name("second_implementation.mjs")],
        input="".join(json.dumps(each) + "\n" for each in simulations), capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = [json.loads(line) for line in answers.stdout.splitlines()]
    assert len(told) == REQUESTS and {each["kind"] for each in told} == {"single"}
    assert not any(each["ignored"] for each in told), "a condition key that the other implementation does not know"
    differ = [
        (simulation, theirs["overall"], ours)
        for simulation, theirs in zip(simulations, told, strict=True)
        if (ours := judged(simulation)).allowed != (theirs["overall"] == "Allowed")
        and not (ours.allowed and names_caller(simulation))
    ]
    assert not differ, f"{len(differ)} of {REQUESTS} differ; the first: {json.dumps(differ[0][0])} {differ[0][1:]}"
    outcomes = {each["overall"] for each in told}
    assert outcomes == {"Allowed", "ImplicitlyDenied", "ExplicitlyDenied"}


def allow(action: str = "sqs:SendMessage", resource: str = QUEUE, **more: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": action, "Resource": resource, **more}}


def asks(caller: Caller, policy: dict[str, Any] | None = None, **context: list[str]) -> Verdict:
    asked = Asked("sqs:SendMessage", QUEUE, ACCOUNT, context, read_policy(policy) if policy else None)
    return judge(caller, asked)


def test_what_a_queue_grants_to_a_role_is_bound_by_boundary_and_session_what_it_grants_to_the_session_is_not():
    nothing = read_policy(allow("s3:GetObject", "*"))
    for principal, free in ((ROLE, False), (SESSION, True)):
        queue = allow(Principal={"AWS": principal})
        assert asks(Caller(SESSION), queue).allowed
        assert asks(Caller(SESSION, boundary=nothing), queue).allowed is free
        assert asks(Caller(SESSION, session=(nothing,)), queue).allowed is free


def test_an_account_as_principal_leaves_the_decision_to_the_policies_of_the_identity():
    queue = allow(Principal={"AWS": ACCOUNT})
    assert not asks(Caller(SESSION), queue).allowed
    assert asks(Caller(SESSION, (read_policy(allow()),)), queue).allowed


def test_seconds_since_1970_are_a_date_and_variables_of_2008_are_text():
    late = allow(Condition={"DateGreaterThan": {"aws:CurrentTime": "1780315199"}})
    caller = Caller(SESSION, (read_policy(late),))
    assert asks(caller, **{"aws:currenttime": ["2026-06-01T12:00:00Z"]}).allowed
    assert not asks(caller, **{"aws:currenttime": ["2026-06-01T11:59:59Z"]}).allowed
    for version, fits in (("2012-10-17", True), ("2008-10-17", False)):
        named = {**allow(resource=QUEUE.replace("jobs", "${aws:username}")), "Version": version}
        assert asks(Caller(SESSION, (read_policy(named),)), **{"aws:username": ["jobs"]}).allowed is fits


def test_a_wildcard_in_the_value_of_a_variable_is_a_character():
    named = allow(resource=QUEUE.replace("jobs", "${aws:username}"))
    assert not asks(Caller(SESSION, (read_policy(named),)), **{"aws:username": ["*"]}).allowed


def test_a_denial_says_which_kind_of_policy_it_comes_from():
    deny = {"Version": "2012-10-17", "Statement": [{"Sid": "Never", "Effect": "Deny", "Action": "*", "Resource": "*"}]}
    refused = asks(Caller(SESSION, (read_policy(allow()), read_policy(deny, "guard"))))
    assert (refused.reason, refused.denied_by) == ("with an explicit deny in an identity-based policy", "guard Never")
    assert asks(Caller(SESSION)).reason == "because no identity-based policy allows it"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{", "not valid JSON"),
        ("[]", "received list"),
        ({"Version": "2020-01-01", "Statement": []}, "'2020-01-01' is unknown"),
        ({"Statement": []}, "missing or empty"),
        ({"Statement": [{"Effect": "Maybe", "Action": "*", "Resource": "*"}]}, "'Maybe'; it is Allow or Deny"),
        ({"Statement": [{"Effect": "Allow", "Resource": "*"}]}, "needs Action or NotAction"),
        ({"Statement": [{"Effect": "Allow", "Action": "*", "NotAction": "*"}]}, "not both"),
        ({"Statement": [{"Effect": "Allow", "Action": "*", "Principle": "*"}]}, "no element 'Principle'"),
        (allow(Condition={"StringSame": {"a": "b"}}), "'StringSame' is unknown"),
        (allow(Condition={"ForSome:StringLike": {"a": "b"}}), "begins with 'ForSome'"),
        (allow(Condition={"StringLike": {"a": {"b": 1}}}), "Condition StringLike a holds"),
        (allow(Principal={"Robot": "x"}), "Principal is"),
    ],
)
def test_a_malformed_policy_is_refused_by_what_is_wrong(document, reason):
    with pytest.raises(MalformedPolicy, match=reason):
        read_policy(document)


def test_an_action_or_resource_that_no_call_needed_is_found_and_so_is_one_that_another_covers():
    statements = [
        {"Effect": "Allow", "Action": ["sqs:SendMessage", "sqs:DeleteMessage"], "Resource": [QUEUE, QUEUE + "-old"]},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"},
    ]
    own = read_policy({"Version": "2012-10-17", "Statement": statements}, "own")
    calls = [Needed("sqs:SendMessage", QUEUE), Needed("s3:GetObject", "arn:aws:s3:::photos/1.jpg")]

    def allowed(caller: Caller, call: Needed) -> bool:
        return judge(caller, Asked(call.action, call.resource, ACCOUNT)).allowed

    found = elements(Caller(SESSION, (own,)), calls, allowed)
    assert {(each.element, each.value) for each in found if each.needed} == {
        ("Action", "sqs:SendMessage"), ("Resource", QUEUE),
    }  # fmt: skip
    assert [(each.value, each.beside) for each in found if each.element == "Action" and not each.needed] == [
        ("sqs:DeleteMessage", (QUEUE, QUEUE + "-old")),
        ("s3:GetObject", ("*",)),
        ("s3:GetObject", ("arn:aws:s3:::photos/*",)),
    ]
