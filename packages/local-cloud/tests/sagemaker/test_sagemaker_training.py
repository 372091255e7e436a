"""Training jobs run as AWS runs them: what the container finds, what becomes of what it leaves, and how it can end."""

from __future__ import annotations

import io
import json
import tarfile
import time

import pytest
from botocore.exceptions import ClientError

from local_cloud.testing import wait_until
from tests.sagemaker.platform import Platform, channel, new_name, processes_of

LOGS = "/aws/sagemaker/TrainingJobs"


def archive(platform: Platform, uri: str) -> dict[str, bytes]:
    data = platform.read(uri.split("/", 3)[3])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}


def test_a_job_reads_its_channel_and_leaves_its_model_and_output(platform):
    platform.put("photos/ant/1.jpg", b"ant")
    platform.put("photos/bee/2.jpg", b"bee")
    job = platform.train(
        """
        photos = sorted(p.relative_to(base / "input/data/train").as_posix() for p in (base / "input/data/train").rglob("*.jpg"))
        (base / "model/found.json").write_text(json.dumps(photos))
        (base / "output/data/report.txt").write_text("fine")
        """,
        channels={"train": platform.uri("photos/")},
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == platform.uri(
        f"out/{job['TrainingJobName']}/output/model.tar.gz"
    )
    assert archive(platform, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"found.json": b'["ant/1.jpg", "bee/2.jpg"]'}
    output = platform.uri(f"out/{job['TrainingJobName']}/output/output.tar.gz")
    assert archive(platform, output) == {"report.txt": b"fine"}
    statuses = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["SecondaryStatus"] == "Completed" and job["BillableTimeInSeconds"] >= 1


def test_the_container_finds_the_documented_configuration(platform):
    platform.put("csv/a.csv", b"1")
    job = platform.train(
        """
        say(json.dumps({n: config(n) for n in ("hyperparameters", "inputdataconfig", "resourceconfig", "debughookconfig")}))
        say(json.dumps({k: os.environ[k] for k in os.environ if k.startswith(("AWS_", "TRAINING_", "COLOR", "WHERE"))}))
        say(sys.argv[1:])
        """,
        channels={"train": platform.uri("csv/")},
        HyperParameters={"depth": "5"},
        Environment={"COLOR": "red", "WHERE": "/opt/ml/input/data"},
        DebugHookConfig={
            "S3OutputPath": platform.uri("debug"),
            "CollectionConfigurations": [{"CollectionName": "losses"}],
        },
    )
    files, variables, arguments = platform.lines(LOGS, job["TrainingJobName"])
    found, variables = json.loads(files), json.loads(variables)
    assert found["hyperparameters"]["depth"] == "5"
    assert found["inputdataconfig"] == {
        "train": {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    }
    assert found["resourceconfig"]["hosts"] == ["algo-1"] and found["resourceconfig"]["current_host"] == "algo-1"
    assert found["debughookconfig"]["CollectionConfigurations"] == [{"CollectionName": "losses"}]
    assert found["debughookconfig"]["LocalPath"].endswith("/output/tensors")
    assert (
        variables["TRAINING_JOB_NAME"] == job["TrainingJobName"]
        and variables["TRAINING_JOB_ARN"] == job["TrainingJobArn"]
    )
    assert variables["COLOR"] == "red" and variables["WHERE"].endswith("/ml/input/data")
    assert variables["AWS_REGION"] == "us-east-1" and variables["AWS_ENDPOINT_URL"] == platform.cloud.endpoint
    assert arguments == "['train']"


def test_user_code_starts_within_half_a_second(platform):
    request = platform.training_request("say(time.time())")
    platform.train("pass")  # warm
    began = time.time()
    platform.api.create_training_job(**request)
    platform.finished("TrainingJob", request["TrainingJobName"])
    [moment] = platform.lines(LOGS, request["TrainingJobName"])
    assert float(moment) - began < 0.5


def test_metrics_are_found_in_the_log_by_regex_while_the_job_runs(platform):
    job = platform.train(
        """
        for value in ("0.5", "0.25", "none"): say(f"epoch: loss={value}; seen 1e3")
        """,
        metrics={"train:loss": r"loss=([0-9.]+);", "seen": r"seen (\S+)"},
    )
    final = {m["MetricName"]: m["Value"] for m in job["FinalMetricDataList"]}
    assert final == {"train:loss": 0.25, "seen": 1000.0}
    watch = platform.cloud.client("cloudwatch")
    listed = watch.list_metrics(Namespace=LOGS, MetricName="train:loss")["Metrics"]
    assert {"Name": "TrainingJobName", "Value": job["TrainingJobName"]} in [d for m in listed for d in m["Dimensions"]]


def test_the_failure_reason_is_what_the_job_wrote(platform):
    job = platform.train(
        "(base / 'output/failure').write_text('The learning rate is 7; use less than 1.'); sys.exit(3)"
    )
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: The learning rate is 7; use less than 1., exit code: 3"
    assert platform.keys(f"out/{job['TrainingJobName']}/") == []


def test_a_failure_without_a_message_shows_the_last_line(platform):
    job = platform.train("raise RuntimeError('out of luck')")
    assert job["FailureReason"] == "AlgorithmError: RuntimeError: out of luck, exit code: 1"


def test_a_killed_job_says_so(platform):
    job = platform.train("os.kill(os.getpid(), signal.SIGKILL)")
    assert job["FailureReason"] == "AlgorithmError: the process was killed from outside (SIGKILL), exit code: 137"


def test_a_stopped_job_gets_sigterm_and_its_model_is_kept(platform):
    request = platform.training_request(
        """
        def stop(*_):
            (base / "model/half").write_text("done"); sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        say("ready"); time.sleep(60)
        """
    )
    name = request["TrainingJobName"]
    platform.api.create_training_job(**request)
    platform.saying(name, "ready")
    platform.api.stop_training_job(TrainingJobName=name)
    job = platform.finished("TrainingJob", name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert archive(platform, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"half": b"done"}
    with pytest.raises(ClientError, match="in status Stopped"):
        platform.api.stop_training_job(TrainingJobName=name)


def test_a_job_that_ignores_sigterm_is_killed_with_its_children(platform):
    request = platform.training_request(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = os.fork()
        if child: say("ready")
        time.sleep(60)
        """
    )
    name = request["TrainingJobName"]
    platform.api.create_training_job(**request)
    platform.saying(name, "ready")
    assert len(processes_of(name)) >= 2
    platform.api.stop_training_job(TrainingJobName=name)
    assert platform.finished("TrainingJob", name)["TrainingJobStatus"] == "Stopped"
    platform.until("TrainingJob", name, lambda _: not processes_of(name))


def test_a_job_over_its_time_limit_is_stopped(platform):
    job = platform.train("time.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_an_interrupted_spot_job_finds_its_checkpoints_again(platform):
    request = platform.training_request(
        """
        mark = base / "checkpoints/step"
        if mark.exists(): (base / "model/resumed").write_text(mark.read_text()); sys.exit(0)
        mark.write_text("41"); say("saved"); time.sleep(60)
        """,
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
        CheckpointConfig={"S3Uri": platform.uri("checkpoints/spot")},
        Tags=[{"Key": "local:interrupt-after-seconds", "Value": "1"}],
    )
    platform.api.create_training_job(**request)
    job = platform.finished("TrainingJob", request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert archive(platform, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"resumed": b"41"}
    assert "Interrupted" in [transition["Status"] for transition in job["SecondaryStatusTransitions"]]


def test_a_fast_file_channel_can_be_read_but_its_objects_not_changed(platform):
    platform.put("linked/1.txt", "original")
    job = platform.train(
        """
        photo = base / "input/data/train/1.txt"
        (base / "model/read").write_text(photo.read_text())
        try: photo.write_text("overwritten")
        except OSError as error: say(error.strerror)
        """,
        InputDataConfig=[channel("train", platform.uri("linked/"), InputMode="FastFile")],
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert archive(platform, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"read": b"original"}
    assert platform.read("linked/1.txt") == b"original"


def test_every_host_gets_its_share_of_the_objects(platform):
    for number in range(4):
        platform.put(f"shards/{number}.txt", str(number))
    job = platform.train(
        """
        mine = sorted(p.name for p in (base / "input/data/train").iterdir())
        (base / "model" / config("resourceconfig")["current_host"]).write_text(",".join(mine))
        import socket
        names = config("resourceconfig")["hosts"]
        try: say([socket.gethostbyname(n) for n in names])
        except OSError: say("names do not resolve here")
        """,
        InputDataConfig=[
            channel(
                "train",
                platform.uri("shards/"),
                InputMode="FastFile",
                source={"S3DataDistributionType": "ShardedByS3Key"},
            )
        ],
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
    )
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"], (
        "wall-clock time of one instance, as botocore says"
    )
    assert archive(platform, job["ModelArtifacts"]["S3ModelArtifacts"]) == {
        "algo-1": b"0.txt,2.txt",
        "algo-2": b"1.txt,3.txt",
    }


def test_one_failing_host_ends_the_whole_job(platform):
    job = platform.train(
        "sys.exit(9) if config('resourceconfig')['current_host'] == 'algo-2' else time.sleep(60)",
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
    )
    assert job["TrainingJobStatus"] == "Failed" and job["FailureReason"].endswith("exit code: 9")


def test_a_manifest_names_the_files_of_a_channel(platform):
    platform.put("all/1.txt")
    platform.put("all/2.txt")
    manifest = platform.put("list.manifest", json.dumps([{"prefix": platform.uri("all/")}, "2.txt"]))
    job = platform.train(
        "(base / 'model/names').write_text(str([p.name for p in (base / 'input/data/train').iterdir()]))",
        InputDataConfig=[channel("train", manifest, source={"S3DataType": "ManifestFile"})],
    )
    assert archive(platform, job["ModelArtifacts"]["S3ModelArtifacts"]) == {"names": b"['2.txt']"}


def test_debug_output_is_uploaded(platform):
    job = platform.train(
        "(base / 'output/tensors').mkdir(exist_ok=True); (base / 'output/tensors/events').write_text('loss')",
        DebugHookConfig={"S3OutputPath": platform.uri("debug")},
    )
    assert platform.read(f"debug/{job['TrainingJobName']}/debug-output/events") == b"loss"


def refusal(platform: Platform, **fields) -> tuple[str, str]:
    request = platform.training_request("pass") | fields
    with pytest.raises(ClientError) as refused:
        platform.api.create_training_job(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_name_is_used_once(platform):
    job = platform.train("pass")
    code, message = refusal(platform, TrainingJobName=job["TrainingJobName"])
    assert code == "ResourceInUse" and job["TrainingJobName"] in message


def test_a_job_that_does_not_exist_is_not_found(platform):
    for call in (platform.api.describe_training_job, platform.api.stop_training_job):
        with pytest.raises(ClientError) as refused:
            call(TrainingJobName="nobody")
        assert refused.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"InputDataConfig": [channel("train", "s3://nowhere-at-all/x")]}, "ValidationException", "No S3 objects found"),
        ({"InputDataConfig": [channel("a", "s3://x/y"), channel("a", "s3://x/y")]}, "ValidationException", "more than once"),
        ({"InputDataConfig": [channel("a", "s3://x/y", InputMode="Pipe")]}, "ValidationException", "Pipe"),
        ({"RoleArn": "arn:aws:iam::000000000000:role/nobody"}, "ValidationException", "Could not assume role"),
        ({"AlgorithmSpecification": {"TrainingImage": "a/b:1", "TrainingInputMode": "File"}}, "ValidationException", "a/b:1"),
        ({"AlgorithmSpecification": {"AlgorithmName": "x", "TrainingInputMode": "File"}}, "ValidationException", "AlgorithmName"),
        ({"EnableManagedSpotTraining": True}, "ValidationException", "MaxWaitTimeInSeconds"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 5}, "EnableManagedSpotTraining": True},
         "ValidationException", "MaxRuntimeInSeconds"),
        ({"ResourceConfig": {"InstanceType": "ml.imaginary.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
         "ValidationException", "ml.imaginary.large"),
        ({"DebugRuleConfigurations": [{"RuleConfigurationName": "VanishingGradient", "RuleEvaluatorImage": "x"}]},
         "ValidationException", "VanishingGradient"),
        ({"RemoteDebugConfig": {"EnableRemoteDebug": True}}, "ValidationException", "RemoteDebugConfig"),
    ],
)  # fmt: skip
def test_what_aws_refuses_is_refused_by_name(platform, fields, code, text):
    refused_code, message = refusal(platform, **fields)
    assert refused_code == code and text in message


def test_an_output_bucket_that_does_not_exist_fails_before_training(platform):
    job = platform.train("say('trained in vain')", OutputDataConfig={"S3OutputPath": "s3://no-such-bucket-here/x"})
    assert job["TrainingJobStatus"] == "Failed" and "no-such-bucket-here" in job["FailureReason"]
    assert platform.lines(LOGS, job["TrainingJobName"]) == []


def test_jobs_are_listed_by_name_status_and_page(platform):
    prefix = new_name("list")
    for number in range(3):
        platform.train("pass", TrainingJobName=f"{prefix}-{number}")
    first = platform.api.list_training_jobs(NameContains=prefix, MaxResults=2, SortBy="Name", SortOrder="Descending")
    rest = platform.api.list_training_jobs(
        NameContains=prefix, MaxResults=2, SortBy="Name", SortOrder="Descending", NextToken=first["NextToken"]
    )
    names = [job["TrainingJobName"] for page in (first, rest) for job in page["TrainingJobSummaries"]]
    assert names == [f"{prefix}-2", f"{prefix}-1", f"{prefix}-0"] and "NextToken" not in rest
    assert platform.api.list_training_jobs(NameContains=prefix, StatusEquals="Failed")["TrainingJobSummaries"] == []
    with pytest.raises(ClientError, match="Invalid pagination token"):
        platform.api.list_training_jobs(NextToken="nonsense")


def test_tags_can_be_added_listed_and_deleted(platform):
    job = platform.train("pass", Tags=[{"Key": "owner", "Value": "me"}])
    arn = job["TrainingJobArn"]
    platform.api.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "dev"}])
    platform.api.delete_tags(ResourceArn=arn, TagKeys=["owner"])
    assert platform.api.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "stage", "Value": "dev"}]


def test_an_operation_that_is_not_supported_is_refused_by_name(platform):
    with pytest.raises(ClientError) as refused:
        platform.api.create_app(DomainId="d-1", AppType="JupyterServer", AppName="default")
    assert refused.value.response["Error"]["Code"] == "UnknownOperationException"
    assert "CreateApp" in refused.value.response["Error"]["Message"]


def test_the_states_of_a_job_are_events(platform):
    """https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html"""
    sqs, events, name = platform.cloud.client("sqs"), platform.cloud.client("events"), new_name("events")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    asked = {
        "source": ["aws.sagemaker"], "detail-type": ["SageMaker Training Job State Change"],
        "detail": {"TrainingJobName": [{"prefix": name}]},
    }  # fmt: skip
    events.put_rule(Name=name, EventPattern=json.dumps(asked))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
    job = platform.train("pass", TrainingJobName=f"{name}-job", Environment={"PASSWORD": "hunter2"})
    heard: list[dict] = []

    def complete() -> bool:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            heard.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return any(event["detail"]["SecondaryStatus"] == "Completed" for event in heard)

    wait_until(complete, 60, "the event of the end")
    states = [event["detail"]["SecondaryStatus"] for event in heard]
    assert states == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert {event["resources"][0] for event in heard} == {job["TrainingJobArn"]}
    assert "hunter2" not in json.dumps(heard)
