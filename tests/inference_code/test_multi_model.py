"""The multi-model contract: load, list, invoke, unload; 404, 409 and 507 mean what SageMaker expects of them."""

import json
import shutil
from urllib.parse import quote

import pytest

from contract.decode import decode
from contract.preprocessing import to_tensor
from tests.inference_code.photos import encode, scene
from tests.inference_code.tiny_model import PREPROCESSING, expected, write_artifact

JPEG = encode(scene(seed=5))


@pytest.fixture
def endpoint(multi_model_server):
    """The server with nothing loaded."""
    yield multi_model_server
    for model in multi_model_server.ask("GET", "/models")[1]["models"]:
        assert multi_model_server.ask("DELETE", f"/models/{quote(model['modelName'], safe='')}")[0] == 200


def load(endpoint, name, folder=None):
    folder = folder or write_artifact(endpoint.base / "models" / "artifact" / "model")
    body = json.dumps({"model_name": name, "url": str(folder)}).encode()
    return endpoint.ask("POST", "/models", body, Content_Type="application/json")


def test_a_loaded_model_answers_under_its_name(endpoint):
    assert load(endpoint, "dogs/model.tar.gz")[0] == 200
    path = f"/models/{quote('dogs/model.tar.gz', safe='')}/invoke"
    status, answer = endpoint.ask("POST", path, JPEG, Content_Type="application/x-image", Accept="application/x-array")
    assert status == 200
    assert answer == pytest.approx(expected(to_tensor(decode(JPEG), PREPROCESSING)).tolist(), abs=1e-5)


def test_loaded_models_are_listed_and_described(endpoint):
    assert endpoint.ask("GET", "/models") == (200, {"models": []})
    load(endpoint, "b")
    load(endpoint, "a")
    url = str(endpoint.base / "models" / "artifact" / "model")
    wanted = [{"modelName": name, "modelUrl": url} for name in ("a", "b")]
    assert endpoint.ask("GET", "/models") == (200, {"models": wanted})
    assert endpoint.ask("GET", "/models/a") == (200, wanted[0])
    assert endpoint.ask("GET", "/models?limit=1") == (200, {"models": wanted[:1], "nextPageToken": "1"})
    assert endpoint.ask("GET", "/models?limit=1&next_page_token=1") == (200, {"models": wanted[1:]})
    assert endpoint.ask("GET", "/models?limit=no")[0] == 400


def test_an_unloaded_model_is_gone(endpoint):
    load(endpoint, "a")
    assert endpoint.ask("DELETE", "/models/a")[0] == 200
    for method, path in (("GET", "/models/a"), ("DELETE", "/models/a"), ("POST", "/models/a/invoke")):
        status, answer = endpoint.ask(method, path, JPEG if method == "POST" else None)
        assert (status, answer["error"]["code"]) == (404, "model_not_loaded")


def test_a_name_that_is_loaded_is_a_conflict(endpoint):
    load(endpoint, "a")
    assert load(endpoint, "a")[0] == 409
    assert len(endpoint.ask("GET", "/models")[1]["models"]) == 1


def test_a_model_that_does_not_fit_is_refused_until_another_is_unloaded(endpoint):
    assert load(endpoint, "a")[0] == load(endpoint, "b")[0] == 200
    status, answer = load(endpoint, "c")
    assert status == 507
    assert "100 MB" in answer["error"]["message"]
    assert endpoint.ask("DELETE", "/models/a")[0] == 200
    assert load(endpoint, "c")[0] == 200


def test_folders_outside_the_platform_are_refused(endpoint, tmp_path):
    outside = write_artifact(tmp_path / "model")
    for url in (outside, endpoint.base / "models" / ".." / ".." / "x", endpoint.base / "nothing here"):
        status, answer = load(endpoint, "a", url)
        assert (status, answer["error"]["code"]) == (400, "bad_url")


def test_a_link_out_of_the_platform_is_refused(endpoint, tmp_path):
    link = endpoint.base / "link"
    link.symlink_to(write_artifact(tmp_path / "model"))
    assert load(endpoint, "a", link)[0] == 400


def test_an_unusable_model_is_refused_and_its_name_stays_free(endpoint):
    folder = endpoint.base / "models" / "broken" / "model"
    write_artifact(folder)
    (folder / "manifest.json").write_text("{}")
    status, answer = load(endpoint, "a", folder)
    assert (status, answer["error"]["code"]) == (400, "unusable_model")
    shutil.rmtree(folder)
    assert load(endpoint, "a")[0] == 200


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model_name": "a"}', b'{"model_name": "", "url": "/x"}'])
def test_a_load_request_of_another_shape_is_refused(endpoint, body):
    assert endpoint.ask("POST", "/models", body, Content_Type="application/json")[0] == 400


def test_there_is_no_single_model(endpoint):
    assert endpoint.ask("POST", "/invocations", JPEG, Content_Type="image/jpeg")[0] == 404
    assert endpoint.ask("PUT", "/models")[0] == 405
    assert endpoint.ask("GET", "/ping")[0] == 200
