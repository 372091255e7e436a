"""What a training script is told: the SM_ variables and its arguments, from SageMaker's files in /opt/ml/input/config.

https://github.com/aws/sagemaker-training-toolkit/blob/master/ENVIRONMENT_VARIABLES.md
"""

import json
import os
import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from script_mode import BASE, CODE, MODEL

CONFIG = BASE / "input" / "config"
# What the SDK adds to hyperparameters for the toolkit; a script does not get them.
# https://github.com/aws/sagemaker-training-toolkit/blob/master/src/sagemaker_training/params.py
FOR_THE_TOOLKIT = {
    "sagemaker_program", "sagemaker_submit_directory", "sagemaker_container_log_level", "sagemaker_job_name",
    "sagemaker_region", "sagemaker_enable_cloudwatch_metrics", "sagemaker_s3_output", "_tuning_objective_metric",
}  # fmt: skip
OTHERS = "sagemaker_"
LOG_LEVEL = 20


@dataclass(frozen=True)
class Surroundings:
    """One container of a training job."""

    config: Path = CONFIG

    @cached_property
    def given(self) -> dict[str, Any]:
        """All hyperparameters, decoded: the SDK writes each value as JSON, others write plain text."""
        return {name: decoded(value) for name, value in self._read("hyperparameters.json").items()}

    @cached_property
    def hyperparameters(self) -> dict[str, Any]:
        """The script's own."""
        return {
            name: value
            for name, value in self.given.items()
            if not name.startswith(OTHERS) and name not in FOR_THE_TOOLKIT
        }

    @cached_property
    def framework_parameters(self) -> dict[str, Any]:
        """Meant for the framework's container, such as `sagemaker_torch_distributed_enabled`."""
        return {
            name: value for name, value in self.given.items() if name.startswith(OTHERS) and name not in FOR_THE_TOOLKIT
        }

    @property
    def program(self) -> str:
        return str(self.given.get("sagemaker_program") or os.environ.get("SAGEMAKER_PROGRAM") or "")

    @property
    def submitted(self) -> str:
        """Where the code lies: `s3://…/sourcedir.tar.gz` or a folder of the container."""
        return str(self.given.get("sagemaker_submit_directory") or os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or CODE)

    @cached_property
    def resources(self) -> dict[str, Any]:
        return self._read("resourceconfig.json")

    @cached_property
    def channels(self) -> dict[str, Any]:
        return self._read("inputdataconfig.json")

    @property
    def hosts(self) -> list[str]:
        return self.resources.get("hosts", [socket.gethostname()])

    @property
    def host(self) -> str:
        return self.resources.get("current_host", self.hosts[0])

    def arguments(self) -> list[str]:
        """The command line of the script: names in order, a dictionary as `key=value,…`."""
        words = []
        for name in sorted(self.hyperparameters):
            value = self.hyperparameters[name]
            if isinstance(value, dict):
                value = ",".join(f"{key}={item}" for key, item in sorted(value.items()))
            words += [f"--{name}" if len(name) > 1 else f"-{name}", "" if value is None else str(value)]
        return words

    def variables(self) -> dict[str, str]:
        """SM_… for the script."""
        values = self._values()
        values |= {f"channel_{name}": str(BASE / "input" / "data" / name) for name in self.channels}
        values |= {f"hp_{name}": value for name, value in self.hyperparameters.items()}
        return {f"SM_{name.upper()}": encoded(value) for name, value in values.items()}

    def _values(self) -> dict[str, Any]:
        groups = self.resources.get("instance_groups", [])
        group = self.resources.get("current_group_name", "homogeneousCluster")
        shared = {
            "channel_input_dirs": {name: str(BASE / "input" / "data" / name) for name in sorted(self.channels)},
            "current_host": self.host,
            "current_instance_group": group,
            "current_instance_group_hosts": next(
                (each["hosts"] for each in groups if each["instance_group_name"] == group), []
            ),
            "current_instance_type": self.resources.get("current_instance_type", "local"),
            "distribution_hosts": self.hosts if not groups else [],
            "distribution_instance_groups": [],
            "framework_module": os.environ.get("SAGEMAKER_TRAINING_MODULE"),
            "hosts": self.hosts,
            "hyperparameters": self.hyperparameters,
            "input_config_dir": str(self.config),
            "input_data_config": self.channels,
            "input_dir": str(BASE / "input"),
            "instance_groups": [each["instance_group_name"] for each in groups],
            "instance_groups_dict": {each["instance_group_name"]: each for each in groups},
            "is_hetero": len({each["instance_type"] for each in groups}) > 1,
            "is_master": self.host == self.hosts[0],
            "is_modelparallel_enabled": None,
            "is_smddpmprun_installed": False,
            "is_smddprun_installed": False,
            "job_name": os.environ.get("TRAINING_JOB_NAME"),
            "log_level": self.given.get("sagemaker_container_log_level", LOG_LEVEL),
            "master_hostname": self.hosts[0],
            "model_dir": str(MODEL),
            "module_dir": self.submitted,
            "module_name": self.program.removesuffix(".py"),
            "network_interface_name": self.resources.get("network_interface_name", "eth0"),
            "num_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "num_gpus": len(list(Path("/dev").glob("nvidia[0-9]*"))),
            "num_neurons": 0,
            "output_data_dir": str(BASE / "output" / "data"),
            "output_dir": str(BASE / "output"),
            "output_intermediate_dir": str(BASE / "output" / "intermediate"),
            "resource_config": self.resources,
            "user_entry_point": self.program,
        }
        training = {**shared, "additional_framework_parameters": self.framework_parameters, "topology": []}
        # Named otherwise, or kept from the script's own variables, by AWS's toolkit.
        hidden = (
            "channel_input_dirs",
            "distribution_hosts",
            "hyperparameters",
            "is_master",
            "job_name",
            "master_hostname",
        )
        hidden += ("is_modelparallel_enabled", "is_smddpmprun_installed", "is_smddprun_installed")
        return {name: value for name, value in shared.items() if name not in hidden} | {
            "channels": sorted(self.channels),
            "framework_params": self.framework_parameters,
            "hps": self.hyperparameters,
            "training_env": training,
            "user_args": self.arguments(),
        }

    def _read(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.config / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}


def decoded(value: Any) -> Any:
    """A hyperparameter's value: JSON where it is JSON, else the text itself."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def encoded(value: Any) -> str:
    """A variable's value: text as it is, everything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
