"""Features: the same with and without the cache, computed once per photo, and never of a test photo."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlparse

import numpy as np
import pytest

from contract.failure import JobFailure
from contract.preprocessing import Preprocessing, Resize, to_tensor
from tests.training_code.photo_sets import pixels
from training_code.features.cache import FeatureCache, FolderStore, cache_key, open_store
from training_code.features.engine import OpenVinoEngine, TorchEngine
from training_code.features.extraction import Sample, extract_features
from training_code.features.feature_set import FeatureSet
from training_code.features.pixel_store import PixelStore

PREPROCESSING = Preprocessing((32, 32), Resize("shorter_side", 36))
PHOTOS = [pixels("ants" if i % 2 else "bees", i) for i in range(11)]
VIEWS = {"train": ("plain", "flipped"), "validation": ("plain",)}


class Projection:
    """An engine that needs no model: a fixed random projection; it counts what it was asked."""

    identity, width = "projection", 5

    def __init__(self):
        self.asked = []

    def extract(self, work, pixels):
        self.asked += work
        rng = np.random.default_rng(0)
        matrix = rng.normal(size=(3 * 32 * 32, self.width)).astype(np.float32)
        tensors = [to_tensor(pixels(i), PREPROCESSING)[:, :, :: -1 if view == "flipped" else 1] for i, view in work]
        return np.stack([tensor.ravel() @ matrix for tensor in tensors])


def samples(count=9, changed=()):
    return [
        Sample(i, f"photo{i}", f"{i + (1000 if i in changed else 0):064x}", "ants" if i % 2 else "bees",
               "validation" if i % 4 == 3 else "train")
        for i in range(count)
    ]  # fmt: skip


def extract(cache, engine, those=None):
    return extract_features(
        those or samples(),
        ["ants", "bees"],
        VIEWS,
        cache,
        lambda: engine,
        lambda i: PHOTOS[i],
        "key",
        {"engine": "projection"},
    )


def same(one: FeatureSet, other: FeatureSet) -> bool:
    pairs = [(getattr(one, split), getattr(other, split)) for split in ("train", "validation")]
    return all(
        np.array_equal(a.features, b.features) and np.array_equal(a.labels, b.labels) and a.ids == b.ids
        and (np.array_equal(a.flipped, b.flipped) if a.flipped is not None else b.flipped is None)
        for a, b in pairs
    )  # fmt: skip


class S3(BaseHTTPRequestHandler):
    """As much of S3 as the cache speaks: put, get, list."""

    protocol_version = "HTTP/1.1"  # answers `Expect: 100-continue`
    objects: dict[str, bytes] = {}  # noqa: RUF012
    gets: list[str] = []  # noqa: RUF012

    def log_message(self, *_):
        pass

    def answer(self, body=b"", status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "aws-chunked" or "aws-chunked" in self.headers.get(
            "x-amz-decoded-content-length", ""
        ):
            body = body.split(b"\r\n", 2)[1]
        self.objects[unquote(self.path)] = body
        self.answer()

    def do_GET(self):
        query = parse_qs(urlparse(self.path).query)
        if "list-type" in query:
            bucket = urlparse(self.path).path
            keys = sorted(k.removeprefix(f"{bucket}/") for k in self.objects)
            found = "".join(f"<Contents><Key>{k}</Key></Contents>" for k in keys if k.startswith(query["prefix"][0]))
            return self.answer(f'<?xml version="1.0"?><ListBucketResult>{found}</ListBucketResult>'.encode())
        self.gets.append(self.path)
        return self.answer(self.objects[unquote(self.path)])


@pytest.fixture
def s3(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), S3)
    S3.objects, S3.gets = {}, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1", "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    yield S3
    server.shutdown()
    server.server_close()


def stores(tmp_path, request, kind):
    if kind == "s3":
        request.getfixturevalue("s3")
        return lambda: open_store("s3://artifacts/feature-cache/")
    return lambda: open_store(f"file://{tmp_path}")


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_a_cached_and_an_uncached_run_agree_to_the_last_bit(tmp_path, request, kind):
    store = stores(tmp_path, request, kind)
    first, second = Projection(), Projection()
    uncached = extract(FeatureCache(None, "key"), Projection())
    assert same(extract(FeatureCache(store(), "key"), first), uncached)
    again = extract(FeatureCache(store(), "key"), second)
    assert same(again, uncached)
    assert len(first.asked) == 16
    assert second.asked == []
    assert (again.facts["from_cache"], again.facts["computed"]) == (16, 0)


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_a_changed_photo_recomputes_that_photo_only(tmp_path, request, kind):
    store = stores(tmp_path, request, kind)
    extract(FeatureCache(store(), "key"), Projection())
    engine = Projection()
    extract(FeatureCache(store(), "key"), engine, samples(10, changed=(4,)))
    assert sorted(engine.asked) == [(4, "flipped"), (4, "plain"), (9, "flipped"), (9, "plain")]


def test_another_key_shares_nothing(tmp_path):
    extract(FeatureCache(FolderStore(tmp_path), "one"), Projection())
    engine = Projection()
    extract(FeatureCache(FolderStore(tmp_path), "other"), engine)
    assert len(engine.asked) == 16


def test_the_key_changes_with_weights_architecture_preprocessing_and_engine():
    base = {"weights": "w", "architecture": "a", "preprocessing": PREPROCESSING.to_dict(), "engine": "e"}
    other = {"weights": "x", "architecture": "b", "preprocessing": Preprocessing().to_dict(), "engine": "f"}
    keys = {cache_key(**{**base, name: value}) for name, value in other.items()} | {cache_key(**base)}
    assert len(keys) == 5


def test_a_damaged_shard_is_computed_again_with_a_warning(tmp_path, capsys):
    extract(FeatureCache(FolderStore(tmp_path), "key"), Projection())
    for shard in tmp_path.rglob("*.features"):
        shard.write_bytes(bytes([shard.read_bytes()[0] ^ 1]) + shard.read_bytes()[1:])
    engine = Projection()
    assert same(
        extract(FeatureCache(FolderStore(tmp_path), "key"), engine), extract(FeatureCache(None, "key"), Projection())
    )
    assert len(engine.asked) == 16
    assert "damaged" in capsys.readouterr().err


def test_a_cache_that_cannot_be_reached_is_a_warning(monkeypatch, capsys):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    cache = FeatureCache(open_store("s3://artifacts/feature-cache/"), "key")
    assert same(extract(cache, Projection()), extract(FeatureCache(None, "key"), Projection()))
    assert "cannot be read" in capsys.readouterr().err
    with pytest.raises(JobFailure, match=r"received 'http://x'; allowed: s3://"):
        open_store("http://x")


def test_the_same_photo_twice_is_computed_once():
    engine = Projection()
    twins = [Sample(i, f"p{i}", "a" * 64, "ants", "train") for i in range(3)]
    twins.append(Sample(3, "v", "b" * 64, "bees", "validation"))
    found = extract(FeatureCache(None, "key"), engine, twins)
    assert len(engine.asked) == 3
    assert np.array_equal(found.train.features[0], found.train.features[2])


def test_a_test_photo_is_refused():
    with pytest.raises(ValueError, match="features are of"):
        extract(FeatureCache(None, "key"), Projection(), [Sample(0, "p", "a" * 64, "ants", "test")])


def test_a_feature_set_survives_the_disk_and_a_broken_one_is_refused(tmp_path):
    found = extract(FeatureCache(None, "key"), Projection())
    found.write(tmp_path)
    back = FeatureSet.read(tmp_path)
    assert same(back, found)
    assert (back.classes, back.key, back.width, back.facts["engine"]) == (["ants", "bees"], "key", 5, "projection")
    assert isinstance(back.train.features, np.memmap)
    np.save(tmp_path / "train_labels.npy", np.zeros(2, np.int64))
    with pytest.raises(JobFailure, match="arrays of train differ"):
        FeatureSet.read(tmp_path)
    (tmp_path / "index.json").unlink()
    with pytest.raises(JobFailure, match=r"no index\.json"):
        FeatureSet.read(tmp_path)


def test_pixels_beyond_the_budget_are_decoded_again_and_are_the_same():
    one = 32 * 32 * 3
    again = []

    def decode_again(index):
        again.append(index)
        return PHOTOS[index]

    with PixelStore([0, 1, 2, 3], PREPROCESSING, decode_again, budget=2 * one) as store:
        for index in range(4):
            store.keep(index, PHOTOS[index])
        kept = [np.array(store.load(index)) for index in range(4)]
    assert again == [2, 3]
    with PixelStore([], PREPROCESSING, decode_again, budget=0) as store:
        assert all(np.array_equal(store.load(index), kept[index]) for index in range(4))


@pytest.fixture(scope="module")
def network():
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 6, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers).eval()


WORK = [(i, view) for i in range(11) for view in ("plain", "flipped")]


def expected(network):
    import torch

    tensors = [to_tensor(PHOTOS[i], PREPROCESSING)[:, :, :: -1 if view == "flipped" else 1].copy() for i, view in WORK]
    with torch.inference_mode():
        return network(torch.from_numpy(np.stack(tensors))).numpy()


def at_input_size(index):
    from contract.preprocessing import resize_and_crop

    return resize_and_crop(PHOTOS[index], PREPROCESSING)


def test_the_cpu_engine_gives_the_features_of_the_module_in_order(network):
    engine = OpenVinoEngine(network, PREPROCESSING, "float32")
    found = engine.extract(WORK, at_input_size)
    np.testing.assert_allclose(found, expected(network), atol=1e-5)
    assert np.array_equal(found, engine.extract(WORK, at_input_size))


def test_the_gpu_engine_gives_the_same_features_where_it_is_run_on_a_cpu(network):
    import copy

    engine = TorchEngine(copy.deepcopy(network), 6, PREPROCESSING, "float32", "cpu")
    np.testing.assert_allclose(engine.extract(WORK, at_input_size), expected(network), atol=1e-5)


def test_a_photo_that_cannot_be_read_any_more_fails_the_extraction(network):
    def gone(index):
        raise OSError(f"photo {index} is gone")

    with pytest.raises(OSError, match="is gone"):
        OpenVinoEngine(network, PREPROCESSING, "float32").extract(WORK, gone)


def test_half_precision_is_refused_on_a_cpu(network):
    with pytest.raises(JobFailure, match=r"precision: received 'float16'; allowed on a CPU"):
        OpenVinoEngine(network, PREPROCESSING, "float16")
