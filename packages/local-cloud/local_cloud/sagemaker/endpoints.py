"""Endpoints: create, update (the old deployment serves until the new one is healthy), delete, and bringing them back.

What is stored is what DescribeEndpoint answers; the running containers are `Deployment`s in memory.
"""

import logging
import threading
from collections.abc import Mapping
from typing import Any

from local_cloud.errors import AwsError, words_for
from local_cloud.sagemaker.deployment import Deployment
from local_cloud.sagemaker.invocation import InvocationResponse, Meter, invoke
from local_cloud.sagemaker.listing import Listing
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.store import Document, public
from local_cloud.sagemaker.support import invalid, refuse_unsupported
from local_cloud.sagemaker.tags import forget_tags, keep_tags

LOGGER = logging.getLogger(__name__)
NOUN = "Endpoint"
READY_SECONDS = 60.0
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
LISTING = Listing(
    NOUN,
    "Endpoints",
    ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus"),
    sort_order="Descending",
)


class Endpoints:
    """The endpoints of this cloud that have containers."""

    def __init__(self, runtime: Runtime):
        self._runtime = runtime
        self._lock = threading.Lock()
        self._serving: dict[str, Deployment] = {}
        self._starting: dict[str, Deployment] = {}
        self._meter = Meter(runtime)

    def restore(self) -> None:
        """Starts what was in service when the last cloud process ended."""
        for endpoint in self._runtime.store.all(NOUN):
            name, status = endpoint["EndpointName"], endpoint["EndpointStatus"]
            if status == "Deleting":
                self._forget(name)
            elif status != "Failed":
                self._runtime.store.change(NOUN, name, EndpointStatus="SystemUpdating")
                deployment = self._deployment(name, endpoint["EndpointConfigName"], endpoint["_Variants"])
                with self._lock:
                    self._serving[name] = deployment
                self._in_background(self._deploy, name, deployment)

    def deploy(self, name: str, config: str, variants: list[Document]) -> None:
        """Starts a deployment in the background; the endpoint's status follows."""
        self._in_background(self._deploy, name, self._deployment(name, config, variants))

    def remove(self, name: str) -> None:
        self._in_background(self._remove, name)

    def set_weights(self, name: str, weights: Mapping[str, float]) -> None:
        with self._lock:
            deployment = self._serving[name]
        for variant in deployment.variants:
            variant.weight = weights.get(variant.name, variant.weight)
        self._runtime.store.change(NOUN, name, ProductionVariants=[v.summary() for v in deployment.variants])

    def invoke(self, name: str, body: bytes, headers: Mapping[str, str]) -> InvocationResponse:
        while True:
            deployment = self._serving.get(name)
            if deployment is None:
                raise AwsError(
                    "ValidationError", f"Endpoint {name} of account {self._runtime.context.account_id} not found."
                )
            with deployment.call() as admitted:
                if admitted:
                    return self._answer(deployment, body, headers)

    def _answer(self, deployment: Deployment, body: bytes, headers: Mapping[str, str]) -> InvocationResponse:
        if not deployment.ready.wait(READY_SECONDS) or deployment.stopped:
            raise AwsError(
                "ServiceUnavailable",
                f"The endpoint {deployment.endpoint} has no healthy container. See the log group {deployment.log_group}.",
                503,
            )
        return invoke(deployment, self._runtime, body, headers, self._meter)

    def close(self) -> None:
        """Stops every container; the records keep saying InService, so that `restore` brings them back."""
        with self._lock:
            deployments = {*self._serving.values(), *self._starting.values()}
            self._serving.clear()
        for deployment in deployments:
            deployment.stop()
        self._meter.close()

    def _deployment(self, name: str, config: str, variants: list[Document]) -> Deployment:
        deployment = Deployment(self._runtime, name, config, variants)
        with self._lock:
            self._starting[name] = deployment
        return deployment

    def _deploy(self, name: str, deployment: Deployment) -> None:
        try:
            deployment.start()
        except AwsError as error:
            self._failed(name, deployment, error.message)
            return
        with self._lock:
            self._starting.pop(name, None)
            old = self._serving.get(name)
            if not deployment.stopped:
                self._serving[name] = deployment
        self._runtime.store.change(
            NOUN,
            name,
            EndpointStatus="InService",
            EndpointConfigName=deployment.config_name,
            FailureReason=None,
            ProductionVariants=[variant.summary() for variant in deployment.variants],
            _Variants=deployment.blocks,
        )
        if old is not None and old is not deployment:
            old.retire()

    def _failed(self, name: str, deployment: Deployment, reason: str) -> None:
        """A failed update leaves the old deployment in service, a failed creation leaves a Failed endpoint."""
        with self._lock:
            self._starting.pop(name, None)
            keeps = self._serving.get(name) not in (None, deployment)
            if not keeps:
                self._serving.pop(name, None)
        if not self._runtime.stopping.is_set() and self._runtime.store.find(NOUN, name):
            self._runtime.store.change(
                NOUN, name, EndpointStatus="InService" if keeps else "Failed", FailureReason=reason[:1024]
            )

    def _remove(self, name: str) -> None:
        with self._lock:
            deployments = {d for d in (self._serving.pop(name, None), self._starting.pop(name, None)) if d}
        for deployment in deployments:
            deployment.stop()
        self._forget(name)

    def _forget(self, name: str) -> None:
        forget_tags(self._runtime.store, self._runtime.arn(NOUN, name))
        self._runtime.store.remove(NOUN, name)

    def _in_background(self, work: Any, name: str, *arguments: Any) -> None:
        def guarded() -> None:
            try:
                work(name, *arguments)
            except Exception as error:
                LOGGER.exception("endpoint %s", name)
                if self._runtime.store.find(NOUN, name):
                    self._runtime.store.change(
                        NOUN,
                        name,
                        EndpointStatus="Failed",
                        FailureReason=f"InternalServerError: {words_for(error)}",
                    )

        threading.Thread(target=guarded, name=f"endpoint {name}", daemon=True).start()


def create_endpoint(runtime: Runtime, request: Document) -> Document:
    refuse_unsupported("CreateEndpoint", request, ("EndpointName", "EndpointConfigName", "DeploymentConfig", "Tags"))
    name, moment = request["EndpointName"], runtime.store.now()
    config = runtime.store.get("EndpointConfig", request["EndpointConfigName"])
    arn = runtime.arn(NOUN, name)
    runtime.store.add(
        NOUN,
        name,
        {
            "EndpointName": name,
            "EndpointArn": arn,
            "EndpointConfigName": config["EndpointConfigName"],
            "EndpointStatus": "Creating",
            "CreationTime": moment,
            "LastModifiedTime": moment,
            "_Variants": config["ProductionVariants"],
        },
    )
    keep_tags(runtime.store, arn, request.get("Tags"))
    runtime.endpoints.deploy(name, config["EndpointConfigName"], config["ProductionVariants"])
    return {"EndpointArn": arn}


def update_endpoint(runtime: Runtime, request: Document) -> Document:
    refuse_unsupported(
        "UpdateEndpoint", request, ("EndpointName", "EndpointConfigName", "DeploymentConfig", "RetainDeploymentConfig")
    )
    endpoint = _settled(runtime, request["EndpointName"])
    config = runtime.store.get("EndpointConfig", request["EndpointConfigName"])
    runtime.store.change(NOUN, request["EndpointName"], EndpointStatus="Updating")
    runtime.endpoints.deploy(request["EndpointName"], config["EndpointConfigName"], config["ProductionVariants"])
    return {"EndpointArn": endpoint["EndpointArn"]}


def update_endpoint_weights_and_capacities(runtime: Runtime, request: Document) -> Document:
    endpoint = _settled(runtime, request["EndpointName"])
    wanted = {entry["VariantName"]: entry for entry in request["DesiredWeightsAndCapacities"]}
    current = {variant["VariantName"]: variant for variant in endpoint.get("ProductionVariants", [])}
    for name, entry in wanted.items():
        if name not in current:
            raise invalid(f'Could not find variant "{name}" of endpoint "{endpoint["EndpointArn"]}".')
        if (
            entry.get("DesiredInstanceCount", current[name]["CurrentInstanceCount"])
            != current[name]["CurrentInstanceCount"]
        ):
            raise invalid(
                "The local cloud does not support DesiredInstanceCount in UpdateEndpointWeightsAndCapacities. "
                "Use UpdateEndpoint with another configuration."
            )
    runtime.endpoints.set_weights(
        request["EndpointName"],
        {name: entry["DesiredWeight"] for name, entry in wanted.items() if "DesiredWeight" in entry},
    )
    return {"EndpointArn": endpoint["EndpointArn"]}


def describe_endpoint(runtime: Runtime, request: Document) -> Document:
    return public(runtime.store.get(NOUN, request["EndpointName"]))


def list_endpoints(runtime: Runtime, request: Document) -> Document:
    return LISTING.answer(runtime.store.all(NOUN), request)


def delete_endpoint(runtime: Runtime, request: Document) -> Document:
    _settled(runtime, request["EndpointName"])
    runtime.store.change(NOUN, request["EndpointName"], EndpointStatus="Deleting")
    runtime.endpoints.remove(request["EndpointName"])
    return {}


def _settled(runtime: Runtime, name: str) -> Document:
    endpoint = runtime.store.get(NOUN, name)
    if endpoint["EndpointStatus"] in BUSY:
        raise invalid(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')
    return endpoint
