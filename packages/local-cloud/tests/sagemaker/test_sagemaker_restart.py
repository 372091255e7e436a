"""Nothing is lost when the cloud is killed: its processes die with it, and what was in service comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local_cloud.testing import wait_until
from tests.sagemaker.platform import Platform, processes_of, quick_settings, started_platform
from tests.sagemaker.test_sagemaker_training import LOGS
from tests.sagemaker.test_sagemaker_tuning import tuning_request

pytestmark = pytest.mark.slow

SLEEPER = """
child = os.fork()
if child: say("ready")
time.sleep(60)
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
def test_after_a_restart_jobs_have_failed_and_endpoints_serve(own_platform, how):
    endpoint = own_platform.endpoint(own_platform.model("back"))
    training = own_platform.training_request(SLEEPER)
    name = training["TrainingJobName"]
    own_platform.api.create_training_job(**training)
    tuning = tuning_request(own_platform, "time.sleep(60)")
    own_platform.api.create_hyper_parameter_tuning_job(**tuning)
    wait_until(lambda: own_platform.lines(LOGS, f"{name}/"), 120, "the job's first line")
    assert len(processes_of(name)) >= 2

    getattr(own_platform.cloud, how)()
    wait_until(lambda: not processes_of(name), 120, "the end of the job's processes")

    again = restarted(own_platform)
    job = again.describe("TrainingJob", name)
    assert job["TrainingJobStatus"] == "Failed" and "the local cloud stopped" in job["FailureReason"]
    search = again.describe("HyperParameterTuningJob", tuning["HyperParameterTuningJobName"])
    assert search["HyperParameterTuningJobStatus"] == "Failed" and "the local cloud stopped" in search["FailureReason"]
    folder = own_platform.cloud.state / "sagemaker"
    assert list(folder.glob("jobs/*/*")) == []  # what the killed process could not delete is gone
    assert len(list(folder.glob("endpoints/*"))) == 1
    assert again.invoke(endpoint) == "back:hello"
    assert again.settled(endpoint)["EndpointStatus"] == "InService"
    assert again.train("pass")["TrainingJobStatus"] == "Completed"


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
