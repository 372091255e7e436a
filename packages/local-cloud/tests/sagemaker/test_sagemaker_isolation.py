"""What a job can see, reach and take out: tried from inside a job, as a hostile one would."""

from __future__ import annotations

import io
import json
import os
import socket
import tarfile
from pathlib import Path

import pytest

from local_cloud.sagemaker.namespaces import available
from tests.sagemaker.platform import Platform, channel, new_name, started_platform

LOGS = "/aws/sagemaker/TrainingJobs"
confined = pytest.mark.skipif(not available(), reason="this machine gives containers no namespaces")
# Says one JSON object: what each expression gives, or the name of its error.
TRY = """
def tried(action):
    try: return action()
    except Exception as error: return type(error).__name__
"""
CLUSTER = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}


def said(platform: Platform, program: str, **fields: object) -> dict:
    job = platform.train(TRY + program, **fields)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return json.loads(platform.lines(LOGS, f"{job['TrainingJobName']}/")[-1])


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Platform:
    """A cloud that is told to hide one more folder, as a command line tells it its own home."""
    hidden = tmp_path_factory.mktemp("hidden-home")
    (hidden / "secret").write_text("secret")
    own = started_platform(tmp_path_factory.mktemp("watched"), LOCAL_CLOUD_HIDDEN=str(hidden))
    own.hidden = hidden
    yield own
    own.cloud.stop()


@confined
def test_a_job_sees_neither_the_state_nor_a_home_nor_another_job(watched):
    other = watched.training_request("say('ready'); time.sleep(50)")
    watched.api.create_training_job(**other)
    watched.saying(other["TrainingJobName"], "ready")
    state = str(watched.cloud.state)
    seen = said(
        watched,
        f"""
state, hidden, home = {state!r}, {str(watched.hidden)!r}, {os.path.expanduser("~")!r}
files = lambda top: [os.path.join(f, n) for f, _, names in os.walk(top) for n in names]
outside = [path for path in files(state) if not path.startswith((str(base), state + "/images/rootfs/", sys.prefix))]
print(json.dumps(dict(
    credentials=tried(lambda: open(state + "/credentials.json").read()), outside=outside,
    jobs=tried(lambda: os.listdir(state + "/sagemaker")), hidden=files(hidden), ssh=os.path.exists(home + "/.ssh"),
    sessions=tried(lambda: files("/run/user")), tmp=os.listdir("/tmp") == [] or files("/tmp") != [],
    processes=sorted(int(n) for n in os.listdir("/proc") if n.isdigit()),
)), flush=True)
""",
    )
    watched.api.stop_training_job(TrainingJobName=other["TrainingJobName"])
    assert seen["credentials"] in ("FileNotFoundError", "NotADirectoryError")
    assert seen["outside"] == [] and seen["hidden"] == [] and seen["sessions"] == []
    assert seen["jobs"] in ("FileNotFoundError", []) and not seen["ssh"]
    assert len(seen["processes"]) <= 3, "a job sees its own processes, so no watchdog and no cloud"


@confined
def test_a_job_writes_only_below_its_tree_and_cannot_take_the_mounts_away(watched):
    seen = said(
        watched,
        f"""
import ctypes, stat, subprocess
libc = ctypes.CDLL(None, use_errno=True)
state = {str(watched.cloud.state)!r}
write = lambda path: open(path, "w").close()
nested = "umount -l " + state + " 2>/dev/null; cat " + state + "/credentials.json"
print(json.dumps(dict(
    etc=tried(lambda: write("/etc/here")), program=tried(lambda: write("here")),
    packages=tried(lambda: write(sys.prefix + "/here")), kernel=tried(lambda: write("/proc/sys/kernel/core_pattern")),
    own=tried(lambda: write(base / "output/data/here")), tmp=tried(lambda: write("/tmp/here")),
    shared=tried(lambda: write("/dev/shm/here")), unmounted=libc.umount2(state.encode(), 2),
    nested=subprocess.run(["unshare", "-Urm", "sh", "-c", nested], capture_output=True, text=True).stdout,
    disk=tried(lambda: [n for n in os.listdir("/dev") if stat.S_ISBLK(os.stat("/dev/" + n).st_mode)]),
)), flush=True)
""",
    )
    assert {seen[name] for name in ("etc", "program", "packages", "kernel")} <= {"OSError", "PermissionError"}
    assert (seen["own"], seen["tmp"], seen["shared"]) == (None, None, None)
    assert (seen["unmounted"], seen["nested"], seen["disk"]) == (-1, "", [])
    assert not Path("/dev/shm/here").exists()  # noqa: S108


REACH = """
import socket, urllib.request
def reach():
    urllib.request.urlopen(ENDPOINT + "/_local/health", timeout=5)
    return "reached"
print(json.dumps(dict(cloud=tried(reach), credentials="AWS_ACCESS_KEY_ID" in os.environ)), flush=True)
"""


@confined
@pytest.mark.parametrize("isolated", [True, False])
def test_network_isolation_cuts_the_network_of_a_training_job(watched, isolated):
    program = f"ENDPOINT = {watched.cloud.endpoint!r}\n" + REACH
    seen = said(watched, program, EnableNetworkIsolation=isolated)
    assert seen["credentials"] is not isolated
    assert (seen["cloud"] == "reached") is not isolated


@pytest.mark.parametrize("isolated", [True, False])
def test_a_job_is_told_its_region_as_sagemaker_tells_it_and_by_no_other_name(platform, isolated):
    """boto3 does not read AWS_REGION: code that leaves it there fails on AWS, so it must fail here."""
    job = platform.train("say(sorted(n for n in os.environ if 'REGION' in n))", EnableNetworkIsolation=isolated)
    assert platform.lines(LOGS, f"{job['TrainingJobName']}/")[-1] == "['AWS_REGION']"


@confined
def test_the_hosts_of_an_isolated_cluster_reach_each_other_and_nothing_else(watched):
    """As on AWS: "except for calls between peers within a training cluster for distributed training"."""
    program = f"ENDPOINT = {watched.cloud.endpoint!r}\n" + TRY + """
import socket
if config("resourceconfig")["current_host"] == "algo-1":
    with socket.create_server(("127.0.0.1", 4711)) as server:
        peer, _ = server.accept()
        (base / "model" / "heard").write_bytes(peer.recv(5))
else:
    for _ in range(2000):
        try: line = socket.create_connection(("127.0.0.1", 4711)); break
        except OSError: time.sleep(0.01)
    line.sendall(b"hello")
import urllib.request
(base / "model" / config("resourceconfig")["current_host"]).write_text(str(tried(lambda: urllib.request.urlopen(ENDPOINT))))
"""  # fmt: skip
    job = watched.train(program, EnableNetworkIsolation=True, ResourceConfig=CLUSTER)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    found = archive(watched, job["ModelArtifacts"]["S3ModelArtifacts"])
    assert found["heard"] == b"hello"
    assert found["algo-1"] == found["algo-2"] == b"URLError"


@confined
def test_an_isolated_model_answers_the_cloud_and_no_one_else_can_reach_its_port(watched):
    name = new_name("isolated")
    data = watched.model_archive(f"models/{name}.tar.gz", "alone")
    program = "import socket, urllib.request\n" + SERVER_THAT_TRIES.replace("ENDPOINT", repr(watched.cloud.endpoint))
    image = watched.image(new_name("tries"), program)
    watched.api.create_model(
        ModelName=name, ExecutionRoleArn=watched.role, EnableNetworkIsolation=True,
        PrimaryContainer={"Image": image, "ModelDataUrl": data},
    )  # fmt: skip
    endpoint = watched.endpoint(name)
    assert watched.settled(endpoint)["EndpointStatus"] == "InService"
    port, outside, secret = json.loads(watched.invoke(endpoint))
    assert outside == "URLError"
    assert secret, "the cloud proves itself with the secret that it gave to the container"
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), 2):
        pass
    assert json.loads(watched.invoke(endpoint))[0] == port


SERVER_THAT_TRIES = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
def outside():
    try: urllib.request.urlopen(ENDPOINT, timeout=5); return "reached"
    except Exception as error: return type(error).__name__
port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self): self.answer(b"")
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = self.headers.get("X-Local-Cloud-Secret", "")
        self.answer(json.dumps([port, outside(), len(told) > 20 and told == os.environ["LOCAL_CLOUD_SERVER_SECRET"]]).encode())
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
ThreadingHTTPServer(("127.0.0.1", port), Server).serve_forever()
"""


def test_links_that_leave_the_folder_are_not_uploaded_and_the_log_says_so(platform, tmp_path):
    secret = Path("/etc/hostname")
    program = f"""
out = base / "model"
(out / "kept").write_text("mine")
(out / "inside").symlink_to(out / "kept")
(out / "outside").symlink_to({str(secret)!r})
(out / "folder").symlink_to("/etc")
(out / "circle").symlink_to("circle")
(out / "again").hardlink_to(out / "kept")
os.mkfifo(out / "pipe")
"""
    job = platform.train(program)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    found = archive(platform, job["ModelArtifacts"]["S3ModelArtifacts"])
    assert found == {"kept": b"mine", "inside": b"mine", "again": b"mine"}
    log = "\n".join(platform.lines(LOGS, f"{job['TrainingJobName']}/"))
    assert "model/outside was not uploaded: it is a link that leads out of the job's folder" in log
    assert "model/folder was not uploaded" in log


def test_checkpoints_and_reasons_are_read_through_no_link(platform):
    program = """
(base / "checkpoints" / "mine").write_text("mine")
(base / "checkpoints" / "theirs").symlink_to("/etc/hostname")
(base / "output" / "failure").symlink_to("/etc/passwd")
sys.exit(1)
"""
    name = new_name("checkpoints")
    job = platform.train(program, CheckpointConfig={"S3Uri": platform.uri(name)})
    assert job["TrainingJobStatus"] == "Failed" and "root:" not in job["FailureReason"]
    assert platform.keys(f"{name}/") == [f"{name}/mine"]


def test_a_hard_link_to_a_foreign_file_is_left_behind(tmp_path):
    """A confined job cannot make one; a plain process can, where the kernel allows it."""
    from local_cloud.sagemaker.outputs import Outputs

    root, lines = tmp_path / "job", []
    root.mkdir()
    (tmp_path / "credentials").write_text("secret")
    (root / "theirs").hardlink_to(tmp_path / "credentials")
    (root / "mine").write_text("mine")
    (root / "too").hardlink_to(root / "mine")
    outputs = Outputs(root, lines.extend)
    assert [path.name for path in outputs.files(root)] == ["mine", "too"]
    assert lines == ["theirs was not uploaded: it is a hard link to a file that is not the job's"]
    with pytest.raises(FileNotFoundError), outputs.opened(root / "theirs"):
        pass
    with outputs.opened(root / "too") as source:
        assert source.read_text() == "mine"


@confined
def test_a_confined_job_cannot_hard_link_a_stored_object(watched):
    watched.put("shared/photo", b"photo")
    seen = said(
        watched,
        """
photo = base / "input/data/train/photo"
print(json.dumps(dict(linked=tried(lambda: os.link(photo, base / "model/photo")), read=photo.read_text(),
                      written=tried(lambda: photo.write_text("x")))), flush=True)
""",
        InputDataConfig=[channel("train", watched.uri("shared/"), InputMode="FastFile")],
    )
    assert (seen["linked"], seen["read"], seen["written"]) == ("OSError", "photo", "OSError")


def archive(platform: Platform, uri: str) -> dict[str, bytes]:
    data = platform.read(uri.removeprefix(f"s3://{platform.bucket}/"))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if not member.isdir()}


@pytest.mark.parametrize("home", ["", "home"])
def test_a_python_in_a_home_is_kept_without_the_home(tmp_path, home):
    """~/.local/share/uv/python/... is kept whole; of ~/bin/python and ~/lib/python3.X no more than these."""
    from local_cloud.sagemaker.namespaces import environment_places

    user = tmp_path / "user"
    installation = user if not home else user / "pythons" / "3.11"
    for folder in (
        installation / "bin",
        installation / "lib" / "python3.11",
        user / ".ssh",
        tmp_path / "environment" / "bin",
    ):
        folder.mkdir(parents=True)
    (installation / "bin" / "python3.11").touch()
    (user / "python").symlink_to(installation / "bin" / "python3.11")
    (tmp_path / "environment" / "bin" / "python").symlink_to(user / "python")
    kept, links = environment_places(tmp_path / "environment", [user])
    assert user not in kept and not any((place / ".ssh").exists() for place in kept)
    assert [place for _, place in links] == [str(tmp_path / "environment/bin/python"), str(user / "python")]
    wanted = [installation / "bin/python3.11", installation / "lib/python3.11"]
    assert all(any(path == place or place in path.parents for place in kept) for path in wanted)


@confined
def test_opt_ml_is_literally_there_and_a_linked_channel_is_read_only_in_it(platform):
    platform.put("linked/1.txt", b"original")
    seen = said(
        platform,
        """
print(json.dumps(dict(
    told="SAGEMAKER_BASE_DIR" in os.environ, home=os.environ["HOME"], cache=tried(lambda: open("/root/cache", "w").close()),
    read=open("/opt/ml/input/data/train/1.txt").read(), write=tried(lambda: open("/opt/ml/input/data/train/1.txt", "w")),
    new=tried(lambda: open("/opt/ml/input/data/train/2.txt", "w")), model=tried(lambda: open("/opt/ml/model/m", "w").close()),
)), flush=True)
""",
        channels={"train": platform.uri("linked/")},
        AlgorithmSpecification={"TrainingInputMode": "FastFile"},
    )
    assert seen == {"told": False, "home": "/root", "cache": None, "read": "original", "write": "OSError", "new": "OSError",
                    "model": None}  # fmt: skip
    assert platform.read("linked/1.txt") == b"original"


@confined
def test_the_only_host_of_a_job_has_its_name(platform):
    seen = said(platform, "import socket; print(json.dumps(socket.gethostbyname('algo-1')), flush=True)")
    assert seen == "127.0.0.1"
