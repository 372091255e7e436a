"""SageMaker's API: which function serves which operation. What is not in the table is refused by name."""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from local_cloud.errors import AwsError
from local_cloud.sagemaker import endpoints, models, processing, registry, tags, training, transform, tuning
from local_cloud.sagemaker.containers import Watchdog
from local_cloud.sagemaker.invocation import InvocationResponse
from local_cloud.sagemaker.kinds import KINDS
from local_cloud.sagemaker.rule_evaluation import abandon_evaluations
from local_cloud.sagemaker.runs import end_stopping, remove_leftovers
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.state_changes import StateChanges
from local_cloud.sagemaker.store import Document, Store
from local_cloud.settings import Settings

if TYPE_CHECKING:
    from local_cloud.context import CloudContext

Operation = Callable[[Runtime, Document], Document]

OPERATIONS: dict[str, Operation] = {
    "CreateTrainingJob": training.create_training_job,
    "DescribeTrainingJob": training.describe_training_job,
    "ListTrainingJobs": training.list_training_jobs,
    "StopTrainingJob": training.stop_training_job,
    "CreateHyperParameterTuningJob": tuning.create_tuning_job,
    "DescribeHyperParameterTuningJob": tuning.describe_tuning_job,
    "ListHyperParameterTuningJobs": tuning.list_tuning_jobs,
    "ListTrainingJobsForHyperParameterTuningJob": tuning.list_training_jobs_for_tuning_job,
    "StopHyperParameterTuningJob": tuning.stop_tuning_job,
    "CreateProcessingJob": processing.create_processing_job,
    "DescribeProcessingJob": processing.describe_processing_job,
    "ListProcessingJobs": processing.list_processing_jobs,
    "StopProcessingJob": processing.stop_processing_job,
    "CreateTransformJob": transform.create_transform_job,
    "DescribeTransformJob": transform.describe_transform_job,
    "ListTransformJobs": transform.list_transform_jobs,
    "StopTransformJob": transform.stop_transform_job,
    "CreateModel": models.create_model,
    "DescribeModel": models.describe_model,
    "ListModels": models.list_models,
    "DeleteModel": models.delete_model,
    "CreateEndpointConfig": models.create_endpoint_config,
    "DescribeEndpointConfig": models.describe_endpoint_config,
    "ListEndpointConfigs": models.list_endpoint_configs,
    "DeleteEndpointConfig": models.delete_endpoint_config,
    "CreateEndpoint": endpoints.create_endpoint,
    "DescribeEndpoint": endpoints.describe_endpoint,
    "ListEndpoints": endpoints.list_endpoints,
    "UpdateEndpoint": endpoints.update_endpoint,
    "UpdateEndpointWeightsAndCapacities": endpoints.update_endpoint_weights_and_capacities,
    "DeleteEndpoint": endpoints.delete_endpoint,
    "CreateModelPackageGroup": registry.create_model_package_group,
    "DescribeModelPackageGroup": registry.describe_model_package_group,
    "ListModelPackageGroups": registry.list_model_package_groups,
    "DeleteModelPackageGroup": registry.delete_model_package_group,
    "CreateModelPackage": registry.create_model_package,
    "DescribeModelPackage": registry.describe_model_package,
    "ListModelPackages": registry.list_model_packages,
    "UpdateModelPackage": registry.update_model_package,
    "DeleteModelPackage": registry.delete_model_package,
    "AddTags": tags.add_tags,
    "ListTags": tags.list_tags,
    "DeleteTags": tags.delete_tags,
}


class SageMakerService:
    """SageMaker and its runtime for one account and region."""

    def __init__(self, context: "CloudContext", settings: Settings):
        path = context.state_dir / "sagemaker" / "resources.sqlite"
        store = Store(path, context.region, context.account_id, context.clock, StateChanges(context.emit).told)
        self.runtime = Runtime(context, store, Watchdog(), settings, on_first_job=self._prepare_search)
        self._search_ready = threading.Event()
        self.runtime.endpoints = endpoints.Endpoints(self.runtime)

    def recover(self) -> None:
        """Takes up where the last process ended, before anybody may create a new job."""
        remove_leftovers(self.runtime)
        end_stopping(self.runtime.store)
        abandon_evaluations(self.runtime.store)

    def start(self) -> None:
        """Starts the endpoints again, and the jobs that had not ended; both may ask this cloud."""
        self.runtime.endpoints.restore()
        training.restart_training_jobs(self.runtime)
        processing.restart_processing_jobs(self.runtime)
        transform.restart_transform_jobs(self.runtime)
        tuning.restart_tuning_jobs(self.runtime)

    def stop(self) -> None:
        """Ends every process; unfinished jobs and endpoints come back at the next start."""
        self.runtime.stopping.set()
        runs = self.runtime.runs.all()
        for run in runs:
            run.control.request_stop()
            for container in run.containers:
                container.stop(0)
        for run in runs:
            run.join(10)
        self.runtime.endpoints.close()
        self.runtime.launchers.close()
        self.runtime.watchdog.close()
        self.runtime.store.close()

    def call(self, operation: str, request: Document) -> Document:
        """One API operation; request and response in the API's shape."""
        handler = OPERATIONS.get(operation)
        if handler is None:
            raise AwsError(
                "UnknownOperationException", f"The local cloud does not support the SageMaker operation {operation}."
            )
        return handler(self.runtime, request)

    @classmethod
    def operations(cls) -> list[str]:
        """The operations that are supported."""
        return sorted(OPERATIONS)

    def invoke_endpoint(self, name: str, body: bytes, headers: Mapping[str, str]) -> InvocationResponse:
        """InvokeEndpoint of the runtime API; `headers` are the HTTP request's."""
        return self.runtime.endpoints.invoke(name, body, headers)

    def interrupt_training_job(self, name: str) -> None:
        """Reclaims the spot instance of a running managed-spot training job."""
        training.interrupt_training_job(self.runtime, name)

    def wait_for_change(self, kind: str, name: str, timeout: float) -> None:
        """Returns when that resource's status changed (at once if it is final), else after `timeout` seconds.

        `kind` is the noun of the operations: "TrainingJob", "HyperParameterTuningJob", "ProcessingJob",
        "TransformJob", "Endpoint".
        """
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of resource; known: {', '.join(KINDS)}")
        self.runtime.store.wait_for_change(kind, name, timeout)

    def _prepare_search(self) -> None:
        """Imports Optuna (half a second) while the first job runs, so that no tuning job waits for it."""
        if not self._search_ready.is_set():
            self._search_ready.set()
            threading.Thread(target=__import__, args=("optuna.samplers",), name="import optuna", daemon=True).start()
