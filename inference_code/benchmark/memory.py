"""`python -m inference_code.benchmark.memory MODEL_DIRECTORY`: what serving this model costs in memory, as JSON.

A process of its own, because memory that other work has touched would count too.
"""

import json
import resource
import sys
from pathlib import Path

import numpy as np

from inference_code.classifier import Classifier
from inference_code.settings import Settings

_UNIT = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, kilobytes on Linux


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def main(directory: Path) -> dict[str, int]:
    settings = Settings.from_environment()
    before = peak()
    classifier = Classifier.load(directory, settings.cores, settings.engine)
    loaded = peak()
    height, width = classifier.manifest.preprocessing.input_size
    for _ in range(20):
        classifier.predict([np.zeros((3, height, width), np.float32)])
    return {"loaded_bytes": loaded - before, "peak_bytes": peak()}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
