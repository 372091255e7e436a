"""Lambda: what a handler gets, what its caller gets, what its log says; held against what AWS documents and answers."""

from __future__ import annotations

import base64
import json
import re
import uuid

import pytest
from botocore.exceptions import ClientError

from local_cloud.testing import RunningCloud, wait_until
from tests.functions import asked, lines, make, package, role

CONTEXT = """
import os
def handler(event, context):
    return {
        "event": event, "id": context.aws_request_id, "left": context.get_remaining_time_in_millis(),
        "name": context.function_name, "version": context.function_version, "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb, "group": context.log_group_name, "stream": context.log_stream_name,
        "client": context.client_context and context.client_context.custom, "identity": context.identity.cognito_identity_id,
        "variables": dict(os.environ), "folder": os.getcwd(), "file": __file__,
    }
"""
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
OF_AWS = {
    "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "LANG", "PATH", "PYTHONPATH", "TZ", "AWS_XRAY_CONTEXT_MISSING", "PWD", "LC_CTYPE",
}  # fmt: skip
# The machine is not AWS: docs/what-a-container-receives.md gives the reason of each.
OF_THIS_CLOUD = {
    "AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED", "AWS_DISABLE_HOST_PREFIX_INJECTION", "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
}  # fmt: skip


def test_a_python_handler_gets_event_context_and_aws_variables_and_no_others(cloud: RunningCloud) -> None:
    name = make(cloud, CONTEXT, MemorySize=256, Environment={"Variables": {"COLOUR": "blue"}})
    client = base64.b64encode(json.dumps({"custom": {"a": 1}, "client": {}, "env": {}}).encode()).decode()
    told, answer = asked(cloud, name, {"number": 1}, ClientContext=client)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST" and "FunctionError" not in answer
    assert told["event"] == {"number": 1} and uuid.UUID(told["id"]) and 0 < told["left"] <= 60_000
    assert (told["name"], told["version"], told["arn"], told["memory"]) == (name, "$LATEST", arn, "256")
    assert told["group"] == f"/aws/lambda/{name}" and re.fullmatch(
        r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", told["stream"]
    )
    assert told["client"] == {"a": 1} and told["identity"] is None
    variables = told["variables"]
    assert variables.pop("COLOUR") == "blue"
    assert set(variables) - OF_AWS - OF_THIS_CLOUD == set()
    assert OF_AWS - set(variables) - {"LC_CTYPE"} == set()
    assert variables["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.11" and variables["TZ"] == ":UTC"


def test_a_log_has_start_end_and_report_and_what_the_function_said(cloud: RunningCloud) -> None:
    code = "import logging\ndef handler(event, context):\n    print('said')\n    logging.warning('two\\nlines')\n"
    name = make(cloud, code)
    _, answer = asked(cloud, name, LogType="Tail")
    found = lines(cloud, name)
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert found[0].startswith("INIT_START Runtime Version: python:3.11.")
    start = f"START RequestId: {request_id} Version: $LATEST\n"
    assert start in found
    assert "said\n" in found
    assert any(re.fullmatch(rf"\[WARNING\]\t\S+Z\t{request_id}\ttwo\nlines\n", line) for line in found)
    assert f"END RequestId: {request_id}\n" in found
    report = (
        rf"REPORT RequestId: {request_id}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB"
        r"\tMax Memory Used: \d+ MB\t"
    )
    assert re.fullmatch(report + r"Init Duration: [\d.]+ ms\t\n", found[-1])
    assert base64.b64decode(answer["LogResult"]).decode().startswith(start)


RAISES = "class Wrong(Exception):\n    pass\ndef handler(event, context):\n    raise Wrong('no')\n"
FRAME = "  File \"{}/index.py\", line 4, in handler\n    raise Wrong('no')\n"


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (RAISES, "Wrong", "no"),
        ("other = print\n", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'index'"),
        ("import nothing\n", "Runtime.ImportModuleError", "Unable to import module 'index': No module named 'nothing'"),
        (
            "def handler(event, context):\n    return {1, 2}\n",
            "Runtime.MarshalError",
            "Unable to marshal response: Object of type set is not JSON serializable",
        ),
    ],
)
def test_an_error_of_a_function_has_the_shape_of_aws(cloud: RunningCloud, code: str, kind: str, message: str) -> None:
    told, answer = asked(cloud, make(cloud, code))
    assert answer["StatusCode"] == 200 and answer["FunctionError"] == "Unhandled"
    assert set(told) == {"errorMessage", "errorType", "requestId", "stackTrace"}
    assert (told["errorType"], told["errorMessage"]) == (kind, message)
    if kind == "Wrong":
        folder = re.search(r'File "(.*)/index.py"', told["stackTrace"][0])[1]
        assert told["stackTrace"] == [FRAME.format(folder)], "the function's own frames, and none of the runtime's"


def test_a_function_that_takes_too_long_is_ended_and_the_next_one_starts_anew(cloud: RunningCloud) -> None:
    code = """
import time
count = 0
def handler(event, context):
    global count
    count += 1
    time.sleep(event['seconds'])
    return count
"""
    name = make(cloud, code, Timeout=1)
    told, answer = asked(cloud, name, {"seconds": 30})
    assert answer["FunctionError"] == "Unhandled" and told["errorType"] == "Sandbox.Timedout"
    assert re.fullmatch(r"RequestId: [0-9a-f-]{36} Error: Task timed out after 1.00 seconds", told["errorMessage"])
    assert "Status: timeout" in lines(cloud, name)[-1]
    cloud.client("lambda").update_function_configuration(FunctionName=name, Timeout=60)
    assert asked(cloud, name, {"seconds": 0})[0] == 1
    assert asked(cloud, name, {"seconds": 0})[0] == 2, "an environment is kept for the next invocation"


@pytest.mark.parametrize(
    ("code", "said"),
    [("sys.exit(0)", "Runtime exited without providing a reason"), ("os._exit(3)", "Runtime exited with error: exit status 3"),
     ("os.kill(os.getpid(), 9)", "Runtime exited with error: signal: killed")],
)  # fmt: skip
def test_a_process_that_ends_is_an_exit_error(cloud: RunningCloud, code: str, said: str) -> None:
    told, answer = asked(cloud, make(cloud, f"import os, sys\ndef handler(event, context):\n    {code}\n"))
    assert answer["FunctionError"] == "Unhandled" and told["errorType"] == "Runtime.ExitError"
    assert told["errorMessage"].endswith(f"Error: {said}")


def test_a_node_handler_gets_event_and_context_whatever_its_form(cloud: RunningCloud) -> None:
    told = "{ n: event.n, name: context.functionName, id: context.awsRequestId }"
    forms = {
        "index_mjs": f"export const handler = async (event, context) => ({told});",
        "index_js": f"exports.handler = (event, context, done) => setTimeout(() => done(null, {told}), 5);",
    }
    for file, code in forms.items():
        name = make(cloud, code, "nodejs22.x", file=file)
        told, _ = asked(cloud, name, {"n": 2})
        assert (told["n"], told["name"]) == (2, name) and uuid.UUID(told["id"])
        assert asked(cloud, name, {"n": 3})[0]["n"] == 3


def test_a_node_error_and_its_log_have_the_shape_of_aws(cloud: RunningCloud) -> None:
    name = make(
        cloud, "exports.handler = async () => { console.log('said'); throw new TypeError('no'); };", "nodejs22.x"
    )
    told, answer = asked(cloud, name)
    assert answer["FunctionError"] == "Unhandled"
    assert (told["errorType"], told["errorMessage"], told["trace"][0]) == ("TypeError", "no", "TypeError: no")
    found = lines(cloud, name)
    assert any(re.fullmatch(r"\d{4}-\S+Z\t[0-9a-f-]{36}\tINFO\tsaid\n", line) for line in found)
    assert any("\tERROR\tInvoke Error \t{" in line for line in found)


def test_an_event_is_taken_at_once_and_a_dry_run_runs_nothing(cloud: RunningCloud) -> None:
    name = make(cloud, "def handler(event, context):\n    print('number', event['n'])\n")
    assert asked(cloud, name, {"n": 1}, InvocationType="DryRun")[1]["StatusCode"] == 204
    assert asked(cloud, name, {"n": 2}, InvocationType="Event")[1]["StatusCode"] == 202
    assert [line for line in lines(cloud, name) if line.startswith("number")] == ["number 2\n"]


def test_a_function_calls_other_services_as_its_role(cloud: RunningCloud) -> None:
    code = "import boto3\ndef handler(event, context):\n    return boto3.client('sts').get_caller_identity()['Arn']\n"
    allowed = role(cloud)
    name = make(cloud, code, Role=allowed)
    who = asked(cloud, name)[0]
    assert who == f"arn:aws:sts::000000000000:assumed-role/{allowed.rsplit('/', 1)[1]}/{name}"


def test_code_comes_from_s3_and_is_replaced_and_versions_keep_theirs(cloud: RunningCloud) -> None:
    s3, functions, bucket = cloud.client("s3"), cloud.client("lambda"), f"code-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(
        Bucket=bucket,
        Key="a.zip",
        Body=package(index_py="def handler(event, context):\n    return context.function_version\n"),
    )
    name = f"function-{uuid.uuid4().hex[:8]}"
    made = functions.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=role(cloud),
        Handler="index.handler",
        Code={"S3Bucket": bucket, "S3Key": "a.zip"},
    )
    assert made["State"] == "Pending"
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    version = functions.publish_version(FunctionName=name)["Version"]
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    functions.update_function_code(
        FunctionName=name, ZipFile=package(index_py="def handler(event, context):\n    return 'new'\n")
    )
    assert [asked(cloud, name)[0], asked(cloud, f"{name}:live")[0], asked(cloud, name, Qualifier="1")[0]] == [
        "new",
        "1",
        "1",
    ]
    assert [one["Version"] for one in functions.list_versions_by_function(FunctionName=name)["Versions"]] == [
        "$LATEST",
        "1",
    ]
    functions.delete_function(FunctionName=name)
    with pytest.raises(ClientError, match=r"ResourceNotFoundException.*Function not found: arn:aws:lambda"):
        asked(cloud, name)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:a:1"]}, "Layers is not supported by the local cloud"),
        ({"VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}}, "VpcConfig is not supported by the local cloud"),
        ({"Runtime": "java21"}, "The runtime java21 is not supported by the local cloud"),
        ({"Runtime": "perl5"}, "Value 'perl5' at 'runtime' failed to satisfy constraint"),
        ({"PackageType": "Image", "Code": {"ImageUri": "a"}}, "PackageType is not supported by the local cloud"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "Reserved keys used in this request: AWS_REGION"),
        ({"Role": "arn:aws:iam::000000000000:role/nobody"}, "cannot be assumed by Lambda"),
        ({"Code": {"ZipFile": b"no archive"}}, "Could not unzip uploaded file"),
    ],
)  # fmt: skip
def test_what_is_not_offered_or_wrong_is_refused_by_name(cloud: RunningCloud, option: dict, said: str) -> None:
    given = {
        "FunctionName": "refused", "Runtime": "python3.11", "Handler": "index.handler", "Role": role(cloud),
        "Code": {"ZipFile": package(index_py="handler = print")}, **option,
    }  # fmt: skip
    with pytest.raises(ClientError, match=said) as refused:
        cloud.client("lambda").create_function(**given)
    wanted = "ValidationException" if "perl5" in said else "InvalidParameterValueException"
    assert refused.value.response["Error"]["Code"] == wanted


def test_an_archive_that_leads_out_of_its_folder_is_refused(cloud: RunningCloud) -> None:
    with pytest.raises(ClientError, match="Could not unzip uploaded file"):
        cloud.client("lambda").create_function(
            FunctionName="outside", Runtime="python3.11", Handler="index.handler", Role=role(cloud),
            Code={"ZipFile": package(**{"../outside_py": "x = 1"})},
        )  # fmt: skip


def test_a_function_survives_a_kill_with_its_code_and_policy(own_cloud: RunningCloud) -> None:
    own_cloud.start()
    name = make(own_cloud, "def handler(event, context):\n    return 'kept'\n")
    permission = {"StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    own_cloud.client("lambda").add_permission(FunctionName=name, **permission)
    assert asked(own_cloud, name)[0] == "kept"
    own_cloud.kill()
    own_cloud.start()
    assert asked(own_cloud, name)[0] == "kept"
    policy = json.loads(own_cloud.client("lambda").get_policy(FunctionName=name)["Policy"])
    assert policy["Statement"][0]["Principal"] == {"Service": "s3.amazonaws.com"}


def test_a_permission_is_part_of_the_function_and_lists_leave_out_what_aws_leaves_out(cloud: RunningCloud) -> None:
    name, functions = make(cloud, "def handler(event, context):\n    pass\n"), cloud.client("lambda")
    permission = {"StatementId": "a", "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com"}
    functions.add_permission(FunctionName=name, **permission)
    shown = functions.get_function(FunctionName=name)["Configuration"]
    assert functions.get_policy(FunctionName=name)["RevisionId"] == shown["RevisionId"]
    listed = next(one for one in functions.list_functions()["Functions"] if one["FunctionName"] == name)
    assert set(shown) - set(listed) == {"State", "LastUpdateStatus", "RuntimeVersionConfig"}
    functions.remove_permission(FunctionName=name, StatementId="a")
    with pytest.raises(ClientError, match="The resource you requested does not exist"):
        functions.get_policy(FunctionName=name)


def test_topics_rules_queues_and_buckets_reach_functions(cloud: RunningCloud) -> None:
    events, sns, sqs, s3 = (cloud.client(name) for name in ("events", "sns", "sqs", "s3"))
    functions = cloud.client("lambda")
    name = make(cloud, "import json\ndef handler(event, context):\n    print('EVENT', json.dumps(event))\n")
    arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    for service in ("events", "sns", "s3"):
        functions.add_permission(
            FunctionName=name, StatementId=service, Action="lambda:InvokeFunction", Principal=f"{service}.amazonaws.com"
        )
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn)
    sns.publish(TopicArn=topic, Message="by topic")
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
    events.put_events(Entries=[{"Source": name, "DetailType": "x", "Detail": json.dumps({"by": "rule"})}])
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    source = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    functions.create_event_source_mapping(FunctionName=name, EventSourceArn=source)
    sqs.send_message(QueueUrl=queue, MessageBody="by queue")
    s3.create_bucket(Bucket=name)
    wanted = {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=wanted)
    s3.put_object(Bucket=name, Key="by-bucket", Body=b"x")

    def read() -> list[dict]:
        found = cloud.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="EVENT")[
            "events"
        ]
        told = [json.loads(one["message"].removeprefix("EVENT ")) for one in found]
        return told if len(told) >= 4 else []

    told = wait_until(read, what="four events")
    records = [one["Records"][0] for one in told if "Records" in one]
    assert sorted(next(iter(r.get(k) for k in ("eventSource", "EventSource") if r.get(k))) for r in records) == [
        "aws:s3",
        "aws:sns",
        "aws:sqs",
    ]
    assert next(r["Sns"]["Message"] for r in records if "Sns" in r) == "by topic"
    assert next(r["body"] for r in records if "body" in r) == "by queue"
    assert next(r["s3"]["object"]["key"] for r in records if "s3" in r) == "by-bucket"
    assert next(one["detail"] for one in told if "detail" in one) == {"by": "rule"}
    wait_until(
        lambda: (
            sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"][
                "ApproximateNumberOfMessagesNotVisible"
            ]
            == "0"
        )
    )
    with pytest.raises(
        ClientError, match="is not supported by the local cloud: an event source mapping reads an SQS queue"
    ):
        functions.create_event_source_mapping(
            FunctionName=name, EventSourceArn="arn:aws:kinesis:us-east-1:000000000000:stream/a"
        )
