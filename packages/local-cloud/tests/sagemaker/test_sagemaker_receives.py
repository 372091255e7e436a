"""What a container really receives is what docs/what-a-container-receives.md says, and nothing else."""

from __future__ import annotations

import json
import re

import pytest

from local_cloud.sagemaker.namespaces import available
from tests.places import ROOT
from tests.sagemaker.platform import Platform
from tests.sagemaker.test_sagemaker_processing import output, processing_request, s3_input

PAGE = ROOT / "docs/what-a-container-receives.md"
pytestmark = pytest.mark.skipif(not available(), reason="the tables are for confined containers")
# Writes down everything that it finds, as one line of JSON.
LOOK = """
import json, os, socket, stat, sys
def found():
    modes = {}
    for folder, names, files in os.walk("/opt/ml"):
        for name in [*names, *files]:
            path = os.path.join(folder, name)
            modes[path] = "%o" % stat.S_IMODE(os.lstat(path).st_mode)
    try: algo = socket.gethostbyname("algo-1")
    except OSError: algo = ""
    mask = os.umask(0o022)
    return json.dumps(dict(env=sorted(os.environ), modes=modes, user=str(os.getuid()), umask="%03o" % mask,
                           arguments=sys.argv[1:], algo=algo))
"""
SERVER = (
    LOOK
    + """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Server(BaseHTTPRequestHandler):
    def log_message(self, *words): pass
    def do_GET(self): self.answer(b"")
    def do_POST(self): self.answer(found().encode())
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
HTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Server).serve_forever()
"""
)


def rows(title: str) -> list[list[str]]:
    """The cells of the page's table with this heading."""
    section = PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture(scope="module")
def found(platform: Platform) -> dict[str, dict]:
    """What a training job, a processing job and a model server found."""
    platform.put("receives/a.csv", b"1")
    job = platform.train(
        LOOK + "print(found(), flush=True)", channels={"train": platform.uri("receives/")},
        CheckpointConfig={"S3Uri": platform.uri("receives-checkpoints")},
        DebugHookConfig={"S3OutputPath": platform.uri("receives-debug")},
    )  # fmt: skip
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    looking = platform.image("looking", LOOK + "print(found(), flush=True)")
    request = processing_request(
        platform, "", ProcessingInputs=[s3_input(platform.uri("receives/"))],
        ProcessingOutputConfig={"Outputs": [output(platform.uri("receives-out"))]},
    )  # fmt: skip
    request["AppSpecification"] = {"ImageUri": looking}
    platform.api.create_processing_job(**request)
    processing = platform.finished("ProcessingJob", request["ProcessingJobName"])
    assert processing["ProcessingJobStatus"] == "Completed", processing.get("FailureReason")
    endpoint = platform.endpoint(platform.model("any", Image=platform.image("looking-server", SERVER)))
    return {
        "T": json.loads(platform.lines("/aws/sagemaker/TrainingJobs", job["TrainingJobName"])[-1]),
        "P": json.loads(platform.lines("/aws/sagemaker/ProcessingJobs", request["ProcessingJobName"])[-1]),
        "S": json.loads(platform.invoke(endpoint)),
    }


@pytest.mark.parametrize("who", ["T", "P", "S"])
def test_a_container_has_exactly_the_variables_of_the_page(found, who):
    documented = {
        name
        for names, whom, _ in rows("Environment variables")
        if who in whom.split()
        for name in re.findall(r"`(\w+)`", names)
    }
    assert set(found[who]["env"]) == documented


@pytest.mark.parametrize("who", ["T", "P", "S"])
def test_a_container_has_exactly_the_files_of_the_page_with_their_permissions(found, who):
    documented = {
        path.strip("`"): mode for path, whom, mode, _ in rows("Files and folders below /opt/ml") if who in whom.split()
    }
    assert found[who]["modes"] == documented


@pytest.mark.parametrize("who", ["T", "P", "S"])
def test_user_arguments_and_names_are_those_of_the_page(found, who):
    said = {what: value.strip("`") for what, whom, value, _ in rows("The rest") if who in whom.split()}
    seen = found[who]
    assert (seen["umask"], seen["arguments"]) == (said["umask"], [said["argument"]] if "argument" in said else [])
    assert seen["algo"] == said.get("algo-1", "") and (seen["user"] == said["user"] or seen["user"] != "0")


def test_every_row_of_the_page_names_its_source_or_its_reason():
    every = [
        row for title in ("Environment variables", "Files and folders below /opt/ml", "The rest") for row in rows(title)
    ]
    assert len(every) > 30 and all(row[-1] for row in every)
