"""One deployment of an endpoint configuration: the containers of its variants, healthy, chosen by weight, revived."""

import contextlib
import itertools
import random
import secrets
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from local_cloud.access.authority import acting
from local_cloud.errors import AwsError, words_for
from local_cloud.sagemaker.job_logs import JobLog
from local_cloud.sagemaker.model_hosting import hosted_model
from local_cloud.sagemaker.model_server import ModelServer
from local_cloud.sagemaker.multi_model import MultiModel
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.store import Document

HEALTHY_SECONDS = 480.0
DRAIN_SECONDS = 60.0  # the longest that a container may take for one answer
_RESTART_PAUSES = (0.2, 1.0, 5.0, 15.0)


@dataclass
class Instance:
    """One container of a variant and, for a multi-model one, what is loaded in it."""

    server: ModelServer
    log_stream: str
    models: MultiModel | None = None
    restarting: bool = False


@dataclass
class Variant:
    """One production variant."""

    name: str
    weight: float
    image: str
    startup_seconds: float
    resolved: datetime
    instances: list[Instance] = field(default_factory=list)

    def least_busy(self) -> Instance:
        running = [i for i in self.instances if i.server.running] or self.instances
        return min(running, key=lambda instance: instance.server.calls_in_flight)

    def summary(self) -> Document:
        return {
            "VariantName": self.name,
            "CurrentWeight": self.weight,
            "DesiredWeight": self.weight,
            "CurrentInstanceCount": len(self.instances),
            "DesiredInstanceCount": len(self.instances),
            "DeployedImages": [
                {"SpecifiedImage": self.image, "ResolvedImage": self.image, "ResolutionTime": self.resolved}
            ],
        }


class Deployment:
    """Containers for all variants of one configuration."""

    def __init__(self, runtime: Runtime, endpoint: str, config_name: str, variants: list[Document]):
        self.runtime, self.endpoint, self.config_name = runtime, endpoint, config_name
        self.log_group = f"/aws/sagemaker/Endpoints/{endpoint}"
        self.ready = threading.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._calls, self._retired = 0, False
        self._none_left = threading.Condition(self._lock)
        self.folder = runtime.folder / "endpoints" / f"{endpoint}-{secrets.token_hex(4)}"
        self.blocks = variants
        self.variants: list[Variant] = []

    def start(self) -> None:
        """Starts everything and returns when it is healthy; raises, with nothing left running, when it is not."""
        try:
            self.variants = [self._variant(block) for block in self.blocks]
            for variant in self.variants:
                for instance in variant.instances:
                    self._start(variant, instance)
            for variant in self.variants:
                for instance in variant.instances:
                    instance.server.await_healthy(variant.startup_seconds, self._stopped.is_set)
        except Exception as error:
            self.stop()
            raise AwsError("Failed", self._reason(error)) from error
        self.ready.set()
        for variant in self.variants:
            for instance in variant.instances:
                if not instance.server.running:  # it ended after its ping and before `ready`
                    self._ended(variant, instance)

    @contextlib.contextmanager
    def call(self) -> Iterator[bool]:
        """Holds the containers for one call; False when they are on their way out and a successor answers."""
        with self._lock:
            admitted = not self._retired
            self._calls += admitted
        try:
            yield admitted
        finally:
            with self._none_left:
                self._calls -= admitted
                self._none_left.notify_all()

    def retire(self) -> None:
        """Stops after the calls that are under way have their answers: an update interrupts nobody."""
        with self._none_left:
            self._retired = True
            self._none_left.wait_for(lambda: not self._calls or self.runtime.stopping.is_set(), DRAIN_SECONDS)
        self.stop()

    def choose(self, wanted: str | None) -> Variant:
        """The variant of one call: the one asked for, else by weight."""
        if wanted is None:
            return (
                self.variants[0]
                if len(self.variants) == 1
                else random.choices(self.variants, [variant.weight for variant in self.variants])[0]
            )
        for variant in self.variants:
            if variant.name == wanted:
                return variant
        raise AwsError(
            "ValidationError",
            f"Variant {wanted} of endpoint {self.endpoint} not found; it has "
            f"{', '.join(variant.name for variant in self.variants)}.",
        )

    def stop(self) -> None:
        self._stopped.set()
        self.ready.set()
        servers = [instance.server for variant in self.variants for instance in variant.instances]
        grace = 0.0 if self.runtime.stopping.is_set() else min(30.0, self.runtime.settings.stop_grace_seconds)
        threads = [threading.Thread(target=server.stop, args=(grace,)) for server in servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def _variant(self, block: Document) -> Variant:
        model = hosted_model(self.runtime, block["ModelName"])
        variant = Variant(
            block["VariantName"],
            block.get("InitialVariantWeight", 1.0),
            model.image,
            float(block.get("ContainerStartupHealthCheckTimeoutInSeconds", HEALTHY_SECONDS)),
            self.runtime.store.now(),
        )
        for number in range(block["InitialInstanceCount"]):
            stream = f"{variant.name}/i-{secrets.token_hex(9)[:17]}"
            with acting(model.role, "SageMaker"):
                log = JobLog(self.runtime.context, self.log_group, stream)
            server = ModelServer(self.runtime, model, self.folder / f"{variant.name}-{number}", log.write)
            variant.instances.append(Instance(server, stream, MultiModel(server) if model.multi_model else None))
        return variant

    def _start(self, variant: Variant, instance: Instance) -> None:
        instance.server.start(lambda: self._ended(variant, instance))

    def _ended(self, variant: Variant, instance: Instance) -> None:
        """A container that ends while it should serve is started again, as on AWS."""
        with self._lock:
            if self.stopped or not self.ready.is_set() or self.runtime.stopping.is_set() or instance.restarting:
                return
            instance.restarting = True
        work = threading.Thread(target=self._restart, args=(variant, instance), name=f"restart {self.endpoint}")
        work.daemon = True
        work.start()

    def _restart(self, variant: Variant, instance: Instance) -> None:
        """Tries until it is healthy again, with growing pauses; calls wait if no other instance can answer."""
        for pause in itertools.chain(_RESTART_PAUSES, itertools.repeat(_RESTART_PAUSES[-1])):
            if len(variant.instances) == 1:
                self.ready.clear()
            if self._stopped.wait(pause):
                return
            if instance.models:
                instance.models.forget()
            try:
                self._start(variant, instance)
                instance.server.await_healthy(variant.startup_seconds, self._stopped.is_set)
            except AwsError:
                continue
            finally:
                self.ready.set()
            instance.restarting = False
            if not instance.server.running:
                self._ended(variant, instance)
            return

    def _reason(self, error: Exception) -> str:
        text = words_for(error)
        if isinstance(error, AwsError) and error.code == "ModelError":
            variant = next(
                (v for v in self.variants if any(not i.server.running for i in v.instances)), self.variants[0]
            )
            return (
                f"The primary container for production variant {variant.name} did not pass the ping health check. "
                f"Please check CloudWatch logs for this endpoint ({self.log_group}): {text}"
            )
        return text
