"""A training job while it runs: download, train, upload, and every way in which that can end.

https://docs.aws.amazon.com/sagemaker/latest/dg/how-it-works-training.html
"""

import contextlib
import shutil
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from local_cloud.errors import AwsError
from local_cloud.frameworks.provision import provide
from local_cloud.sagemaker.artifacts import pack
from local_cloud.sagemaker.billing import Bill
from local_cloud.sagemaker.channels import deliver, is_linked, place
from local_cloud.sagemaker.cluster import Host, hosts_file, hosts_of
from local_cloud.sagemaker.containers import Container, stop_all
from local_cloud.sagemaker.job_logs import FinalMetrics, JobLog, metric_patterns, stream_name
from local_cloud.sagemaker.launch import launch, literal_base, role_environment
from local_cloud.sagemaker.mirror import Mirror, store_file
from local_cloud.sagemaker.rule_evaluation import RuleEvaluation
from local_cloud.sagemaker.rules import rules_of
from local_cloud.sagemaker.runs import FAILURE_LIMIT, JobFailed, JobRun, read_message
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.s3_locations import Location, objects_under
from local_cloud.sagemaker.store import Document
from local_cloud.sagemaker.training_folder import (
    debugging_folders,
    mirrored_folders,
    training_environment,
    write_training_folder,
)

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
MESSAGES = {
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Interrupted": "Training job interrupted: the spot instance was reclaimed",
    "Restarting": "Restarting the training job with its checkpoints",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}


class TrainingRun(JobRun):
    """`on_metric` and `on_end` let a tuning job follow its trials."""

    kind = "TrainingJob"

    def __init__(
        self,
        runtime: Runtime,
        job: Document,
        on_metric: Callable[[str, float, float], None] = lambda name, value, moment: None,
        on_end: Callable[[], None] = lambda: None,
        again: bool = False,
    ):
        """`again`: an earlier process of the cloud ended while the job ran."""
        super().__init__(runtime, job["TrainingJobName"])
        self.job, self.hosts = job, hosts_of(job["ResourceConfig"])
        self.metrics = FinalMetrics()
        self._follow, self._on_end = on_metric, on_end
        self._mirrors: list[Mirror] = []
        self._failed: Container | None = None
        self._again = again
        self._started: datetime | None = None
        self._bill = Bill(self.clock)
        longest = job["StoppingCondition"].get("MaxWaitTimeInSeconds")
        self._wait_until = None if longest is None else self.clock.ticks() + longest

    def execute(self) -> None:
        self._started = self.job.get("TrainingStartTime") or self.now()
        if self._again:
            self._secondary("Restarting")
        while True:
            with self._bill.running():
                outcome = self._attempt()
            self._sync(final=True)
            if outcome != "interrupt":
                break
            self._interrupted()
        self.check_stop()
        if outcome == "exited":
            self._raise_if_failed()
        elif outcome == "stop":
            self._secondary("Stopping", TrainingJobStatus="Stopping")
        self._secondary("Uploading")
        self._upload()
        final = {"exited": "Completed", "stop": "Stopped"}.get(outcome, outcome)
        self._finish("Completed" if final == "Completed" else "Stopped", final)
        self._evaluate_rules()

    def record_failure(self, reason: str) -> None:
        with contextlib.suppress(AwsError):
            self._sync(final=True)
        self._finish("Failed", "Failed", FailureReason=reason)
        self._evaluate_rules()

    def _evaluate_rules(self) -> None:
        """After the job, whatever became of it: a training that failed is what rules are for."""
        if not rules_of(self.job):
            return
        base = self.hosts[0].base(self.folder)
        evaluation = RuleEvaluation(self, base, [folder for folder, _ in debugging_folders(self.job, base)])
        # That stopped the training; one that comes from here on is meant for the rules.
        self.control.stop_requested = False
        if self.runtime.stopping.is_set():
            evaluation.abandon()
        else:
            evaluation.execute()

    def ended(self) -> None:
        self._on_end()

    def _attempt(self) -> str:
        """One life on one set of instances; says how it ended."""
        began = self.clock.ticks()
        self._require_buckets()
        self._secondary("Downloading", TrainingStartTime=self._started)
        for host in self.hosts:
            self._prepare(host)
        if self.control.stop_requested:
            return "stop"
        # Not before the containers have all they need: "Training" is when the user's code runs.
        self.containers = []
        for host in self.hosts:
            self.containers.append(self._launch(host))
        self._secondary("Training")
        if seconds := self.job.pop("_InterruptAfterSeconds", None):
            timer = threading.Timer(seconds, self.control.request_interrupt)
            timer.daemon = True
            timer.start()
        limit = began + self.job["StoppingCondition"]["MaxRuntimeInSeconds"] - self._bill.seconds
        deadline = min(limit, self._wait_until or limit)
        outcome = self.await_containers(deadline, self._sync if self._mirrors else None, self._over)
        if outcome == "stop" and not self.runtime.stopping.is_set():
            self._secondary("Stopping", TrainingJobStatus="Stopping")
        # The others will be ended by us: only the first failure says why.
        self._failed = next((c for c in self.containers if c.returncode), None)
        if outcome != "exited" or self._failed:
            stop_all(self.containers, 0 if self.runtime.stopping.is_set() else self.runtime.settings.stop_grace_seconds)
        if outcome == "timeout":
            return "MaxRuntimeExceeded" if deadline == limit else "MaxWaitTimeExceeded"
        return outcome

    def _over(self) -> bool:
        """All hosts have ended, or one has failed: the others wait for it in vain."""
        ended = [c for c in self.containers if not c.running]
        return len(ended) == len(self.containers) or any(c.returncode for c in ended)

    def _interrupted(self) -> None:
        self._secondary("Interrupted")
        self.control.interrupt_requested = False
        shutil.rmtree(self.folder, ignore_errors=True)
        self._secondary("Restarting")

    def _prepare(self, host: Host) -> None:
        base = host.base(self.folder)
        write_training_folder(self.job, host, self.hosts, base, literal_base(self.runtime, base))
        mode = self.job["AlgorithmSpecification"]["TrainingInputMode"]
        deliver(
            self.job.get("InputDataConfig", []),
            mode,
            self.context.objects,
            host,
            self.hosts,
            base,
            self.runtime.confines,
        )
        if host.index == 0:
            self._mirrors = [
                Mirror(self.context.objects, self.outputs, folder, Location.parse(uri))
                for folder, uri in mirrored_folders(self.job, base)
            ]
            for mirror in self._mirrors:
                mirror.folder.mkdir(parents=True, exist_ok=True)
        if "CheckpointConfig" in self.job:
            self._restore_checkpoints(host)

    def _restore_checkpoints(self, host: Host) -> None:
        folder, uri = mirrored_folders(self.job, host.base(self.folder))[0]
        with contextlib.suppress(AwsError):  # nothing there: the first start
            place(
                objects_under(self.context.objects, uri.rstrip("/") + "/"), folder, self.context.objects, linked=False
            )
        if host.index == 0:
            self._mirrors[0].known()

    def _launch(self, host: Host) -> Container:
        base = host.base(self.folder)
        algorithm = self.job["AlgorithmSpecification"]
        log = JobLog(
            self.context,
            LOG_GROUP,
            stream_name(self.name, self.clock.now(), host.name),
            metric_patterns(algorithm.get("MetricDefinitions", [])),
            self._metric,
        )
        if host.index == 0:
            self.log = log.write
        environment = role_environment(
            self.runtime, self.job["RoleArn"], self.job["EnableNetworkIsolation"], algorithm["TrainingImage"]
        )
        environment |= training_environment(self.job, literal_base(self.runtime, base))
        entrypoint = algorithm.get("ContainerEntrypoint")
        # An image that names no command of its own is run as `image train`: that is SageMaker's contract.
        arguments = algorithm.get("ContainerArguments") or ([] if entrypoint else ["train"])
        return launch(
            self.runtime,
            provide(self.context.images, algorithm["TrainingImage"], log.write),
            base,
            environment,
            on_lines=log.write,
            on_exit=self.control.ring,
            arguments=arguments,
            entrypoint=entrypoint,
            hosts_file=hosts_file(self.hosts, self.folder / "hosts"),
            read_only=self._linked_folders(base),
            isolated=self.job["EnableNetworkIsolation"],
            peer=next(iter(self.containers), None),
        )

    def _linked_folders(self, base: Path) -> list[Path]:
        mode = self.job["AlgorithmSpecification"]["TrainingInputMode"]
        names = [
            c["ChannelName"] for c in self.job.get("InputDataConfig", []) if is_linked(c, mode, self.runtime.confines)
        ]
        folders = [base / "input" / "data" / name for name in names]
        return [folder for folder in folders if folder.is_dir()]

    def _metric(self, name: str, value: float, moment: float) -> None:
        self.metrics.note(name, value, moment)
        self.context.metrics.put(LOG_GROUP, name, value, moment, {"TrainingJobName": self.name})
        self._follow(name, value, moment)

    def _require_buckets(self) -> None:
        """An output bucket that is not there ends the job now, not after hours of training."""
        uris = [
            self.job["OutputDataConfig"]["S3OutputPath"],
            *(uri for _, uri in mirrored_folders(self.job, self.folder)),
        ]
        for uri in uris:
            self.context.objects.require_bucket(Location.parse(uri).bucket)

    def _sync(self, final: bool = False) -> None:
        for mirror in self._mirrors:
            mirror.sync(final)

    def _raise_if_failed(self) -> None:
        failed = self._failed
        if failed is None:
            return
        host = self.hosts[self.containers.index(failed)]
        text = read_message(self.outputs, host.base(self.folder) / "output" / "failure") or failed.describe_exit()
        tail = f", exit code: {failed.exit_code}"
        if not text and failed.last_lines:
            text = failed.last_lines[-1]
        raise JobFailed(f"AlgorithmError: {text}"[: FAILURE_LIMIT - len(tail)] + tail)

    def _upload(self) -> None:
        where = Location.parse(self.job["OutputDataConfig"]["S3OutputPath"]).below(f"{self.name}/output")
        bases = [host.base(self.folder) for host in self.hosts]
        for name, folders in (
            ("model.tar.gz", [b / "model" for b in bases]),
            ("output.tar.gz", [b / "output" / "data" for b in bases]),
        ):
            archive = self.folder / name
            if pack([folder for folder in folders if folder.is_dir()], archive, self.outputs):
                store_file(self.context.objects, where.below(name), archive, consume=True)

    def _secondary(self, status: str, **fields: Any) -> None:
        moment = self.now()
        transitions = self.runtime.store.get(self.kind, self.name)["SecondaryStatusTransitions"]
        if transitions[-1]["Status"] == status:
            return
        transitions[-1].setdefault("EndTime", moment)
        transitions.append({"Status": status, "StartTime": moment, "StatusMessage": MESSAGES[status]})
        self.change(SecondaryStatus=status, SecondaryStatusTransitions=transitions, **fields)

    def _finish(self, status: str, secondary: str, **fields: Any) -> None:
        moment = self.now()
        transitions = self.runtime.store.get(self.kind, self.name)["SecondaryStatusTransitions"]
        transitions[-1].setdefault("EndTime", moment)
        message = fields.get("FailureReason", MESSAGES[secondary])
        transitions.append({"Status": secondary, "StartTime": moment, "EndTime": moment, "StatusMessage": message})
        seconds = max(1, round((moment - (self._started or moment)).total_seconds()))
        self.change(
            TrainingJobStatus=status,
            SecondaryStatus=secondary,
            SecondaryStatusTransitions=transitions,
            TrainingEndTime=moment,
            TrainingTimeInSeconds=seconds,
            # For one instance: "multiply BillableTimeInSeconds by the number of instances" (DescribeTrainingJob).
            BillableTimeInSeconds=self._bill.billable,
            FinalMetricDataList=self.metrics.document() or None,
            **fields,
        )
