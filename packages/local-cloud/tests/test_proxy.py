"""A program that writes AWS's hosts into its code reaches this cloud, and no connection leaves the machine."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from local_cloud import process
from local_cloud.proxy.addresses import bucket_of, is_aws
from local_cloud.proxy.certificates import CertificateAuthority
from local_cloud.testing import RunningCloud, wait_until
from tests.sagemaker.platform import new_name

# Writes down every address that the program connects to, whatever library does it.
WATCHED = """
import sys
met = []
def look(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        met.append(str(arguments[1][0]))
    if event == "socket.getaddrinfo":
        met.append(str(arguments[0]))
sys.addaudithook(look)
"""


@pytest.fixture(scope="module")
def shell(cloud: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a shell that took up `local-cloud env`."""
    living = process.announced(cloud.state)
    assert living is not None
    return cloud.environment() | process.shell_variables(living, tmp_path_factory.mktemp("shell"), os.environ)


@pytest.fixture
def run(shell: dict[str, str]) -> Callable[[str], tuple[str, list[str]]]:
    def run(program: str) -> tuple[str, list[str]]:
        watched = f"{WATCHED}\n{program}\nprint('MET', *sorted(set(met)))"
        done = subprocess.run([sys.executable, "-c", watched], env=shell, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-2000:]
        said, _, met = done.stdout.rpartition("MET")
        return said.strip(), met.split()

    return run


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("sts.us-east-1.amazonaws.com", True),
        ("STS.amazonaws.com.", True),
        ("b.s3.cn-north-1.amazonaws.com.cn", True),
        ("runtime.sagemaker.eu-west-1.amazonaws.com", True),
        ("lambda.us-east-1.api.aws", True),
        ("evilamazonaws.com", False),
        ("amazonaws.com.example.org", False),
        ("pypi.org", False),
        ("", False),
    ],
)
def test_only_awss_names_end_here(host: str, ours: bool):
    assert is_aws(host) is ours


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("my.bucket.s3.amazonaws.com", "my.bucket"),
        ("b.s3.us-east-1.amazonaws.com:443", "b"),
        ("b.s3-us-west-2.amazonaws.com", "b"),
        ("b.s3.dualstack.eu-central-1.amazonaws.com", "b"),
        ("s3.us-east-1.amazonaws.com", None),
        ("s3.s3.amazonaws.com", "s3"),
        ("127.0.0.1:4566", None),
        ("sts.us-east-1.amazonaws.com", None),
    ],
)
def test_the_bucket_in_an_address_of_s3(host: str, bucket: str | None):
    assert bucket_of(host) == bucket


def test_hosts_written_into_a_program_are_this_cloud(run):
    name = new_name("hosts")
    said, met = run(
        f"""
import boto3, urllib.request
print(boto3.client("sts", endpoint_url="https://sts.us-east-1.amazonaws.com").get_caller_identity()["Account"])
s3 = boto3.client("s3", endpoint_url="https://s3.us-east-1.amazonaws.com")
s3.create_bucket(Bucket="{name}")
s3.put_object(Bucket="{name}", Key="a b/ü+.txt", Body=b"kept" * 100000)
print(len(s3.get_object(Bucket="{name}", Key="a b/ü+.txt")["Body"].read()), s3.list_objects_v2(Bucket="{name}")["KeyCount"])
print(boto3.client("sagemaker-runtime", endpoint_url="https://runtime.sagemaker.us-east-1.amazonaws.com").meta.endpoint_url)
"""
    )
    assert said.split() == ["000000000000", "400000", "1", "https://runtime.sagemaker.us-east-1.amazonaws.com"]
    assert set(met) <= {"127.0.0.1"}


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_address_of_awss_works(run, version: str):
    name = new_name("signed")
    said, met = run(
        f"""
import boto3, os, ssl, urllib.request
from botocore.config import Config
host = {{"endpoint_url": "https://s3.us-east-1.amazonaws.com"}}
boto3.client("s3", **host).create_bucket(Bucket="{name}")
boto3.client("s3", **host).put_object(Bucket="{name}", Key="k", Body=b"kept")
how = Config(signature_version="{version}", s3={{"addressing_style": "virtual"}})
s3 = boto3.client("s3", config=how, **host)
address = s3.generate_presigned_url("get_object", Params={{"Bucket": "{name}", "Key": "k"}})
assert address.startswith("https://{name}.s3"), address
trusted = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
print(urllib.request.urlopen(address, context=trusted).read().decode())
"""
    )
    assert said == "kept"
    assert set(met) <= {"127.0.0.1"}


def test_a_service_that_is_not_here_is_refused_by_name(run):
    said, met = run(
        """
import boto3, botocore.exceptions
try:
    boto3.client("dynamodb", endpoint_url="https://dynamodb.us-east-1.amazonaws.com").list_tables()
except botocore.exceptions.ClientError as error:
    print(error)
"""
    )
    assert "has no service 'dynamodb'" in said
    assert set(met) <= {"127.0.0.1"}


class Page(BaseHTTPRequestHandler):
    """Another host, or a proxy before it: answers what it was asked."""

    def do_GET(self) -> None:
        body = json.dumps([self.path, self.headers.get("Proxy-Authorization")]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def page():
    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_other_hosts_are_reached_as_before(shell: dict[str, str], page: int):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": shell["HTTP_PROXY"]}))
    assert json.loads(opener.open(f"http://127.0.0.1:{page}/x?y=1", timeout=60).read()) == ["/x?y=1", None]


def test_what_passes_through_is_not_opened(shell: dict[str, str], page: int):
    """A tunnel to another host carries bytes as they are: this one is no TLS at all."""
    with _tunnel(shell, f"127.0.0.1:{page}") as tunnel:
        tunnel.sendall(b"GET /plain HTTP/1.0\r\n\r\n")
        assert b'["/plain", null]' in tunnel.makefile("rb").read()


def test_the_proxy_that_was_set_before_is_asked_for_other_hosts(own_cloud: RunningCloud, page: int):
    own_cloud.start(http_proxy=f"http://me:secret@127.0.0.1:{page}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": own_cloud.description["proxy"]}))
    said = json.loads(opener.open("http://elsewhere.example/x", timeout=60).read())
    assert said == ["http://elsewhere.example/x", "Basic bWU6c2VjcmV0"]


def test_nonsense_is_answered_and_the_proxy_goes_on(shell: dict[str, str], page: int):
    address = _address(shell)
    for nonsense in (b"CONNECT nowhere HTTP/1.1\r\n\r\n", b"GET ftp://x/ HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n"):
        with socket.create_connection(address, 60) as connection:
            connection.sendall(nonsense)
            assert connection.recv(100).startswith(b"HTTP/1.1 502")
    with _tunnel(shell, f"127.0.0.1:{page}") as tunnel:
        tunnel.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert tunnel.recv(100)


def test_the_certificate_speaks_for_awss_hosts_only(tmp_path: Path):
    """A name constraint: a stolen key cannot pretend to be anybody else."""
    authority = CertificateAuthority(tmp_path)
    trusting = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
    assert _shake(authority, trusting, "sts.us-east-1.amazonaws.com")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        _shake(authority, trusting, "example.org")


def test_the_key_is_the_users_own_and_stays(tmp_path: Path):
    CertificateAuthority(tmp_path)
    before = (tmp_path / "certificate.pem").read_bytes()
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0
    CertificateAuthority(tmp_path)
    assert (tmp_path / "certificate.pem").read_bytes() == before


def test_the_proxy_ends_with_the_cloud_and_comes_back_where_it_was(own_cloud: RunningCloud):
    own_cloud.start()
    address = own_cloud.description["proxy"]
    assert own_cloud.process is not None
    children = psutil.Process(own_cloud.process.pid).children()
    proxies = [child for child in children if "local_cloud.proxy" in child.cmdline()]
    own_cloud.kill()
    wait_until(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in proxies))
    own_cloud.start()
    assert proxies and own_cloud.description["proxy"] == address
    assert own_cloud.stop() == 0


def test_without_a_proxy_a_shell_gets_none(own_cloud: RunningCloud, tmp_path: Path):
    own_cloud.start(LOCAL_CLOUD_PROXY="0")
    living = process.announced(own_cloud.state)
    assert living is not None
    told = process.shell_variables(living, tmp_path, {"NO_PROXY": "corp.example,*.amazonaws.com,*"})
    assert "HTTPS_PROXY" not in told and told["NO_PROXY"] == "corp.example,127.0.0.1,localhost"


def test_a_second_env_trusts_no_certificate_twice(cloud: RunningCloud, tmp_path: Path, shell: dict[str, str]):
    living = process.announced(cloud.state)
    assert living is not None
    again = process.shell_variables(living, tmp_path, shell)
    assert Path(again["AWS_CA_BUNDLE"]).read_bytes() == Path(shell["AWS_CA_BUNDLE"]).read_bytes()
    assert again["LOCAL_CLOUD_OUTER_PROXY"] == shell["LOCAL_CLOUD_OUTER_PROXY"]


def _address(shell: dict[str, str]) -> tuple[str, int]:
    host, _, port = shell["HTTPS_PROXY"].removeprefix("http://").partition(":")
    return host, int(port)


def _tunnel(shell: dict[str, str], target: str) -> socket.socket:
    connection = socket.create_connection(_address(shell), 60)
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1)
    assert answer.startswith(b"HTTP/1.1 200")
    return connection


def _shake(authority: CertificateAuthority, trusting: ssl.SSLContext, host: str) -> bool:
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            authority.context(host).wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with trusting.wrap_socket(ours, server_hostname=host):
            return True
    finally:
        ours.close()
        thread.join()
