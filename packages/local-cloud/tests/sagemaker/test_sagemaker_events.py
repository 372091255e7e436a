"""What SageMaker tells EventBridge, held against its guide: names, states as events spell them, times in milliseconds.

https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
(That such an event reaches queues, topics, log groups and state machines: test_events.py and test_sagemaker_training.py.)
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_cloud.events import pattern
from local_cloud.events.bus import EventBus
from local_cloud.sagemaker.state_changes import StateChanges
from local_cloud.sagemaker.store import Store
from local_cloud.testing import ManualClock

ACCOUNT = "000000000000"
ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}"
# What changes: its kind, its ARN, the fields of two steps, and what the guide's example for the last one has in it.
STEPS = {
    "training job": (
        "TrainingJob", f"{ARN}:training-job/n", {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"},
        {"TrainingJobStatus": "Failed", "SecondaryStatus": "Failed", "FailureReason": "why"},
        "SageMaker Training Job State Change", {"TrainingJobStatus": ["Failed"], "FailureReason": ["why"]},
    ),
    "tuning job": (
        "HyperParameterTuningJob", f"{ARN}:hyper-parameter-tuning-job/n", {"HyperParameterTuningJobStatus": "InProgress"},
        {"HyperParameterTuningJobStatus": "Completed"},
        "SageMaker HyperParameter Tuning Job State Change", {"HyperParameterTuningJobStatus": ["Completed"]},
    ),
    "processing job": (
        "ProcessingJob", f"{ARN}:processing-job/n", {"ProcessingJobStatus": "InProgress"},
        {"ProcessingJobStatus": "Completed"},
        "SageMaker Processing Job State Change", {"ProcessingJobStatus": ["Completed"]},
    ),
    "transform job": (
        "TransformJob", f"{ARN}:transform-job/n", {"TransformJobStatus": "InProgress"},
        {"TransformJobStatus": "Completed"},
        "SageMaker Transform Job State Change", {"TransformJobStatus": ["Completed"]},
    ),
    "endpoint": (
        "Endpoint", f"{ARN}:endpoint/n", {"EndpointStatus": "Creating"}, {"EndpointStatus": "InService"},
        "SageMaker Endpoint State Change", {"EndpointStatus": ["IN_SERVICE"]},
    ),
    "model package": (
        "ModelPackage", f"{ARN}:model-package/g/1",
        {"ModelPackageStatus": "Completed", "ModelApprovalStatus": "PendingManualApproval"},
        {"ModelApprovalStatus": "Approved"},
        "SageMaker Model Package State Change", {"ModelApprovalStatus": ["Approved"], "ModelPackageGroupName": ["g"]},
    ),
}  # fmt: skip


@pytest.fixture
def told(tmp_path):
    """A store of SageMaker's, and the events that it gave to the bus, as they travel."""
    clock, events = ManualClock(), []
    bus = EventBus(ACCOUNT, "us-east-1", lambda service: None, clock)

    def emit(source: str, detail_type: str, detail: dict[str, Any], resources: list[str]) -> None:
        events.append(json.loads(json.dumps(bus._event(source, detail_type, detail, resources))))

    store = Store(tmp_path / "sagemaker.sqlite", "us-east-1", ACCOUNT, clock, StateChanges(emit).told)
    yield store, events
    store.close()


@pytest.mark.parametrize("what", STEPS)
def test_each_change_of_state_is_one_event_in_the_shape_of_the_guide(told, what):
    (store, events), (noun, arn, first, last, detail_type, wanted) = told, STEPS[what]
    named = {f"{noun}Arn": arn, f"{noun}Name": "n", "ModelPackageGroupName": "g"}
    store.add(noun, "n", {**named, **first, "CreationTime": store.now(), "_private": "hidden"})
    store.change(noun, "n", Note="nothing that anybody is told")
    store.change(noun, "n", **last)
    assert len(events) == 2, "one for each change of state, none for others"
    event = events[-1]
    assert {name: event[name] for name in ("version", "source", "account", "region", "detail-type", "resources")} == {
        "version": "0", "source": "aws.sagemaker", "account": ACCOUNT, "region": "us-east-1", "detail-type": detail_type,
        "resources": [arn],
    }  # fmt: skip
    asked = {"source": ["aws.sagemaker"], "detail-type": [detail_type], "detail": wanted}
    assert pattern.matches(pattern.parsed(json.dumps(asked)), event)
    assert not pattern.matches(pattern.parsed(json.dumps(asked)), events[0])
    assert event["detail"]["CreationTime"] == 1_700_000_000_000 and "_private" not in event["detail"]


def test_a_model_that_is_made_or_deleted_is_an_event(told):
    store, events = told
    store.add("Model", "n", {"ModelArn": f"{ARN}:model/n", "ModelName": "n", "CreationTime": store.now()})
    store.delete("Model", "n")
    assert [(event["detail-type"], event["resources"]) for event in events] == [
        ("SageMaker Model State Change", [f"{ARN}:model/n"])
    ] * 2
