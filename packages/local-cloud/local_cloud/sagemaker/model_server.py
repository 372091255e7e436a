"""One model container that serves: started, waited for, called, and stopped. Endpoints and transform jobs both use it.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic

from local_cloud.access.authority import acting
from local_cloud.errors import AwsError
from local_cloud.frameworks.provision import provide
from local_cloud.sagemaker.connections import (
    Answer,
    Connections,
    ContainerTimeout,
    ContainerUnreachable,
    Door,
    free_port,
)
from local_cloud.sagemaker.containers import Container
from local_cloud.sagemaker.launch import launch, literal_base, role_environment
from local_cloud.sagemaker.model_hosting import HostedModel, bring_model, discard
from local_cloud.sagemaker.paths import base_variables, relocated_values
from local_cloud.sagemaker.runtime import Runtime

PING_TIMEOUT = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25


class ModelServer:
    """A container of `model` below `folder`; `on_lines` gets its log."""

    def __init__(
        self,
        runtime: Runtime,
        model: HostedModel,
        folder: Path,
        on_lines: Callable[[list[str]], None],
        extra_environment: Mapping[str, str] | None = None,
    ):
        self.runtime, self.model, self.folder = runtime, model, folder
        self._on_lines, self._extra = on_lines, dict(extra_environment or {})
        self.port = 0
        self.container: Container | None = None
        self.connections: Connections | None = None
        self.calls_in_flight = 0
        self._count = threading.Lock()

    @property
    def base(self) -> Path:
        return self.folder / "ml"

    @property
    def running(self) -> bool:
        return self.container is not None and self.container.running

    def start(self, on_exit: Callable[[], None] = lambda: None) -> None:
        """Brings the model and starts the process; `healthy` says when it serves."""
        if self.container is None:
            discard(self.folder)
            with acting(self.model.role, "SageMaker"):
                bring_model(self.runtime.context, self.model, self.base / "model")
        self.port = free_port()
        if self.connections is not None:
            self.connections.close()
        secret = secrets.token_urlsafe(32)
        door = Door() if self.model.isolated and self.runtime.confines else None
        self.connections = Connections(self.port, door, secret)
        literal = literal_base(self.runtime, self.base)
        environment = role_environment(self.runtime, self.model.role, self.model.isolated, self.model.image) | {
            **base_variables(literal),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "LOCAL_CLOUD_SERVER_SECRET": secret,
            "SAGEMAKER_SAFE_PORT_RANGE": f"{self.port}-{self.port}",
            **({"SAGEMAKER_MULTI_MODEL": "true"} if self.model.multi_model else {}),
            **relocated_values({**self.model.environment, **self._extra}, literal),
        }
        self.container = launch(
            self.runtime,
            provide(self.runtime.context.images, self.model.image, self._on_lines),
            self.base,
            environment,
            on_lines=self._on_lines,
            on_exit=on_exit,
            arguments=["serve"],
            port=self.port,
            isolated=self.model.isolated,
            door=door.theirs if door else None,
        )
        if door:
            door.theirs.close()  # the launcher's: when it ends, whoever waits for a connection learns of it

    def await_healthy(self, seconds: float, given_up: Callable[[], bool] = lambda: False) -> None:
        """Returns when /ping answers 200; raises with the last lines of the log when it does not in time."""
        deadline, pause = monotonic() + seconds, _FIRST_PAUSE
        while not given_up():
            if self._ping():
                return
            if self.container is None or self.container.wait(min(pause, max(0.0, deadline - monotonic()))):
                raise AwsError("ModelError", self._why("the container ended before it answered /ping"))
            if monotonic() >= deadline:
                raise AwsError(
                    "ModelError", self._why(f"the container did not answer /ping with 200 within {seconds:g} s")
                )
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        raise AwsError("ModelError", "stopped before it was healthy")

    def call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float = 60.0
    ) -> Answer:
        """One request to the container."""
        if self.connections is None:
            raise ContainerUnreachable("the container has not been started")
        with self._count:
            self.calls_in_flight += 1
        try:
            return self.connections.call(method, path, body, headers, timeout)
        finally:
            with self._count:
                self.calls_in_flight -= 1

    def stop(self, grace_seconds: float) -> None:
        if self.container is not None:
            self.container.stop(grace_seconds)
        if self.connections is not None:
            self.connections.close()
        discard(self.folder)

    def _ping(self) -> bool:
        try:
            return self.call("GET", "/ping", timeout=PING_TIMEOUT).status == 200
        except (ContainerUnreachable, ContainerTimeout):
            return False

    def _why(self, text: str) -> str:
        container = self.container
        parts = [text]
        if container is not None and not container.running:
            parts.append(container.describe_exit() or f"exit code {container.exit_code}")
        if container is not None and container.last_lines:
            parts.append("last lines of its log: " + " | ".join(container.last_lines[-5:]))
        return "; ".join(parts)
