"""Processing jobs: inputs under /opt/ml/processing, outputs uploaded, messages and failures reported."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.sagemaker.platform import INSTANCE, new_name

LOGS = "/aws/sagemaker/ProcessingJobs"


def processing_request(platform, program, *arguments, **fields):
    name = new_name("process")
    return {
        "ProcessingJobName": name,
        "ProcessingResources": {"ClusterConfig": {"InstanceType": INSTANCE, "InstanceCount": 1, "VolumeSizeInGB": 1}},
        "AppSpecification": {"ImageUri": platform.trainer, "ContainerEntrypoint": ["python", "-c", program],
                             **({"ContainerArguments": list(arguments)} if arguments else {})},
        "RoleArn": platform.role,
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **fields,
    }  # fmt: skip


def process(platform, program, *arguments, **fields):
    request = processing_request(platform, program, *arguments, **fields)
    platform.api.create_processing_job(**request)
    return platform.finished("ProcessingJob", request["ProcessingJobName"])


def output(uri, path="/opt/ml/processing/output", mode="EndOfJob"):
    return {"OutputName": new_name("o"), "S3Output": {"S3Uri": uri, "LocalPath": path, "S3UploadMode": mode}}


def s3_input(uri, path="/opt/ml/processing/input"):
    return {
        "InputName": new_name("i"),
        "S3Input": {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"},
    }


def test_inputs_are_read_and_outputs_uploaded(platform):
    platform.put("raw/a/1.txt", b"one")
    job = process(
        platform,
        "import sys, shutil; print('copying', sys.argv[1]); shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)",
        "/opt/ml/processing/input", "/opt/ml/processing/output",
        ProcessingInputs=[s3_input(platform.uri("raw/"))],
        ProcessingOutputConfig={"Outputs": [output(platform.uri("cooked"))]},
    )  # fmt: skip
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    assert platform.read("cooked/a/1.txt") == b"one"
    assert platform.lines(LOGS, job["ProcessingJobName"])[0].startswith("copying ")


def test_the_job_can_change_its_inputs_without_changing_the_bucket(platform):
    platform.put("precious/1.txt", b"original")
    process(
        platform,
        "import sys; open(sys.argv[1] + '/1.txt', 'w').write('overwritten')",
        "/opt/ml/processing/input",
        ProcessingInputs=[s3_input(platform.uri("precious/"))],
    )
    assert platform.read("precious/1.txt") == b"original"


def test_a_failing_job_reports_its_message_and_exit_code(platform):
    message = "open(os.environ.get('SAGEMAKER_BASE_DIR', '/opt/ml') + '/output/message', 'w')"
    program = f"import os, sys; print('No photo found.', end='', file={message}); sys.exit(4)"
    job = process(platform, program, ProcessingOutputConfig={"Outputs": [output(platform.uri("never"))]})
    assert job["ProcessingJobStatus"] == "Failed" and job["ExitMessage"] == "No photo found."
    assert job["FailureReason"] == "AlgorithmError: No photo found., exit code: 4"
    assert platform.keys("never/") == []


def test_continuous_outputs_appear_while_the_job_runs(platform):
    program = "import sys, time; open(sys.argv[1] + '/early', 'w').write('1'); time.sleep(60)"
    outputs = {"Outputs": [output(platform.uri("live"), mode="Continuous")]}
    request = processing_request(platform, program, "/opt/ml/processing/output", ProcessingOutputConfig=outputs)
    name = request["ProcessingJobName"]
    platform.api.create_processing_job(**request)
    job = platform.until("ProcessingJob", name, lambda _: platform.keys("live/"))
    assert job["ProcessingJobStatus"] == "InProgress"
    platform.api.stop_processing_job(ProcessingJobName=name)
    assert platform.finished("ProcessingJob", name)["ProcessingJobStatus"] == "Stopped"


def test_a_job_over_its_time_limit_fails(platform):
    job = process(platform, "import time; time.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert job["ProcessingJobStatus"] == "Failed" and "MaxRuntimeInSeconds" in job["FailureReason"]


def test_an_input_without_objects_fails_the_job(platform):
    job = process(platform, "pass", ProcessingInputs=[s3_input(platform.uri("empty/"))])
    assert job["ProcessingJobStatus"] == "Failed" and "No S3 objects found" in job["FailureReason"]


@pytest.mark.parametrize("path", ["/srv/elsewhere", "/opt/ml/../../etc"])
def test_a_path_outside_of_the_job_is_refused(platform, path):
    with pytest.raises(ClientError, match="below /opt/ml"):
        process(platform, "pass", ProcessingInputs=[s3_input(platform.uri("raw/"), path)])


def test_a_job_that_does_not_exist_is_not_found(platform):
    with pytest.raises(ClientError) as refused:
        platform.api.describe_processing_job(ProcessingJobName="nobody")
    assert refused.value.response["Error"]["Code"] == "ValidationException"
