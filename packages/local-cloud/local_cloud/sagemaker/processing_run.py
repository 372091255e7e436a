"""A processing job while it runs.

https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

import json
from pathlib import Path
from typing import Any

from local_cloud.frameworks.provision import provide
from local_cloud.sagemaker.channels import place, shard
from local_cloud.sagemaker.cluster import Host, hosts_file, hosts_of, resource_config
from local_cloud.sagemaker.containers import Container, stop_all
from local_cloud.sagemaker.job_logs import JobLog, stream_name
from local_cloud.sagemaker.launch import launch, literal_base, role_environment
from local_cloud.sagemaker.mirror import Mirror
from local_cloud.sagemaker.paths import base_variables, inside, relocated, relocated_values
from local_cloud.sagemaker.runs import FAILURE_LIMIT, JobFailed, JobRun, read_message
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.s3_locations import Location, sources_of
from local_cloud.sagemaker.store import Document

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"


class ProcessingRun(JobRun):
    """Inputs in, one container per instance, outputs out."""

    kind = "ProcessingJob"

    def __init__(self, runtime: Runtime, job: Document):
        super().__init__(runtime, job["ProcessingJobName"])
        self.job = job
        self.hosts = hosts_of(job["ProcessingResources"]["ClusterConfig"])
        self._outputs = [entry["S3Output"] for entry in job.get("ProcessingOutputConfig", {}).get("Outputs", [])]
        self._mirrors: list[tuple[Document, Mirror]] = []

    def execute(self) -> None:
        for output in self._outputs:
            self.context.objects.require_bucket(Location.parse(output["S3Uri"]).bucket)
        for host in self.hosts:
            self._prepare(host)
        self.change(ProcessingStartTime=self.now())
        if not self.control.stop_requested:
            for host in self.hosts:
                self.containers.append(self._launch(host))
        continuous = any(output.get("S3UploadMode") == "Continuous" for output in self._outputs)
        deadline = self.clock.ticks() + self.job["StoppingCondition"]["MaxRuntimeInSeconds"]
        outcome = self.await_containers(deadline, self._upload_continuous if continuous else None)
        if outcome != "exited":
            stop_all(self.containers, 0 if self.runtime.stopping.is_set() else self.runtime.settings.stop_grace_seconds)
        self.check_stop()
        self._upload_continuous(final=True)
        if outcome == "timeout":
            raise JobFailed(
                "ClientError: The processing job ran longer than MaxRuntimeInSeconds "
                f"({self.job['StoppingCondition']['MaxRuntimeInSeconds']}). Raise it, or give the job less to do."
            )
        if outcome == "stop":
            self.change(
                ProcessingJobStatus="Stopped", ProcessingEndTime=self.now(), ExitMessage=self._message() or None
            )
            return
        self._raise_if_failed()
        for _, mirror in self._mirrors:
            mirror.sync(final=True)
        self.change(ProcessingJobStatus="Completed", ProcessingEndTime=self.now(), ExitMessage=self._message() or None)

    def record_failure(self, reason: str) -> None:
        self.change(
            ProcessingJobStatus="Failed",
            ProcessingEndTime=self.now(),
            FailureReason=reason,
            ExitMessage=self._message() or None,
        )

    def _prepare(self, host: Host) -> None:
        base = host.base(self.folder)
        literal = literal_base(self.runtime, base)
        config = base / "config"
        for folder in (config, base / "output", base / "processing"):
            folder.mkdir(parents=True, exist_ok=True)
        described = {key: value for key, value in self.job.items() if not key.startswith("_")}
        text = json.dumps(described, default=str)
        (config / "processingjobconfig.json").write_text(relocated(text, literal))
        (config / "resourceconfig.json").write_text(json.dumps(resource_config(host, self.hosts)))
        for entry in self.job.get("ProcessingInputs", []):
            source = entry["S3Input"]
            found = sources_of(self.context.objects, source.get("S3DataType", "S3Prefix"), source["S3Uri"])
            mine = shard(found, source.get("S3DataDistributionType", "FullyReplicated"), host, self.hosts)
            place(mine, inside(source["LocalPath"], base, "LocalPath"), self.context.objects, linked=False)
        for output in self._outputs:
            folder = inside(output["LocalPath"], base, "LocalPath")
            folder.mkdir(parents=True, exist_ok=True)
            mirror = Mirror(self.context.objects, self.outputs, folder, Location.parse(output["S3Uri"]))
            self._mirrors.append((output, mirror))

    def _launch(self, host: Host) -> Container:
        base = host.base(self.folder)
        app = self.job["AppSpecification"]
        isolated = self.job.get("NetworkConfig", {}).get("EnableNetworkIsolation", False)
        environment = role_environment(self.runtime, self.job["RoleArn"], isolated, app["ImageUri"])
        environment |= self._environment(base)
        log = JobLog(self.context, LOG_GROUP, stream_name(self.name, self.clock.now(), host.name))
        if host.index == 0:
            self.log = log.write
        return launch(
            self.runtime,
            provide(self.context.images, app["ImageUri"], log.write),
            base,
            environment,
            on_lines=log.write,
            on_exit=self.control.ring,
            arguments=app.get("ContainerArguments", ()),
            entrypoint=app.get("ContainerEntrypoint"),
            hosts_file=hosts_file(self.hosts, self.folder / "hosts"),
            isolated=isolated,
            peer=next(iter(self.containers), None),
        )

    def _environment(self, base: Path) -> dict[str, str]:
        literal = literal_base(self.runtime, base)
        return {
            "PROCESSING_JOB_NAME": self.name,
            "PROCESSING_JOB_ARN": self.job["ProcessingJobArn"],
            **base_variables(literal),
            **relocated_values(self.job.get("Environment", {}), literal),
        }

    def _upload_continuous(self, final: bool = False) -> Any:
        for output, mirror in self._mirrors:
            if output.get("S3UploadMode") == "Continuous":
                mirror.sync(final)

    def _message(self) -> str:
        return read_message(self.outputs, self.hosts[0].base(self.folder) / "output" / "message")

    def _raise_if_failed(self) -> None:
        failed = next((c for c in self.containers if c.returncode), None)
        if failed is None:
            return
        text = failed.describe_exit() or self._message() or next(iter(failed.last_lines[-1:]), "")
        raise JobFailed(f"AlgorithmError: {text}"[: FAILURE_LIMIT - 20] + f", exit code: {failed.exit_code}")
