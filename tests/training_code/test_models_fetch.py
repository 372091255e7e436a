"""Weights from where they are published into the store's layout; without a network the message says what to do."""

from __future__ import annotations

import json

import pytest

from contract.failure import JobFailure
from training_code.models import fetch, weights


def test_weights_without_a_place_of_publication_ask_for_a_file(tmp_path):
    with pytest.raises(JobFailure, match="darkroom weights add mobilenetv2_075 FILE"):
        fetch.fetch("mobilenetv2_075", tmp_path)


def test_a_hub_that_cannot_be_reached_is_named_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no route to host")))
    with pytest.raises(
        JobFailure, match=r"download\.pytorch\.org.*no route to host.*darkroom weights add resnet18 FILE"
    ):
        fetch.fetch("resnet18", tmp_path)
    assert not (tmp_path / "resnet18" / weights.RECORD).exists()


def test_a_download_whose_checksum_differs_from_its_name_is_thrown_away(tmp_path, monkeypatch):
    import io

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO(b"not the weights"))
    with pytest.raises(JobFailure, match="checksum"):
        fetch.fetch("resnet18", tmp_path)
    assert list((tmp_path / "resnet18").glob("*.pth")) == []


@pytest.mark.parametrize("fits", [True, False])
def test_what_was_fetched_is_loaded_before_it_is_stored_and_found_by_a_training(fits, tmp_path, monkeypatch):
    import hashlib
    import io

    import timm
    import torch
    from safetensors.torch import save

    name = "timm/test_resnet"
    data = save(timm.create_model("test_resnet").state_dict() if fits else {"other": torch.zeros(1)})
    url = f"https://example.org/resnet-{hashlib.sha256(data).hexdigest()[:8]}.safetensors"
    monkeypatch.setattr(fetch.libraries, "published_weights", lambda spec: url)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO(data))
    if fits:
        record = json.loads((fetch.fetch(name, tmp_path) / weights.RECORD).read_text())
        assert record["source"] == url and record["loading"]["replaced"] == 2
        assert weights.resolve(name, tmp_path).path.read_bytes() == data
    else:
        with pytest.raises(JobFailure, match="do not fit"):
            fetch.fetch(name, tmp_path)
        assert list((tmp_path / weights.key_of(name)).iterdir()) == []
