"""Clouds of tests come out of one process, and share nothing for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from local_cloud.testing import RunningCloud, wait_until
from local_cloud.testing_start import Forked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each cloud is started by itself")


def test_two_clouds_of_one_process_share_neither_state_nor_keys_nor_end(tmp_path):
    one, other = RunningCloud(tmp_path / "one"), RunningCloud(tmp_path / "other")
    for cloud in (one, other):
        cloud.start()
        assert isinstance(cloud.process, Forked)
    one.client("s3").create_bucket(Bucket="only-here")
    one.client("ssm").put_parameter(Name="/only/here", Value="x", Type="String")
    assert other.client("s3").list_buckets()["Buckets"] == []
    assert other.client("ssm").describe_parameters()["Parameters"] == []
    assert one.description["secret_access_key"] != other.description["secret_access_key"]
    one.kill()
    assert one.process.poll() == -signal.SIGKILL and other.process.poll() is None
    assert other.client("sts").get_caller_identity()["Account"] == "000000000000"
    assert other.stop() == 0 and not psutil.pid_exists(other.process.pid)


def test_it_has_the_variables_and_the_folder_of_the_test_and_no_file_of_anothers(own_cloud, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_PROFILE", "someone-elses")
    own_cloud.start(LOCAL_CLOUD_COMMAND="some-command")
    process = psutil.Process(own_cloud.process.pid)
    assert process.cwd() == str(tmp_path)
    opened = {os.readlink(f"/proc/{process.pid}/fd/{number}") for number in (0, 1, 2)}
    assert opened == {os.devnull, str(own_cloud.state / "cloud.log")}
    wait_until(lambda: "Ready at" in own_cloud.log())
    with pytest.raises(subprocess.TimeoutExpired):
        own_cloud.process.wait(timeout=0.01)
    assert own_cloud.stop() == 0


def test_one_that_cannot_start_says_so_as_the_program_does(own_cloud):
    with pytest.raises(AssertionError, match=r"the cloud ended with 2:\n(.|\n)*LOCAL_CLOUD_SYNC_SECONDS"):
        own_cloud.start(LOCAL_CLOUD_SYNC_SECONDS="soon")
