"""`darkroom approve` publishes as the state machine does: of two first publications at once, one gives the fixed name its model."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from darkroom.home import Home
from darkroom.publishing import publish, remove_notes
from darkroom.target import Target
from tests.darkroom.deployments import clients


@pytest.fixture
def place(running):
    """A target, and a bucket with two registered models."""
    s3 = clients(running.home)("s3")
    s3.create_bucket(Bucket="published-models")
    for execution in ("run-1", "run-2"):
        s3.put_object(Bucket="published-models", Key=f"registered/{execution}/model.tar.gz", Body=execution.encode())

    def run(execution: str) -> str:
        target = Target("local", Home(Path(running.home)))
        data = f"s3://published-models/registered/{execution}/model.tar.gz"
        return publish(target, "arn:of:a:package", data, "pets", execution)

    yield run, lambda key: s3.get_object(Bucket="published-models", Key=key)["Body"].read().decode(), s3
    remove_notes(Target("local", Home(Path(running.home))))
    for item in s3.list_objects_v2(Bucket="published-models")["Contents"]:
        s3.delete_object(Bucket="published-models", Key=item["Key"])
    s3.delete_bucket(Bucket="published-models")


def test_each_execution_has_a_key_of_its_own_and_the_first_one_the_fixed_name(place):
    run, read, _ = place
    assert (run("run-1"), run("run-2")) == ("pets/run-1/model.tar.gz", "pets/run-2/model.tar.gz")
    assert read("multi-model/pets/run-2/model.tar.gz") == "run-2"
    assert read("multi-model/pets/model.tar.gz") == "run-1"


def test_two_that_both_find_the_fixed_name_free_write_the_same_model_there(place, running):
    run, read, s3 = place
    with ThreadPoolExecutor(2) as both:
        list(both.map(run, ("run-1", "run-2")))
    owner = clients(running.home)("ssm").get_parameter(Name="/darkroom/dev/fixed-models/pets")["Parameter"]["Value"]
    assert read("multi-model/pets/model.tar.gz") == owner
    # As if this one had looked before the other had written.
    s3.delete_object(Bucket="published-models", Key="multi-model/pets/model.tar.gz")
    run("run-2" if owner == "run-1" else "run-1")
    assert read("multi-model/pets/model.tar.gz") == owner
