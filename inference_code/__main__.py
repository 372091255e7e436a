"""`python -m inference_code serve`: the entry point of image 2.

SageMaker starts a model container with the argument `serve`. The model is loaded before the port opens: an unusable
one ends the process with a message in the log instead of an endpoint that answers errors.
"""

import asyncio
import logging
import signal
import sys
import time

from contract.manifest import InvalidManifest
from contract.memory_budget import MEGABYTE, photo_budget, set_photo_budget
from contract.validation import InvalidField
from inference_code.classifier import Classifier
from inference_code.engines import EngineUnavailable, UnusableModel
from inference_code.server import Application
from inference_code.settings import Settings

log = logging.getLogger("inference")
USAGE = "usage: python -m inference_code serve"
_GRACE_SECONDS = 20  # SageMaker kills 30 seconds after SIGTERM


async def _serve(settings: Settings, classifier: Classifier | None) -> None:
    import uvicorn

    from inference_code.connections import protocol_with_deadline

    config = uvicorn.Config(
        Application(settings, classifier),
        host=settings.host,
        port=settings.port,
        http=protocol_with_deadline(settings.header_seconds),
        loop="uvloop",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )

    class Server(uvicorn.Server):
        def install_signal_handlers(self) -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)

    server = Server(config)
    server.install_signal_handlers()
    # Not serve(): it raises the signal again once everything is answered, and a clean stop would look like a crash.
    await server._serve()
    log.info("stopped; every accepted request was answered")


def main(arguments: list[str]) -> int:
    """Load the model, then serve until SIGTERM; 0 for a clean stop, 1 for a model or setting that cannot be used."""
    started = time.perf_counter()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if arguments != ["serve"]:
        print(f"{USAGE}\nreceived: {arguments}", file=sys.stderr)
        return 2
    try:
        settings = Settings.from_environment()
        classifier = None
        if not settings.multi_model:
            classifier = Classifier.load(settings.model_directory, settings.cores, settings.engine)
        # Behind the model: what it takes is not there for photos.
        budget = set_photo_budget(settings.photo_memory_bytes) if settings.photo_memory_bytes else photo_budget()
    except (InvalidField, InvalidManifest, UnusableModel, EngineUnavailable) as error:
        log.error("cannot serve: %s", error)
        return 1
    what = "models on request"
    if classifier:
        manifest = classifier.manifest
        what = f"{manifest.architecture}, {len(manifest.classes)} classes, on {classifier.engine.name}"
    log.info("serving %s; %d cores, %d MB for photos, %s:%d, ready after %.2f s",
             what, settings.cores, budget.total // MEGABYTE, settings.host, settings.port, time.perf_counter() - started)  # fmt: skip
    import uvloop

    uvloop.run(_serve(settings, classifier))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
