"""The cloud of one state directory: its parts made, brought to their last state, and wired together."""

from __future__ import annotations

import logging
import os
import secrets
import string
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, cast

from local_cloud import moto_adjustments
from local_cloud.access.authority import Authority
from local_cloud.application import Application
from local_cloud.capabilities import Capabilities
from local_cloud.clock import MACHINE, Clock
from local_cloud.cloudformation.service import CloudFormationService
from local_cloud.context import CloudContext
from local_cloud.docker.store import ImageStore
from local_cloud.documents import read_json, write_json
from local_cloud.environment import ACCOUNT_ID
from local_cloud.events.alarms import Alarms
from local_cloud.events.bus import EventBus
from local_cloud.functions import deliveries
from local_cloud.functions.sandbox import Machine
from local_cloud.functions.service import LambdaService
from local_cloud.guard import Guard
from local_cloud.in_process import Clients
from local_cloud.logs import Logs
from local_cloud.metrics import Metrics
from local_cloud.objects import Objects
from local_cloud.own_services import OwnServices
from local_cloud.persistence.database import DamagedState, Database
from local_cloud.persistence.snapshot import Snapshot
from local_cloud.s3 import keys
from local_cloud.s3.content import ContentStore
from local_cloud.s3.fast_path import FastPath
from local_cloud.s3.rows import ObjectRows
from local_cloud.sagemaker.service import SageMakerService
from local_cloud.settings import Settings
from local_cloud.stepfunctions.service import StatesService

logger = logging.getLogger("local_cloud")
# The log names them all.
DAMAGED_SHOWN = 20
DISTRIBUTION = "local-cloud"
# https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html: the link to a package is valid for ten minutes.
PACKAGE_URL_SECONDS = 600


class Stoppable(Protocol):
    """What ends with the cloud."""

    def stop(self) -> None: ...


class Cloud:
    """Everything behind the endpoint. `start` reloads, `stop` ends jobs and closes files."""

    def __init__(self, state_dir: Path, region: str, endpoint: str, settings: Settings, clock: Clock = MACHINE):
        self.settings, self.clock = settings, clock
        self.state_dir = state_dir
        self.region = region
        self.endpoint = endpoint
        self.credentials = _credentials(state_dir / "credentials.json")
        self.database = Database(state_dir / "rows.sqlite")
        self.content = ContentStore(state_dir / "objects")
        self.rows = ObjectRows(self.database, self._versions_of, self._put_back, self.content.discard)
        self.snapshot = Snapshot(self.database, ACCOUNT_ID, self._load_rows)
        keys.install(self.content, self.rows)
        moto_adjustments.install(self.database)
        self.authority = Authority(ACCOUNT_ID, region, state_dir / "permissions.json", clock)
        self.capabilities = Capabilities(endpoint, clock)
        self.application = Application(
            Guard(
                self.credentials["access_key_id"],
                self.credentials["secret_access_key"],
                ACCOUNT_ID,
                region,
                clock,
                settings.command,
            ),
            self.content,
            self.rows,
            FastPath(ACCOUNT_ID, self.content, self.rows),
            self.snapshot,
            self._health,
            self.authority,
            self.capabilities,
        )
        self.clients = Clients(self.application, region)
        self.bus = EventBus(ACCOUNT_ID, region, self.clients, clock)
        self.alarms = Alarms(ACCOUNT_ID, region, self.clients, self.bus, clock, self.snapshot.save)
        self.context = self._context()
        self._services: list[Stoppable] = []
        self._ready = False
        # One sentence for each object whose bytes were not there, or not all, when the cloud started.
        self.damaged: list[str] = []

    def start(self) -> None:
        """Bring everything back to the state that was last acknowledged, then start what runs."""
        self.snapshot.load()
        self._load_objects()
        self._load_rows()
        sagemaker = SageMakerService(self.context, self.settings)
        functions = self._functions(sagemaker)
        states = StatesService(self.context, self.clients, sagemaker, functions, self.database)
        stacks = CloudFormationService(self.context, self.clients, self.database, self.capabilities)
        self.application.services = OwnServices(sagemaker, states, stacks, functions)
        deliveries.install(functions, self.authority, self.bus)
        self.authority.tags_of_own = self.application.services.tags_of
        # Stopped from the last to the first: what jobs and executions tell while they end is still delivered.
        self._services = [self.bus, self.alarms, sagemaker, functions, states, stacks]
        sagemaker.recover()
        self.bus.start()
        self.alarms.start()
        functions.start()
        states.start()
        stacks.start()
        self.application.loaded = True
        sagemaker.start()  # last: its endpoints start again, and their servers may ask this cloud
        states.go_on()
        self._ready = True
        stacks.carry_on()

    def stop(self) -> None:
        """Stop executions, jobs and endpoints, then close the files."""
        for service in reversed(self._services):
            try:
                service.stop()
            except Exception:
                logger.exception("Stopping %s failed", type(service).__name__)
        self.rows.flush()
        self.database.close()

    def description(self) -> dict[str, Any]:
        """What cloud.json says."""
        return {
            "endpoint": self.endpoint,
            "port": int(self.endpoint.rsplit(":", 1)[1]),
            "pid": os.getpid(),
            "region": self.region,
            "account_id": ACCOUNT_ID,
            **self.credentials,
            "version": metadata.version(DISTRIBUTION),
        }

    def _health(self) -> dict[str, Any]:
        return {
            "status": "ready" if self._ready else "starting",
            "pid": os.getpid(),
            "version": metadata.version(DISTRIBUTION),
            "account_id": ACCOUNT_ID,
            "damaged_objects": self.damaged[:DAMAGED_SHOWN],
        }

    def _functions(self, sagemaker: SageMakerService) -> LambdaService:
        """Functions are confined as jobs are, by the same launchers."""
        runtime = sagemaker.runtime
        machine = Machine(runtime.launchers, runtime.watchdog, runtime.confines, self.state_dir, self.settings.hidden)
        return LambdaService(
            self.context, self.settings, machine, self.clients,
            lambda name, content: self.capabilities.offer("GET", name, lambda _: content, PACKAGE_URL_SECONDS),
        )  # fmt: skip

    def _context(self) -> CloudContext:
        return CloudContext(
            state_dir=self.state_dir,
            region=self.region,
            account_id=ACCOUNT_ID,
            endpoint=self.endpoint,
            objects=Objects(ACCOUNT_ID, self.content, self.rows, self.authority),
            authority=self.authority,
            logs=Logs(ACCOUNT_ID, self.region, on_new_stream=self.snapshot.save),
            metrics=Metrics(ACCOUNT_ID, self.region, self.database, self.alarms.metrics_changed),
            images=ImageStore(self.state_dir, self.settings),
            clock=self.clock,
            emit=self.bus.emit,
        )

    def _versions_of(self, bucket: str, name: str) -> list[Any]:
        from moto.s3.models import s3_backends

        found = s3_backends[ACCOUNT_ID]["aws"].buckets.get(bucket)
        return list(found.keys.getlist(name, [])) if found else []

    def _put_back(self, bucket: str, name: str, versions: list[Any]) -> None:
        from moto.s3.models import s3_backends

        found = s3_backends[ACCOUNT_ID]["aws"].buckets.get(bucket)
        if found:
            cast(Any, found.keys).load(name, versions)

    def _load_rows(self) -> None:
        """Give moto's services what they keep in rows, next to the snapshot."""
        moto_adjustments.load_logs(self.database, ACCOUNT_ID, self.region)
        self.context.metrics.reload()

    def _load_objects(self) -> None:
        from moto.s3.models import s3_backends

        buckets = s3_backends[ACCOUNT_ID]["aws"].buckets
        referenced = set()
        for bucket, name, versions in self.rows.load():
            if bucket not in buckets:
                continue  # its bucket was deleted together with it
            cast(Any, buckets[bucket].keys).load(name, versions)
            for version in filter(keys.content_of, versions):
                referenced.add(self.content.relative(version.content.path))
                if fault := version.content.fault():
                    self.damaged.append(keys.damaged(bucket, name, version.version_id, fault).message)
        removed = self.content.remove_unreferenced(referenced)
        if removed:
            logger.info("Removed %d content files of uploads that were never finished", removed)
        for sentence in self.damaged:
            logger.error("%s", sentence)


def _credentials(path: Path) -> dict[str, str]:
    """The keys of this state directory, made once."""
    if path.exists():
        return _read_credentials(path)
    alphabet = string.ascii_uppercase + "234567"
    made = {
        "access_key_id": "AKIA" + "".join(secrets.choice(alphabet) for _ in range(16)),
        "secret_access_key": secrets.token_urlsafe(30),
    }
    write_json(path, made, mode=0o600)
    return made


def _read_credentials(path: Path) -> dict[str, str]:
    try:
        kept = read_json(path)
    except ValueError as damage:
        raise DamagedState(str(damage)) from damage
    names = ("access_key_id", "secret_access_key")
    if not isinstance(kept, dict) or not all(isinstance(kept.get(name), str) and kept[name] for name in names):
        raise DamagedState(f"{path} holds no keys ({' and '.join(names)}). Put back a copy of it or remove it.")
    return {name: kept[name] for name in names}
