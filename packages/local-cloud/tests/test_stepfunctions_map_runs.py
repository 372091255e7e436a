"""Map runs that are changed while they run, and results in the form that a WriterConfig says.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_UpdateMapRun.html,
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

from __future__ import annotations

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from local_cloud.testing import wait_until
from tests.test_stepfunctions_histories import DISTRIBUTED, PASS
from tests.test_stepfunctions_states import machine, one, run, states  # noqa: F401


def test_a_map_run_takes_more_at_a_time_once_it_may(states):  # noqa: F811
    waiting = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 900, "End": True}}}
    state = {"Type": "Map", "MaxConcurrency": 1, "ItemsPath": "$.items", "ItemProcessor": {**DISTRIBUTED, **waiting}}
    arn = states.start_execution(stateMachineArn=machine(states, one(state)), input='{"items": [1, 2, 3]}')[
        "executionArn"
    ]
    (listed,) = wait_until(lambda: states.list_map_runs(executionArn=arn)["mapRuns"], what="the map run")
    made = {"mapRunArn": listed["mapRunArn"]}

    def running(number: int) -> bool:
        return states.describe_map_run(**made)["executionCounts"]["running"] == number

    wait_until(lambda: running(1), what="the first execution")
    assert states.describe_map_run(**made)["executionCounts"]["pending"] == 2
    states.update_map_run(**made, maxConcurrency=3, toleratedFailureCount=2)
    wait_until(lambda: running(3), what="all executions at a time")
    described = states.describe_map_run(**made)
    assert (described["maxConcurrency"], described["toleratedFailureCount"]) == (3, 2)
    states.stop_execution(executionArn=arn)
    wait_until(lambda: states.describe_map_run(**made)["status"] == "ABORTED", what="the end")
    with pytest.raises(ClientError, match="only a running one"):
        states.update_map_run(**made, maxConcurrency=1)


FORMS = {
    ("COMPACT", "JSON"): [[1, 2], [3]],
    ("FLATTEN", "JSONL"): [1, 2, 3],
}


@pytest.mark.parametrize(("transformation", "kind"), FORMS)
def test_results_are_written_in_the_form_that_is_asked_for(states, cloud, transformation, kind):  # noqa: F811
    s3, bucket = cloud.client("s3"), f"results-{uuid.uuid4().hex[:10]}"
    s3.create_bucket(Bucket=bucket)
    form = {"Transformation": transformation, "OutputType": kind}
    state = {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": {**DISTRIBUTED, **PASS}}
    kept = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": bucket}, "WriterConfig": form}
    given = {"items": [[1, 2], [3]]}
    told = json.loads(run(states, one({**state, "ResultWriter": kept}), given)["output"])["ResultWriterDetails"]
    manifest = json.loads(s3.get_object(Bucket=bucket, Key=told["Key"])["Body"].read())
    (named,) = manifest["ResultFiles"]["SUCCEEDED"]
    assert named["Key"].endswith(f"SUCCEEDED_0.{kind.lower()}")
    text = s3.get_object(Bucket=bucket, Key=named["Key"])["Body"].read().decode()
    found = json.loads(text) if kind == "JSON" else [json.loads(line) for line in text.splitlines()]
    assert found == FORMS[transformation, kind]
    back = run(states, one({**state, "ResultWriter": {"WriterConfig": form}}), given)["output"]
    assert json.loads(back) == FORMS[transformation, kind], "without a place, as the state's own result"


def test_a_form_that_is_none_is_a_fault_with_its_place(states):  # noqa: F811
    writer = {"WriterConfig": {"Transformation": "SMALL", "OutputType": "XML"}}
    definition = one({"Type": "Map", "ItemProcessor": {**DISTRIBUTED, **PASS}, "ResultWriter": writer})
    found = states.validate_state_machine_definition(definition=json.dumps(definition))["diagnostics"]
    places = [fault["location"] for fault in found]
    assert [place.rpartition("/")[2] for place in places] == ["Transformation", "OutputType"]
