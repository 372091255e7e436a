"""The request that trains a JumpStart image classifier with JumpStart's own image, beside a comparison. Never run here.

JumpStart's images and scripts lie on AWS only. What is known without an account is the shape of the request, the image's
address in each region and where JumpStart keeps a model and its script; the versions are those of the first published
models and can be given. Refuses ids that are no image classifiers of JumpStart's. The result is a model in JumpStart's own
format: it can be deployed by JumpStart, and is not benchmarked by `darkroom compare`.
https://docs.aws.amazon.com/sagemaker/latest/dg/jumpstart-foundation-models-use-python-sdk.html
"""

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkroom.failure import DarkroomError


@dataclass(frozen=True)
class Framework:
    """Version of JumpStart's training image, and how its script calls what Darkroom calls epochs, rate and batch."""

    version: str
    python: str
    learning_rate: str
    batch_size: str


FRAMEWORKS = {
    "pytorch": Framework("1.5.0", "py3", "adam-learning-rate", "batch-size"),
    "tensorflow": Framework("2.3.0", "py37", "learning_rate", "batch_size"),
}


def training_request(
    model_id: str, *, region: str, role: str, dataset: str, output: str, instance_type: str = "ml.g4dn.xlarge",
    epochs: int = 5, learning_rate: float = 0.001, batch_size: int = 16, script_version: str = "1.0.0",
) -> dict[str, Any]:  # fmt: skip
    """CreateTrainingJob for `model_id`. `dataset`: an S3 prefix with one folder per class; raises DarkroomError."""
    parts = re.fullmatch(r"(pytorch|tensorflow)-ic-[A-Za-z0-9-]+", model_id)
    if not parts:
        raise DarkroomError(
            f"{model_id!r} is not an image classifier of JumpStart.",
            "Give an id such as pytorch-ic-resnet18 or tensorflow-ic-imagenet-inception-v3-classification-4.",
        )
    if not dataset.startswith("s3://"):
        raise DarkroomError(
            f"--data {dataset!r} is not an S3 prefix.", "JumpStart reads s3://bucket/prefix/ with a folder per class."
        )
    name, framework = parts[1], FRAMEWORKS[parts[1]]
    bucket = f"s3://jumpstart-cache-prod-{region}"
    return {
        "TrainingJobName": f"jumpstart-{model_id}"[:63].rstrip("-"),
        "AlgorithmSpecification": {
            "TrainingImage": _image(name, framework, region, instance_type),
            "TrainingInputMode": "File",
        },
        "RoleArn": role,
        "HyperParameters": {
            "sagemaker_program": "transfer_learning.py",
            "sagemaker_submit_directory": (
                f"{bucket}/source-directory-tarballs/{name}/transfer_learning/ic/v{script_version}/sourcedir.tar.gz"
            ),
            "sagemaker_region": region,
            "epochs": str(epochs),
            framework.learning_rate: str(learning_rate),
            framework.batch_size: str(batch_size),
        },
        "InputDataConfig": [
            _channel("training", dataset),
            _channel("model", f"{bucket}/{name}-training/train-{model_id}.tar.gz"),
        ],
        "OutputDataConfig": {"S3OutputPath": output},
        "ResourceConfig": {"InstanceType": instance_type, "InstanceCount": 1, "VolumeSizeInGB": 100},
        "StoppingCondition": {"MaxRuntimeInSeconds": 24 * 3600},
    }


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def _image(name: str, framework: Framework, region: str, instance_type: str) -> str:
    # Its tables are read as files: importing the SDK opens a session with whatever AWS profile the user has.
    sdk = importlib.util.find_spec("sagemaker")
    places = (
        [Path(place, "core", "image_uri_config", f"{name}.json") for place in sdk.submodule_search_locations or ()]
        if sdk
        else []
    )
    table = next((place for place in places if place.is_file()), None)
    if table is None:
        raise DarkroomError(
            "JumpStart's images are known to the SageMaker Python SDK, which is not installed.",
            "Install it: pip install sagemaker-core",
        )
    image = json.loads(table.read_text())["training"]["versions"][framework.version]
    if region not in image["registries"]:
        known = ", ".join(sorted(image["registries"]))
        raise DarkroomError(f"There is no {name} {framework.version} image in {region!r}.", f"Choose one of {known}.")
    processor = "gpu" if re.match(r"ml\.[pg]\d", instance_type) else "cpu"
    host = f"{image['registries'][region]}.dkr.ecr.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
    return f"{host}/{image['repository']}:{framework.version}-{processor}-{framework.python}"
