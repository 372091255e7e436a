"""The /opt/ml tree of a training job before its first process starts: configuration files and folders.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

import json
from pathlib import Path

from local_cloud.sagemaker.channels import input_data_config
from local_cloud.sagemaker.cluster import Host, resource_config
from local_cloud.sagemaker.paths import OPT_ML, base_variables, inside, relocated, relocated_values
from local_cloud.sagemaker.store import Document

TENSORS = "/opt/ml/output/tensors"
TENSORBOARD = "/opt/ml/output/tensorboard"
PROFILER = "/opt/ml/output/profiler"
CHECKPOINTS = "/opt/ml/checkpoints"


def write_training_folder(job: Document, host: Host, hosts: list[Host], base: Path, literal: Path) -> None:
    """Makes the tree at `base`; `literal` is the path under which the container sees it."""
    config = base / "input" / "config"
    for folder in (config, base / "input/data", base / "model", base / "output/data"):
        folder.mkdir(parents=True, exist_ok=True)
    mode = job["AlgorithmSpecification"]["TrainingInputMode"]
    documents: dict[str, object] = {
        "hyperparameters": relocated_values(job.get("HyperParameters", {}), literal),
        "inputdataconfig": input_data_config(job.get("InputDataConfig", []), mode),
        "resourceconfig": resource_config(host, hosts),
    }
    if "CheckpointConfig" in job:
        documents["checkpointconfig"] = {
            **job["CheckpointConfig"],
            "LocalPath": relocated(checkpoint_path(job), literal),
        }
    if "DebugHookConfig" in job:
        documents["debughookconfig"] = {**job["DebugHookConfig"], "LocalPath": relocated(tensors_path(job), literal)}
    if "TensorBoardOutputConfig" in job:
        documents["tensorboardoutputconfig"] = {
            **job["TensorBoardOutputConfig"],
            "LocalPath": relocated(tensorboard_path(job), literal),
        }
    if "ProfilerConfig" in job:
        documents["profilerconfig"] = {**job["ProfilerConfig"], "LocalPath": relocated(PROFILER, literal)}
    for name, document in documents.items():
        (config / f"{name}.json").write_text(json.dumps(document, default=str))


def checkpoint_path(job: Document) -> str:
    return job["CheckpointConfig"].get("LocalPath", CHECKPOINTS).rstrip("/")


def tensors_path(job: Document) -> str:
    return job["DebugHookConfig"].get("LocalPath", TENSORS).rstrip("/")


def tensorboard_path(job: Document) -> str:
    return job["TensorBoardOutputConfig"].get("LocalPath", TENSORBOARD).rstrip("/")


def mirrored_folders(job: Document, base: Path) -> list[tuple[Path, str]]:
    """Folders of the job that are kept in S3 while it runs: (folder, S3 URI)."""
    pairs = []
    if "CheckpointConfig" in job:
        pairs.append(
            (inside(checkpoint_path(job), base, "CheckpointConfig.LocalPath"), job["CheckpointConfig"]["S3Uri"])
        )
    return pairs + debugging_folders(job, base)


def debugging_folders(job: Document, base: Path) -> list[tuple[Path, str]]:
    """Those of them that tell about the training: tensors, TensorBoard, profile."""
    name, pairs = job["TrainingJobName"], []
    if "DebugHookConfig" in job:
        pairs.append(
            (
                inside(tensors_path(job), base, "DebugHookConfig.LocalPath"),
                f"{job['DebugHookConfig']['S3OutputPath'].rstrip('/')}/{name}/debug-output",
            )
        )
    if "TensorBoardOutputConfig" in job:
        pairs.append(
            (
                inside(tensorboard_path(job), base, "TensorBoardOutputConfig.LocalPath"),
                f"{job['TensorBoardOutputConfig']['S3OutputPath'].rstrip('/')}/{name}/tensorboard-output",
            )
        )
    if "S3OutputPath" in job.get("ProfilerConfig", {}):
        pairs.append(
            (
                inside(PROFILER, base, "ProfilerConfig"),
                f"{job['ProfilerConfig']['S3OutputPath'].rstrip('/')}/{name}/profiler-output",
            )
        )
    return pairs


def debugger_variables(config: Path) -> dict[str, str]:
    """smdebug's own names for files that it looks for below /opt/ml."""
    return {
        "SMDEBUG_CONFIG_FILE_PATH": str(config / "debughookconfig.json"),
        "SMPROFILER_CONFIG_PATH": str(config / "profilerconfig.json"),
    }


def training_environment(job: Document, base: Path) -> dict[str, str]:
    """The variables that a training container gets besides its image's and the role's."""
    return {
        "TRAINING_JOB_NAME": job["TrainingJobName"],
        "TRAINING_JOB_ARN": job["TrainingJobArn"],
        **base_variables(base),
        **(debugger_variables(base / "input" / "config") if base != Path(OPT_ML) else {}),
        **relocated_values(job.get("Environment", {}), base),
    }
