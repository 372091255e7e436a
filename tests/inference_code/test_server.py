"""The single-model contract over HTTP: every content type, every answer form, every refusal, a clean stop."""

import base64
import concurrent.futures
import http.client
import json
import signal
import socket
from pathlib import Path

import numpy as np
import pytest

from contract.decode import decode
from contract.manifest import Manifest
from contract.preprocessing import to_tensor
from inference_code.answers import IMAGE_TYPES
from inference_code.classifier import Classifier
from tests.inference_code.conftest import free_port, launch, serving
from tests.inference_code.photos import encode, png_header_only, scene
from tests.inference_code.tiny_model import CLASSES, PREPROCESSING, expected, write_artifact, write_onnx

PHOTO = scene(seed=3)
JPEG = encode(PHOTO, quality=95)


def instances(*photos: bytes) -> bytes:
    return json.dumps({"instances": [{"b64": base64.b64encode(photo).decode()} for photo in photos]}).encode()


def test_ping_answers(server):
    assert server.ask("GET", "/ping") == (200, {})


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("image/jpeg", JPEG),
        ("image/png", encode(PHOTO, "PNG")),
        ("application/x-image", JPEG),
        ("application/octet-stream", JPEG),
        ("IMAGE/JPEG; charset=binary", JPEG),
        ("image/jpg", JPEG),
        ("image/pjpeg", JPEG),
        ("image/x-png", encode(PHOTO, "PNG")),
        ("binary/octet-stream", JPEG),
        ("Application/Octet-Stream", JPEG),
        ("", JPEG),
        ("image/avif", encode(PHOTO, "AVIF")),
        ("image/heic", (Path(__file__).parent / "heic" / "turned.heic").read_bytes()),
        ("image/jpeg", encode(PHOTO, "PNG")),  # the content decides, not the name
    ],
)
def test_a_photo_is_answered_with_labels(server, kind, data):
    status, answer = server.invoke(data, kind)
    wanted = expected(to_tensor(decode(data), PREPROCESSING))
    (prediction,) = answer["predictions"]
    assert status == 200
    assert prediction["label"] == CLASSES[int(wanted.argmax())]
    assert prediction["probability"] == max(prediction["probabilities"].values())
    assert list(prediction["probabilities"]) == list(CLASSES)
    assert list(prediction["probabilities"].values()) == pytest.approx(wanted.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    "accept",
    ["application/json;verbose=0", "application/x-array", "application/x-array, */*", "text/csv, application/x-array"],
)
def test_the_plain_array_is_given_by_accept(server, accept):
    assert server.invoke(JPEG, accept=accept)[1] == pytest.approx(
        expected(to_tensor(decode(JPEG), PREPROCESSING)).tolist(), abs=1e-5
    )


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/*", "application/json;verbose=1"])
def test_labels_are_the_default(server, accept):
    assert "predictions" in server.invoke(JPEG, accept=accept)[1]


def test_many_photos_in_one_request_are_answered_in_order(server):
    photos = [encode(scene(seed=seed), "PNG") for seed in range(9)]
    status, rows = server.invoke(instances(*photos), "application/json", "application/x-array")
    assert status == 200
    wanted = [expected(to_tensor(decode(photo), PREPROCESSING)).tolist() for photo in photos]
    assert np.array(rows) == pytest.approx(np.array(wanted), abs=1e-5)


def test_one_instance_is_answered_as_a_list(server):
    assert len(server.invoke(instances(JPEG), "application/json", "application/x-array")[1][0]) == 2
    assert len(server.invoke(instances(JPEG), "application/json")[1]["predictions"]) == 1


def test_served_and_evaluated_photos_are_the_same_to_the_last_bit(server):
    """Parity: bytes through HTTP give what the contract and the engine give in this process."""
    classifier = Classifier.load(server.base / "model", cores=2)
    for seed in range(5):
        photo = encode(scene(100 + seed, 90, seed))
        here = classifier.predict([to_tensor(decode(photo), classifier.manifest.preprocessing)])[0]
        assert server.invoke(photo, accept="application/x-array")[1] == [round(value, 7) for value in here.tolist()]


def test_eight_clients_at_once_get_their_own_answers(server):
    photos = [encode(scene(seed=seed)) for seed in range(24)]
    alone = [server.invoke(photo, accept="application/x-array") for photo in photos]
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        together = list(clients.map(lambda photo: server.invoke(photo, accept="application/x-array"), photos))
    assert [status for status, _ in together] == [200] * 24
    assert np.array([row for _, row in together]) == pytest.approx(np.array([row for _, row in alone]), abs=1e-6)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"hello, this is text", "not_a_photo"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (b"", "empty"),
        (png_header_only(20_000, 20_000), "too_many_pixels"),
    ],
)
def test_an_unreadable_photo_is_refused_with_its_reason(server, body, reason):
    status, answer = server.invoke(body)
    assert (status, answer["error"]["code"], answer["error"]["reason"]) == (400, "unreadable_photo", reason)
    assert answer["error"]["message"]


def test_an_unreadable_photo_among_others_is_named(server):
    status, answer = server.invoke(instances(JPEG, JPEG, b"text"), "application/json")
    assert status == 400 and answer["error"]["message"].startswith("instances[2]: ")


@pytest.mark.parametrize(
    "body",
    [b"", b"text", b"[]", b"{}", b'{"instances": []}', b'{"instances": [{"b64": 3}]}', b'{"instances": [{"b64": "*"}]}',
     b'{"instances": ["aGVsbG8="]}', b'{"instances": [{"url": "file:///etc/passwd"}]}'],
)  # fmt: skip
def test_json_of_another_shape_is_refused(server, body):
    status, answer = server.invoke(body, "application/json")
    assert (status, answer["error"]["code"]) == (400, "bad_json")


def test_too_many_instances_are_refused(server):
    status, answer = server.invoke(instances(*[b"x"] * 513), "application/json")
    assert status == 400 and "512" in answer["error"]["message"]


@pytest.mark.parametrize(
    "kind", ["text/csv", "application/x-npy", "video/mp4", "text/plain", "image/*", "multipart/form-data; boundary=x"]
)
def test_other_content_types_are_refused_with_those_that_are_taken(server, kind):
    status, answer = server.invoke(JPEG, kind)
    assert status == 415
    assert all(allowed in answer["error"]["message"] for allowed in (*IMAGE_TYPES, "application/json"))


def test_a_photo_that_is_none_of_heic_is_not_taken_under_its_type(server):
    status, answer = server.invoke(JPEG, "image/heic")
    assert status == 415 and "the body is a JPEG picture" in answer["error"]["message"]


def test_every_content_type_that_is_taken_is_documented():
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    assert not [kind for kind in IMAGE_TYPES if f"`{kind}`" not in text]


@pytest.mark.parametrize("accept", ["text/csv", "image/png"])
def test_other_accepts_are_refused(server, accept):
    assert server.invoke(JPEG, accept=accept)[0] == 406


def test_a_large_body_is_refused_before_it_is_read(server):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 31457280\r\n\r\n"
        connection.sendall(head.encode())  # 30 MB are announced, none is sent
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
        assert "1,048,576" in json.loads(answer.read())["error"]["message"]


def test_a_large_body_of_unknown_length_is_refused_too(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        head = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        chunk = b"80000\r\n" + bytes(0x80000) + b"\r\n"  # 512 kB
        connection.sendall(chunk * 2 + b"1\r\nx\r\n")  # 1 MB and a byte, and no end
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
    assert server.ask("GET", "/ping")[0] == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/invocations"), ("GET", "/models"), ("POST", "/ping")]
)
def test_other_routes_do_not_exist(server, method, path):
    assert server.ask(method, path)[0] == 404


def test_batch_transform_is_told_what_keeps_every_core_busy(server):
    status, parameters = server.ask("GET", "/execution-parameters")
    assert status == 200
    assert parameters["BatchStrategy"] == "SINGLE_RECORD"
    assert parameters["MaxConcurrentTransforms"] >= 2
    assert parameters["MaxConcurrentTransforms"] * parameters["MaxPayloadInMB"] <= 100


def test_sigterm_answers_what_was_begun_and_ends_cleanly(tmp_path):
    write_artifact(tmp_path / "model")
    with serving(tmp_path) as running:
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            head = f"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: {len(JPEG)}\r\n\r\n"
            connection.sendall(head.encode() + JPEG[:100])
            assert running.ask("GET", "/ping")[0] == 200  # the request above has been accepted by now
            running.process.send_signal(signal.SIGTERM)
            connection.sendall(JPEG[100:])
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status == 200
        assert running.process.wait(timeout=120) == 0


def break_nothing_there(folder):
    (folder / "manifest.json").unlink()


def break_manifest(folder):
    (folder / "manifest.json").write_text("{}")


def break_no_model(folder):
    (folder / "model.onnx").unlink()


def break_no_onnx(folder):
    (folder / "model.onnx").write_bytes(b"\x80\x04pickle")


def break_output_name(folder):
    write_onnx(folder / "model.onnx", output="logits_out")


def break_no_softmax(folder):
    write_onnx(folder / "model.onnx", softmax=False)


def break_classes(folder):
    Manifest("red_corner", ("a", "b", "c"), PREPROCESSING).write(folder)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (break_nothing_there, "manifest.json"),
        (break_manifest, "missing"),
        (break_no_model, "model.onnx"),
        (break_no_onnx, "cannot read"),
        (break_output_name, "probabilities"),
        (break_no_softmax, "no probabilities"),
        (break_classes, "(1, 3)"),
    ],
)
def test_an_unusable_model_is_refused_when_loaded_with_a_sentence(tmp_path, damage, named):
    from contract.manifest import InvalidManifest
    from inference_code.engines import UnusableModel

    damage(write_artifact(tmp_path))
    with pytest.raises((InvalidManifest, UnusableModel)) as refused:
        Classifier.load(tmp_path, cores=1)
    assert named in str(refused.value)


def test_a_server_with_an_unusable_model_ends_at_once_and_says_why(tmp_path):
    break_classes(write_artifact(tmp_path / "model"))
    process = launch(tmp_path, free_port(), tmp_path / "log")
    assert process.wait(timeout=60) == 1
    assert "cannot serve" in (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()
