"""How soon one photo is answered, and how many a second: the server against its own bare decode + forward.

    .venv-inference_code/bin/python -m benchmarks.serving [--photos DIR] [--eager PYTHON] [--rounds 5] [--out FILE]

Server: this repository's, as a process of its own. Client: raw sockets in this process, on the same cores. Model:
MobileNetV2 1.0 at 224 pixels with random weights (the same arithmetic as trained ones). Photos: generated, about
100 kB of JPEG, or the .jpg files of 80 to 120 kB in DIR. With --eager, a Python that has torch and torchvision: the
same work in eager PyTorch + PIL with no server around it, a bound that no eager server beats.
Rounds alternate between the contestants; the table shows the median round and the spread.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import simplejpeg
from onnx import TensorProto, helper, numpy_helper

from contract.manifest import Manifest
from contract.preprocessing import Preprocessing
from inference_code.classifier import Classifier
from inference_code.settings import available_cores

CLASSES = 1000
EAGER = """
import io, json, statistics, sys, threading, time, torch, torchvision
from PIL import Image
from torchvision.models import mobilenet_v2
cores, rounds, seconds, *names = sys.argv[1:]
cores = int(cores)
photos = [open(name, "rb").read() for name in names]
model = mobilenet_v2(weights=None).eval()
steps = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.transforms()
def answer(photo):
    with torch.inference_mode():
        return model(steps(Image.open(io.BytesIO(photo)).convert("RGB"))[None]).softmax(1)
result = {"latency_ms": [], "per_second": []}
for _ in range(int(rounds)):
    torch.set_num_threads(cores)
    times, end = [], time.perf_counter() + float(seconds)
    while time.perf_counter() < end:
        begin = time.perf_counter(); answer(photos[len(times) % len(photos)]); times.append(time.perf_counter() - begin)
    result["latency_ms"].append(1e3 * statistics.median(times))
    torch.set_num_threads(1)
    counts, end = [0] * cores, time.perf_counter() + float(seconds)
    def work(index):
        while time.perf_counter() < end:
            answer(photos[counts[index] % len(photos)]); counts[index] += 1
    threads = [threading.Thread(target=work, args=(index,)) for index in range(cores)]
    [thread.start() for thread in threads]; [thread.join() for thread in threads]
    result["per_second"].append(sum(counts) / float(seconds))
print(json.dumps(result))
"""


def mobilenet_v2(path: Path) -> None:
    """Write MobileNetV2 with batch norm folded in, as an export leaves it."""
    random = np.random.default_rng(0)
    nodes, weights = [], [numpy_helper.from_array(np.float32(value), name) for name, value in (("0", 0), ("6", 6))]

    def conv(x: str, inputs: int, outputs: int, size: int, stride: int, groups: int = 1, relu: bool = True) -> str:
        name = f"n{len(nodes)}"
        fan = size * size * inputs // groups
        kernel = random.standard_normal((outputs, inputs // groups, size, size)) * np.sqrt(2 / fan)
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"{name}.w"))
        weights.append(numpy_helper.from_array(np.zeros(outputs, np.float32), f"{name}.b"))
        nodes.append(helper.make_node("Conv", [x, f"{name}.w", f"{name}.b"], [name], kernel_shape=[size, size],
                                      strides=[stride, stride], pads=[size // 2] * 4, group=groups))  # fmt: skip
        if relu:
            nodes.append(helper.make_node("Clip", [name, "0", "6"], [f"{name}.relu"]))
        return f"{name}.relu" if relu else name

    x, channels = conv("image", 3, 32, 3, 2), 32
    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expand, outputs, repeats, first_stride in plan:
        for index in range(repeats):
            stride, wide = first_stride if index == 0 else 1, channels * expand
            y = conv(x, channels, wide, 1, 1) if expand > 1 else x
            y = conv(conv(y, wide, wide, 3, stride, wide), wide, outputs, 1, 1, relu=False)
            if stride == 1 and channels == outputs:
                nodes.append(helper.make_node("Add", [x, y], [f"{y}.sum"]))
                y = f"{y}.sum"
            x, channels = y, outputs
    x = conv(x, channels, 1280, 1, 1)
    head = (random.standard_normal((CLASSES, 1280)) * 0.01).astype(np.float32)
    weights.append(numpy_helper.from_array(head, "head"))
    nodes += [
        helper.make_node("GlobalAveragePool", [x], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "head"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 224, 224])
    answer = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", CLASSES])
    graph = helper.make_graph(nodes, "mobilenet_v2", [image], [answer], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def generated_photos(count: int = 16) -> list[bytes]:
    """JPEGs of about 100 kB, 500 x 375: smooth shapes with as much grain as that size allows."""
    random = np.random.default_rng(1)
    photos = []
    for _ in range(count):
        coarse = random.uniform(0, 255, (12, 16, 3))
        smooth = np.kron(coarse, np.ones((32, 32, 1)))[:375, :500]
        pixels = np.clip(smooth + random.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
        photos.append(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=85))
    return photos


async def ask(port: int, photos: list[bytes], clients: int, seconds: float, path: str = "/invocations") -> list[float]:
    """Let so many clients ask one after another, each on its own connection; seconds per answer."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = number
        while time.perf_counter() < end:
            photo = photos[turn % len(photos)]
            turn += 1
            begin = time.perf_counter()
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
            head += "Accept: application/x-array\r\n"
            writer.write(f"{head}Content-Length: {len(photo)}\r\n\r\n".encode() + photo)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"the server answered {answer!r}")
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            times.append(time.perf_counter() - begin)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return times


def bare(classifier: Classifier, photos: list[bytes], threads: int, seconds: float) -> list[float]:
    """The same decode and forward in this process, without HTTP."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    def work(turn: int) -> None:
        while time.perf_counter() < end:
            begin = time.perf_counter()
            classifier.predict([classifier.decode(photos[turn % len(photos)])])
            times.append(time.perf_counter() - begin)
            turn += 1

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return times


def start_server(base: Path, port: int, **extra: str) -> tuple[subprocess.Popen, float]:
    """Start the server; return it with the seconds from the start to the first answered ping."""
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(base), "SAGEMAKER_BIND_TO_PORT": str(port), **extra}
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "inference_code", "serve"], env=environment, stdout=sys.stderr)

    async def ping() -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer.startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    while not asyncio.run(ping()):
        if process.poll() is not None or time.perf_counter() - begin > 60:
            raise SystemExit("the server did not start; its log is above")
        time.sleep(0.01)
    return process, time.perf_counter() - begin


def percentile(times: list[float], share: float) -> float:
    """Milliseconds."""
    return 1e3 * sorted(times)[min(len(times) - 1, int(share * len(times)))]


def row(name: str, values: list[float], unit: str) -> str:
    """A line of the table: median of the rounds, least and most."""
    return f"{name:<52} {statistics.median(values):8.2f} {unit:<9} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--eager", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--port", type=int, default=18473)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    photos = generated_photos()
    if options.photos:
        photos = [file.read_bytes() for file in sorted(options.photos.rglob("*.jp*g"))]
        photos = [photo for photo in photos if 80_000 <= len(photo) <= 120_000][:64]
        if not photos:
            raise SystemExit(f"{options.photos}: no JPEG of 80 to 120 kB below it; choose another folder, or none")
    cores = available_cores()
    rounds: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        rounds.setdefault(name, []).append(value)

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "model").mkdir()
        mobilenet_v2(base / "model" / "model.onnx")
        classes = tuple(f"class {index}" for index in range(CLASSES))
        Manifest("mobilenet_v2", classes, Preprocessing()).write(base / "model")
        begin = time.perf_counter()
        classifier = Classifier.load(base / "model", cores)
        note("model_load_s", time.perf_counter() - begin)
        server, started = start_server(base, options.port)
        many, _ = start_server(base, options.port + 1, SAGEMAKER_MULTI_MODEL="true")
        note("start_to_ping_s", started)
        try:
            load_model(options.port + 1, base / "model")
            for number in range(options.rounds + 1):
                found = one_round(options, classifier, photos, cores)
                if number:  # the first round warms everything up
                    for name, value in found.items():
                        note(name, value)
        finally:
            for process in (server, many):
                process.terminate()
                process.wait()
        if options.eager:
            rounds.update(eager(options, photos, cores, base))
    print_table(rounds, photos, cores, options)
    if options.out:
        facts = {"cores": cores, "cpu": cpu(), "photos": len(photos), "mean_bytes": sum(map(len, photos)) / len(photos)}
        options.out.write_text(json.dumps({**facts, "rounds": rounds}, indent=2) + "\n")


def load_model(port: int, folder: Path) -> None:
    """Ask the multi-model server for the model, as SageMaker does."""
    import urllib.request

    body = json.dumps({"model_name": "one", "url": str(folder)}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/models", data=body)
    with urllib.request.urlopen(request):  # noqa: S310
        pass


def one_round(options: argparse.Namespace, classifier: Classifier, photos: list[bytes], cores: int) -> dict[str, float]:
    """Every contestant once."""
    found, seconds = {}, options.seconds
    times = bare(classifier, photos, 1, seconds)
    found["bare_p50_ms"] = percentile(times, 0.5)
    times = asyncio.run(ask(options.port, photos, 1, seconds))
    found["server_p50_ms"], found["server_p99_ms"] = percentile(times, 0.5), percentile(times, 0.99)
    times = asyncio.run(ask(options.port + 1, photos, 1, seconds, "/models/one/invoke"))
    found["multi_model_p50_ms"] = percentile(times, 0.5)
    found["bare_per_s"] = len(bare(classifier, photos, cores, seconds)) / seconds
    times = asyncio.run(ask(options.port, photos, 8, seconds))
    found["server_8_per_s"], found["server_8_p99_ms"] = len(times) / seconds, percentile(times, 0.99)
    return found


def eager(options: argparse.Namespace, photos: list[bytes], cores: int, base: Path) -> dict[str, list[float]]:
    """The peer, in its own interpreter."""
    names = []
    for index, photo in enumerate(photos):
        names.append(str(base / f"{index}.jpg"))
        Path(names[-1]).write_bytes(photo)
    arguments = [str(cores), str(options.rounds), str(options.seconds), *names]
    answer = subprocess.run([options.eager, "-c", EAGER, *arguments], check=True, capture_output=True, text=True)
    result = json.loads(answer.stdout)
    return {"eager_p50_ms": result["latency_ms"], "eager_per_s": result["per_second"]}


def cpu() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def print_table(rounds: dict[str, list[float]], photos: list[bytes], cores: int, options: argparse.Namespace) -> None:
    """The numbers with what they were measured on."""
    mean = sum(map(len, photos)) / len(photos) / 1e3
    print(f"{cpu()}, {cores} cores shared with the client; {len(photos)} photos of {mean:.0f} kB on average")
    print(f"{options.rounds} rounds of {options.seconds:g} s each; median round (least to most)\n")
    rows = [
        ("one client, p50", "server_p50_ms", "ms"), ("one client, p99", "server_p99_ms", "ms"),
        ("one client on a multi-model endpoint, p50", "multi_model_p50_ms", "ms"),
        ("bare decode + forward, p50", "bare_p50_ms", "ms"),
        ("eager PyTorch + PIL, no server, p50", "eager_p50_ms", "ms"),
        ("eight clients", "server_8_per_s", "photos/s"), ("eight clients, p99", "server_8_p99_ms", "ms"),
        ("bare decode + forward, a thread per core", "bare_per_s", "photos/s"),
        ("eager PyTorch + PIL, no server, a thread per core", "eager_per_s", "photos/s"),
        ("start of the process to the first ping", "start_to_ping_s", "s"), ("loading the model", "model_load_s", "s"),
    ]  # fmt: skip
    for name, key, unit in rows:
        if key in rounds:
            print(row(name, rounds[key], unit))
    if "eager_p50_ms" not in rounds:
        print("eager PyTorch: skipped; name a Python that has torch and torchvision with --eager")


if __name__ == "__main__":
    main()
