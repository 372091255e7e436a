"""A manifest says everything the server needs, or it is refused."""

import json

import pytest

from contract.manifest import InvalidManifest, Manifest
from tests.inference_code.tiny_model import PREPROCESSING


def manifest() -> Manifest:
    return Manifest(
        "resnet18",
        ("ant", "Biene 🐝"),
        PREPROCESSING,
        hyperparameters={"epochs": "3"},
        calibration={"temperature": 1.2},
    )


def test_it_comes_back_as_it_was_written(tmp_path):
    written = manifest()
    assert written.write(tmp_path) == tmp_path / "manifest.json"
    assert Manifest.read(tmp_path) == Manifest.read(tmp_path / "manifest.json") == written
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"classes": ["ant"]}, "classes"),
        ({"classes": ["ant", "ant"]}, "more than once"),
        ({"classes": ["ant", ""]}, "classes"),
        ({"classes": "ant"}, "classes"),
        ({"preprocessing": {}}, "preprocessing"),
        ({"pickle": "model.pkl"}, "unknown fields"),
    ],
)
def test_what_a_server_could_misread_is_refused_by_name(tmp_path, change, named):
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(manifest().to_dict() | change))
    with pytest.raises(InvalidManifest, match=named) as refused:
        Manifest.read(file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize("field", ["schema_version", "architecture", "classes", "preprocessing"])
def test_a_missing_field_is_named(tmp_path, field):
    values = manifest().to_dict()
    del values[field]
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(InvalidManifest, match=field):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("content", [None, "not json", "[]"])
def test_no_manifest_is_an_error_that_names_the_file(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InvalidManifest, match=r"manifest\.json"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("preprocessing.input_size", 3), ("preprocessing.input_size", ["x", 1]), ("preprocessing.input_size", [float("inf"), 1]),
     ("preprocessing.mean", [None] * 3), ("preprocessing.resize", {"mode": [], "size": "x"}), ("classes", [["a"], ["b"]])],
)  # fmt: skip
def test_a_field_of_a_type_that_nobody_writes_is_refused_with_a_sentence(tmp_path, field, value):
    document = manifest().to_dict()
    *outer, last = field.split(".")
    (document[outer[0]] if outer else document)[last] = value
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(InvalidManifest, match=r"manifest\.json: "):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"classes": ' + "[" * 100_000, '{"a":' * 100_000])
def test_a_manifest_as_deep_as_it_likes_is_not_json(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InvalidManifest, match="not JSON"):
        Manifest.read(tmp_path)
