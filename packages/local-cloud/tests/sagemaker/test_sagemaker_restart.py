"""Nothing is lost when the cloud is killed: its processes die with it, and what was in service comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local_cloud.testing import wait_until
from tests.sagemaker.platform import Platform, processes_of, quick_settings, started_platform
from tests.sagemaker.test_sagemaker_training import LOGS
from tests.sagemaker.test_sagemaker_tuning import tuning_request

pytestmark = pytest.mark.slow

# Sleeps in its first life only: what it notes there it finds again. It says what a search looks for.
SLEEPER = """
life = base / "checkpoints/life"
first = not life.exists()
life.write_text("lived")
child = os.fork()
if child: say("first" if first else "again", "accuracy=0.5;")
if first: time.sleep(600)
"""


@pytest.fixture
def own_platform(tmp_path) -> Iterator[Platform]:
    own = started_platform(tmp_path)
    yield own
    own.cloud.stop()


def restarted(own: Platform) -> Platform:
    own.cloud.start(**quick_settings())
    again = Platform(own.cloud, own.scratch)
    again.__dict__.update(
        {key: own.__dict__[key] for key in ("role", "bucket", "trainer", "server") if key in own.__dict__}
    )
    return again


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_after_a_restart_jobs_begin_again_with_their_checkpoints_and_endpoints_serve(own_platform, how):
    endpoint = own_platform.endpoint(own_platform.model("back"))
    slow = {"StoppingCondition": {"MaxRuntimeInSeconds": 600}}
    kept = slow | {"CheckpointConfig": {"S3Uri": own_platform.uri("checkpoints/one")}}
    training = own_platform.training_request(SLEEPER, **kept)
    name = training["TrainingJobName"]
    own_platform.api.create_training_job(**training)
    tuning = tuning_request(own_platform, SLEEPER, limits={"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1})
    tuning["TrainingJobDefinition"] |= slow | {"CheckpointConfig": {"S3Uri": own_platform.uri("checkpoints/two")}}
    search = tuning["HyperParameterTuningJobName"]
    own_platform.api.create_hyper_parameter_tuning_job(**tuning)
    for of in (name, search):
        wait_until(lambda of=of: own_platform.lines(LOGS, of), 120, "a job's first line")
    wait_until(lambda: len(own_platform.keys("checkpoints/")) == 2, 120, "both checkpoints")
    assert len(processes_of(name)) >= 2
    began = own_platform.describe("TrainingJob", name)["TrainingStartTime"]

    getattr(own_platform.cloud, how)()
    wait_until(lambda: not processes_of(name), 120, "the end of the job's processes")

    again = restarted(own_platform)
    job = again.finished("TrainingJob", name)
    assert (job["TrainingJobStatus"], job["TrainingStartTime"]) == ("Completed", began)
    statuses = [entry["Status"] for entry in job["SecondaryStatusTransitions"]]
    assert statuses[-5:] == ["Restarting", "Downloading", "Training", "Uploading", "Completed"]
    assert [line.split()[0] for line in again.lines(LOGS, f"{name}/")] == ["first", "again"]
    done = again.finished("HyperParameterTuningJob", search)
    assert done["HyperParameterTuningJobStatus"] == "Completed"
    assert done["TrainingJobStatusCounters"]["Completed"] == 2
    found = again.api.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=search)
    points = [trial["TunedHyperParameters"]["rate"] for trial in found["TrainingJobSummaries"]]
    assert len(points) == len(set(points)) == 2
    folder = own_platform.cloud.state / "sagemaker"
    wait_until(lambda: list(folder.glob("jobs/*/*")) == [], 60, "no folder of a job")
    assert len(list(folder.glob("endpoints/*"))) == 1
    assert again.invoke(endpoint) == "back:hello"
    assert again.settled(endpoint)["EndpointStatus"] == "InService"


def test_a_job_that_was_asked_to_stop_is_stopped_after_a_kill(own_platform):
    request = own_platform.training_request(
        "say('on'); import signal; signal.signal(15, lambda *_: 0); time.sleep(600)"
    )
    name = request["TrainingJobName"]
    own_platform.api.create_training_job(**request)
    wait_until(lambda: own_platform.lines(LOGS, f"{name}/"), 120, "the job's first line")
    own_platform.api.stop_training_job(TrainingJobName=name)
    own_platform.cloud.kill()
    job = restarted(own_platform).describe("TrainingJob", name)
    assert job["TrainingJobStatus"] == "Stopped"


def test_a_literal_opt_ml_can_be_given_up_and_can_be_insisted_on(tmp_path):
    """Where nothing can be mounted (or on request) a job finds its folder by SAGEMAKER_BASE_DIR, which AWS does not set."""
    from local_cloud.sagemaker.namespaces import available

    own = started_platform(tmp_path, LOCAL_CLOUD_MOUNT_OPT_ML="1" if not available() else "0")
    try:
        request = own.training_request("(base / 'model/here').write_text('x'); say(base)")
        if not available():
            with pytest.raises(Exception, match="LOCAL_CLOUD_MOUNT_OPT_ML"):
                own.api.create_training_job(**request)
            return
        own.api.create_training_job(**request)
        job = own.finished("TrainingJob", request["TrainingJobName"])
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        assert own.lines("/aws/sagemaker/TrainingJobs", job["TrainingJobName"])[0].startswith(str(own.cloud.state))
        assert own.keys(f"out/{job['TrainingJobName']}/") == [f"out/{job['TrainingJobName']}/output/model.tar.gz"]
    finally:
        own.cloud.stop()
