"""An update that a kill cuts off is brought to an end at the next start: no stack is left between two templates.

A client such as the CDK deploys nothing where the template is the one that the stack has, so nobody else would do it.
"""

from __future__ import annotations

import json
import threading

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from local_cloud.testing import RunningCloud, wait_until

pytestmark = pytest.mark.slow


def body(word: str) -> str:
    """A parameter that changes, a role in the middle, one that is replaced, one that goes and one that comes."""

    def parameter(name: str, **more: object) -> dict:
        return {"Type": "AWS::SSM::Parameter", "Properties": {"Name": name, "Type": "String", "Value": word}, **more}

    many = {f"P{n}": parameter(f"/many/{n}", **({"DependsOn": f"P{n - 1}"} if n else {})) for n in range(12)}
    replaced = {"Type": "AWS::SQS::Queue", "DependsOn": "P5", "Properties": {"QueueName": f"replaced-{word}"}}
    named = {"Type": "AWS::SQS::Queue", "DependsOn": "P7", "Properties": {"QueueName": f"own-{word}"}}
    return json.dumps({"Resources": many | {"Replaced": replaced, f"Own{word}": named}})


def state(cloud: RunningCloud) -> tuple[str, str, list[str], list[str]]:
    """Status, the template's word, the words of the parameters, the queues."""
    cfn = cloud.client("cloudformation")
    status = cfn.describe_stacks(StackName="cut")["Stacks"][0]["StackStatus"]
    template = cfn.get_template(StackName="cut")["TemplateBody"]
    template = template if isinstance(template, str) else json.dumps(template)
    pages = cloud.client("ssm").get_paginator("get_parameters_by_path").paginate(Path="/many")
    words = sorted({p["Value"] for page in pages for p in page["Parameters"]})
    queues = [url.rpartition("/")[2] for url in cloud.client("sqs").list_queues().get("QueueUrls", [])]
    return status, "two" if "own-two" in template else "one", words, sorted(queues)


def killed_after(cloud: RunningCloud, events: int) -> None:
    """Update to "two"; kill when so many events have been noted, then start again and wait for a final status."""
    cfn = cloud.client("cloudformation")
    before = len(cfn.describe_stack_events(StackName="cut")["StackEvents"])

    def update() -> None:
        try:
            cfn.update_stack(StackName="cut", TemplateBody=body("two"))
        except (BotoCoreError, ClientError, OSError):
            return

    working = threading.Thread(target=update)
    working.start()
    look = cloud.client("cloudformation")
    wait_until(lambda: len(look.describe_stack_events(StackName="cut")["StackEvents"]) >= before + events, 60)
    cloud.kill()
    working.join()
    cloud.start()
    again = cloud.client("cloudformation")
    wait_until(lambda: not again.describe_stacks(StackName="cut")["Stacks"][0]["StackStatus"].endswith("_PROGRESS"), 60)


@pytest.mark.parametrize("events", [2, 16, 31])
def test_what_a_stack_says_and_what_is_there_agree_after_a_kill_at_any_moment(own_cloud, events):
    own_cloud.start()
    own_cloud.client("cloudformation").create_stack(StackName="cut", TemplateBody=body("one"))
    killed_after(own_cloud, events)
    status, word, words, queues = state(own_cloud)
    assert status in ("UPDATE_ROLLBACK_COMPLETE", "UPDATE_COMPLETE")
    assert word == ("two" if status == "UPDATE_COMPLETE" else "one")
    assert words == [word] and queues == [f"own-{word}", f"replaced-{word}"]
    # And it can be deployed again, there and back.
    cfn = own_cloud.client("cloudformation")
    for other in ("one", "two"):
        if other != word:
            cfn.update_stack(StackName="cut", TemplateBody=body(other))
            assert state(own_cloud) == ("UPDATE_COMPLETE", other, [other], [f"own-{other}", f"replaced-{other}"])


def torn(cloud: RunningCloud, change) -> None:
    """Stop without warning, and write what a kill at a certain moment would have left."""
    import sqlite3

    cloud.kill()
    with sqlite3.connect(cloud.state / "rows.sqlite") as rows:
        ((key, record),) = rows.execute("SELECT id, record FROM stack").fetchall()
        resources = {name: json.loads(text) for name, text in rows.execute("SELECT name, record FROM stack_resource")}
        stack = json.loads(record)
        before = {n: stack[n] for n in ("template", "parameters", "resolved", "description", "capabilities", "tags", "role",
                                        "policy")}  # fmt: skip
        stack |= {"status": "UPDATE_IN_PROGRESS", "template": body("two"), "unsettled": True, "before": before}
        change(stack, resources)
        rows.execute("UPDATE stack SET record=? WHERE id=?", (json.dumps(stack), key))
        for name, resource in resources.items():
            rows.execute("UPDATE stack_resource SET record=? WHERE name=?", (json.dumps(resource), name))
    rows.close()
    cloud.start()
    cfn = cloud.client("cloudformation")
    wait_until(lambda: not cfn.describe_stacks(StackName="cut")["Stacks"][0]["StackStatus"].endswith("_PROGRESS"), 60)


def test_a_change_that_was_made_and_never_noted_is_taken_back(own_cloud):
    own_cloud.start()
    own_cloud.client("cloudformation").create_stack(StackName="cut", TemplateBody=body("one"))
    own_cloud.client("ssm").put_parameter(Name="/many/0", Value="two", Overwrite=True)

    def begun(stack: dict, resources: dict) -> None:
        resources["P0"]["attempted"] = resources["P0"]["properties"] | {"Value": "two"}

    torn(own_cloud, begun)
    assert state(own_cloud) == ("UPDATE_ROLLBACK_COMPLETE", "one", ["one"], ["own-one", "replaced-one"])


def test_what_was_to_replace_a_resource_and_was_never_noted_is_taken_away(own_cloud):
    own_cloud.start()
    own_cloud.client("cloudformation").create_stack(StackName="cut", TemplateBody=body("one"))
    own_cloud.client("sqs").create_queue(QueueName="replaced-two")

    def begun(stack: dict, resources: dict) -> None:
        old = resources["Replaced"]
        new = old | {"properties": {"QueueName": "replaced-two"}, "generation": old["generation"] + 1}
        stack["replaced"] = [{"old": old, "new": new}]

    torn(own_cloud, begun)
    assert state(own_cloud) == ("UPDATE_ROLLBACK_COMPLETE", "one", ["one"], ["own-one", "replaced-one"])
