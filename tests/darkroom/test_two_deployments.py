"""Two environments and two projects stand side by side in one cloud: each command works on the one that it was told."""

import contextlib
import json
import time

import pytest
from botocore.exceptions import ClientError

from contract.names import Names
from tests.darkroom import deployments, inside

DEV, PROD, BEES = Names(), Names(environment="prod"), Names("bees", "dev")
ALL = (DEV, PROD, BEES)
BOTH = ["local", "aws"]


@pytest.fixture(scope="module")
def three(running):
    """The command line, a maker of clients, three deployments."""
    make = deployments.clients(running.home)
    for names in ALL:
        deployments.deploy(make, names, tagged=names != PROD)
        for kind in ("data", "models"):
            bucket = make("ssm").get_parameter(Name=names.parameter(f"{kind}-bucket"))["Parameter"]["Value"]
            make("s3").put_object(Bucket=bucket, Key="kept", Body=names.prefix.encode())
    return running, make


def where(kind: str, names: Names) -> list[str]:
    return ["--target", kind, "--project", names.project, "--environment", names.environment]


def ask(run, kind: str, *words: str):
    return inside.ask(run, *words, **(inside.account(run.home) if kind == "aws" else {}))


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("names", ALL, ids=str)
def test_status_shows_the_deployment_that_was_asked_for(three, kind, names):
    run, _ = three
    said = json.loads(ask(run, kind, "status", "--json", *where(kind, names)).stdout)
    assert [stack["name"] for stack in said["stacks"]] and {s["name"] for s in said["stacks"]} == set(names.stacks)
    assert {(o["project"], o["environment"]) for o in said["other_deployments"]} == {
        (o.project, o.environment) for o in ALL if o != names
    }


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("names", ALL, ids=str)
def test_run_and_follow_use_its_bucket_and_its_state_machine(three, kind, names, tmp_path):
    run, make = three
    for label in ("ant", "bee"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in "123":  # one for each split
            (tmp_path / "photos" / label / f"{number}.jpg").write_bytes(f"photo {label} {number}".encode())
    name = f"of-{names.prefix}-{kind}"
    started = ask(
        run, kind, "run", "--data", str(tmp_path / "photos"), "--name", name, "--no-wait", *where(kind, names)
    )
    assert started.returncode == 0, started.stderr
    bucket = make("ssm").get_parameter(Name=names.parameter("data-bucket"))["Parameter"]["Value"]
    assert f"s3://{bucket}/datasets/" in started.stdout
    machine = make("ssm").get_parameter(Name=names.parameter("state-machine-arn"))["Parameter"]["Value"]
    assert name in [run["name"] for run in make("stepfunctions").list_executions(stateMachineArn=machine)["executions"]]
    followed = ask(run, kind, "follow", name, "--no-endpoint", *where(kind, names))
    assert followed.returncode == 0, followed.stderr


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("names", ALL, ids=str)
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["approve"], "No model of group {prefix} waits for approval"),
        (["approve", "arn:of:nobody"], "not a model package of the group {prefix}"),
        (["predict", "x.jpg"], "There is no endpoint 'cpu'"),
        (["report", "absent"], "There is no execution absent"),
        (["compare", "--follow", "absent"], "{parameters}comparison-state-machine-arn"),
        (["weights", "add", "resnet18"], "{parameters}images/training"),
    ],
)
def test_every_other_command_asks_for_parts_of_that_deployment(three, kind, names, words, reason):
    run, _ = three
    said = ask(run, kind, *words, *where(kind, names))
    assert said.returncode == 1 and "Traceback" not in said.stderr
    assert reason.format(prefix=names.prefix, parameters=names.parameters) in said.stderr


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("names", ALL, ids=str)
def test_logs_are_those_of_the_job_that_was_named_and_of_no_neighbour(three, kind, names):
    run, make = three
    logs, group = make("logs"), "/aws/sagemaker/TrainingJobs"
    jobs = [f"{n.prefix}-0a1b2c3d-train-0-{number}" for n in ALL for number in (1, 10)]
    for job in jobs:
        stream = {"logGroupName": group, "logStreamName": f"{job}/algo-1-1700000000"}
        with contextlib.suppress(ClientError):  # made by an earlier case
            make("logs").create_log_group(logGroupName=group)
        with contextlib.suppress(ClientError):
            logs.create_log_stream(**stream)
            moment = int(time.time() * 1000)
            logs.put_log_events(**stream, logEvents=[{"timestamp": moment, "message": f"said by {job}"}])
    job = f"{names.prefix}-0a1b2c3d-train-0-1"
    said = ask(run, kind, "logs", job, *where(kind, names))
    assert (said.returncode, said.stdout) == (0, f"said by {job}\n"), said.stderr
    absent = ask(run, kind, "logs", f"{names.prefix}-0a1b2c3d-train", *where(kind, names))
    assert absent.returncode == 1 and "No log of" in absent.stderr


@pytest.mark.parametrize("kind", BOTH)
def test_destroy_deletes_what_it_shows_and_nothing_of_the_others(three, kind):
    """Whatever was deployed or synthesized last: dev was first."""
    run, make = three
    gone = DEV if kind == "aws" else PROD
    before = deployments.stacks(make)
    said = ask(run, kind, "destroy", "--yes", *where(kind, gone))
    assert said.returncode == 0, said.stderr
    assert before - deployments.stacks(make) == set(gone.stacks)
    assert all(f"stack {name}\n" in said.stdout for name in gone.stacks)
    for names in [DEV, BEES] if kind == "local" else [BEES]:
        bucket = make("ssm").get_parameter(Name=names.parameter("models-bucket"))["Parameter"]["Value"]
        assert make("s3").get_object(Bucket=bucket, Key="kept")["Body"].read() == names.prefix.encode()
    assert run.home.is_dir()


def test_the_only_deployment_that_stands_is_meant_where_none_is_named(three):
    run, _ = three
    said = ask(run, "local", "status", "--json")
    assert json.loads(said.stdout)["project"] == "bees" and "Only one deployment stands here" in said.stderr
    refused = ask(run, "aws", "destroy", "--yes", "--target", "aws")
    assert refused.returncode == 1 and "darkroom destroy --target aws --project bees" in refused.stderr


def test_the_last_one_takes_the_state_of_the_local_cloud_with_it(three):
    run, make = three
    asked = run("destroy")
    assert asked.returncode == 1 and "Add --yes" in asked.stderr and len(deployments.stacks(make)) == 5
    assert "results and reports of 6 executions" in asked.stdout
    assert run("destroy", "--yes").returncode == 0
    assert not run.home.exists()
