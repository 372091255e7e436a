"""The Lambda API: one operation after the other, each in the module of what it is about. What is not there is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from local_cloud.access.authority import itself
from local_cloud.errors import AwsError
from local_cloud.functions.executions import Executions, Invocation
from local_cloud.functions.function_api import Functions
from local_cloud.functions.invoke_api import Invocations, Queued
from local_cloud.functions.mapping_api import Mappings
from local_cloud.functions.names import failure
from local_cloud.functions.package import Packages
from local_cloud.functions.permission_api import Permissions
from local_cloud.functions.sandbox import Machine
from local_cloud.functions.store import Store
from local_cloud.services import COVERAGE_PAGE
from local_cloud.settings import Settings

if TYPE_CHECKING:
    from local_cloud.context import CloudContext

PARTS: tuple[type, ...] = (Functions, Invocations, Permissions, Mappings)


class LambdaService:
    """All functions of this cloud."""

    def __init__(
        self, context: CloudContext, settings: Settings, machine: Machine, clients: Callable[[str], Any],
        location: Callable[[str, bytes], str],
    ):  # fmt: skip
        folder = context.state_dir / "functions"
        self._context = context
        self._store = Store(folder)
        packages = Packages(folder / "code")
        self._executions = Executions(
            context, machine, packages, folder / "running", settings.node_modules, self._credentials
        )
        where = (machine.hidden, settings.node_modules)
        functions = Functions(context, self._store, packages, self._executions, location, where)
        self._invocations = Invocations(context, functions, self._executions)
        self.permissions = Permissions(context, self._store, functions)
        self._mappings = Mappings(context, self._store, functions, self._invocations, clients)
        parts: list[Any] = [functions, self._invocations, self.permissions, self._mappings]
        self._handlers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            name.removeprefix("_op_"): getattr(part, name) for part in parts for name in _handlers(type(part))
        }
        self._packages = packages
        context.authority.resource_policies["lambda"] = self.permissions.document

    def start(self) -> None:
        """Take up where the last process ended: its execution environments are gone, its functions are there."""
        self._executions.clear()
        self._store.load()
        self._packages.keep_only(self._store.packages_in_use())
        self._mappings.start()

    def stop(self) -> None:
        """End all execution environments."""
        self._mappings.stop()
        self._invocations.stop()
        self._executions.stop()

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """One API operation; request and response in the API's shape."""
        handler = self._handlers.get(operation)
        if handler is None:
            raise failure(
                "NotImplemented", f"The local cloud does not support lambda:{operation}. See {COVERAGE_PAGE}.", 501
            )
        return handler(request)

    @classmethod
    def operations(cls) -> list[str]:
        """The operations that are supported."""
        return sorted(name.removeprefix("_op_") for part in PARTS for name in _handlers(part))

    def wait(self, request: dict[str, Any]) -> Invocation:
        """Invoke a function in this cloud's own name, and wait for the outcome."""
        with itself():
            return self._invocations.wait(request)

    def send(self, request: dict[str, Any]) -> Queued:
        """Hand an event to a function in this cloud's own name."""
        with itself():
            return self._invocations.start(request)

    def _credentials(self, role_arn: str, name: str) -> dict[str, str]:
        try:
            return self._context.role_variables(role_arn, "lambda.amazonaws.com", name)
        except AwsError as fault:
            words = f"Lambda was unable to assume the role of the function: {fault.message}"
            raise failure("AccessDeniedException", words, 403) from None


def _handlers(part: type) -> list[str]:
    return [name for name in vars(part) if name.startswith("_op_")]
