"""A transform job while it runs: the model's container, and as many requests at once as it may have.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html
"""

import json
import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from local_cloud.access.authority import become, current
from local_cloud.sagemaker.connections import Answer, ContainerTimeout, ContainerUnreachable
from local_cloud.sagemaker.job_logs import JobLog, stream_name
from local_cloud.sagemaker.model_hosting import hosted_model
from local_cloud.sagemaker.model_server import ModelServer
from local_cloud.sagemaker.runs import JobFailed, JobRun
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.s3_locations import Location, Source, relative_path, sources_of
from local_cloud.sagemaker.store import Document
from local_cloud.sagemaker.transform_records import MEGABYTE, Filters, batches, decompress

LOG_GROUP = "/aws/sagemaker/TransformJobs"
HEALTHY_SECONDS = 600.0
DEFAULT_TIMEOUT, DEFAULT_RETRIES = 600, 3


class TransformRun(JobRun):
    """One `<key>.out` per object."""

    kind = "TransformJob"

    def __init__(self, runtime: Runtime, job: Document):
        super().__init__(runtime, job["TransformJobName"])
        self.job, self.filters = job, Filters(job)
        client = job.get("ModelClientConfig", {})
        self._timeout = client.get("InvocationsTimeoutInSeconds", DEFAULT_TIMEOUT)
        self._retries = client.get("InvocationsMaxRetries", DEFAULT_RETRIES)
        self._failed = threading.Event()
        self._data_log = JobLog(self.context, LOG_GROUP, f"{stream_name(self.name, self.clock.now())}/data-log")

    @property
    def role_arn(self) -> str:
        """A transform job works in the name of its model's role."""
        return hosted_model(self.runtime, self.job["ModelName"]).role

    def execute(self) -> None:
        output = Location.parse(self.job["TransformOutput"]["S3OutputPath"])
        self.context.objects.require_bucket(output.bucket)
        source = self.job["TransformInput"]["DataSource"]["S3DataSource"]
        sources = sources_of(self.context.objects, source["S3DataType"], source["S3Uri"])
        log = JobLog(self.context, LOG_GROUP, stream_name(self.name, self.clock.now()))
        model = hosted_model(self.runtime, self.job["ModelName"])
        self.change(TransformStartTime=self.now())
        self.server = ModelServer(
            self.runtime, model, self.folder, log.write, {"SAGEMAKER_BATCH": "true", **self.job.get("Environment", {})}
        )
        try:
            self.server.start(self.control.ring)
            if self.server.container:
                self.containers = [self.server.container]
            self.server.await_healthy(HEALTHY_SECONDS, lambda: self.control.stop_requested)
            self._transform(sources, output)
        finally:
            stopping = self.control.stop_requested
            self.server.stop(
                0 if self.runtime.stopping.is_set() else min(5.0, self.runtime.settings.stop_grace_seconds)
            )
        self.check_stop()
        self.change(TransformJobStatus="Stopped" if stopping else "Completed", TransformEndTime=self.now())

    def record_failure(self, reason: str) -> None:
        if self.control.stop_requested and not self.runtime.stopping.is_set():
            self.change(TransformJobStatus="Stopped", TransformEndTime=self.now())
            return
        self.change(TransformJobStatus="Failed", TransformEndTime=self.now(), FailureReason=reason)

    def stop(self) -> None:
        self._failed.set()
        super().stop()

    def _transform(self, sources: list[Source], output: Location) -> None:
        concurrency, limit = self._parameters()
        prefix = Location.parse(self.job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]).key
        manifest = self.job["TransformInput"]["DataSource"]["S3DataSource"]["S3DataType"] == "ManifestFile"
        with ThreadPoolExecutor(
            concurrency, thread_name_prefix=f"transform {self.name}", initializer=become, initargs=(current(),)
        ) as pool:
            pending: list[Future[None]] = []
            for source in sources:
                name = source.path if manifest else relative_path(prefix, source.key)
                pending.append(pool.submit(self._one, source, output.below(f"{name}.out"), limit))
            done, _ = wait(pending, return_when=FIRST_EXCEPTION)
            if any(future.exception() for future in done):
                self._failed.set()
        for future in pending:
            future.result()

    def _parameters(self) -> tuple[int, int]:
        """(concurrent requests, bytes per request): the job's, else the container's, else AWS's defaults."""
        offered: Document = {}
        if "MaxConcurrentTransforms" not in self.job:
            try:
                answer = self.server.call("GET", "/execution-parameters", timeout=5)
                offered = json.loads(answer.body) if answer.status == 200 else {}
            except (ValueError, ContainerUnreachable, ContainerTimeout):
                offered = {}  # optional in AWS's contract
        concurrency = int(self.job.get("MaxConcurrentTransforms") or offered.get("MaxConcurrentTransforms") or 1)
        return concurrency, int(self.job.get("MaxPayloadInMB", offered.get("MaxPayloadInMB", 6))) * MEGABYTE

    def _one(self, source: Source, target: Location, limit: int) -> None:
        if self._failed.is_set():
            return
        given = self.job["TransformInput"]
        data = decompress(self.context.objects.read(source.bucket, source.key), given.get("CompressionType", "None"))
        strategy = self.job.get("BatchStrategy", "MultiRecord")
        results = []
        for records in batches(data, given.get("SplitType", "None"), strategy, limit):
            answer = self._invoke(source, self.filters.request(records))
            if answer is None:
                return
            results.append(self.filters.result(records, answer.body))
        assembled = self.job["TransformOutput"].get("AssembleWith", "None") == "Line" or self.filters.active
        text = b"".join(r if r.endswith(b"\n") else r + b"\n" for r in results) if assembled else b"".join(results)
        self.context.objects.put(target.bucket, target.key, text, self.job["TransformOutput"].get("Accept"))

    def _invoke(self, source: Source, body: bytes) -> Answer | None:
        headers = {"Content-Type": self.job["TransformInput"].get("ContentType", "application/octet-stream")}
        if accept := self.job["TransformOutput"].get("Accept"):
            headers["Accept"] = accept
        trouble = ""
        for _ in range(self._retries + 1):
            if self._failed.is_set():
                return None
            try:
                answer = self.server.call("POST", "/invocations", body, headers, self._timeout)
            except (ContainerUnreachable, ContainerTimeout) as error:
                trouble = str(error)
                if not self.server.running:
                    break
                continue
            if answer.status < 300:
                return answer
            trouble = f"status {answer.status}: {answer.body[:300].decode('utf-8', 'replace')}"
            if answer.status < 500:
                break
        if self._failed.is_set():
            return None
        self._failed.set()
        self._data_log.write(
            [f"Bad HTTP status received from algorithm for s3://{source.bucket}/{source.key}: {trouble}"]
        )
        raise JobFailed(f"ClientError: See job logs for more information. s3://{source.bucket}/{source.key}: {trouble}")
