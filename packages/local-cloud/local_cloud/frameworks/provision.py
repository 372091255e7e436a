"""Gives the image for a URI, and builds a framework's image where it is asked for the first time.

A build takes a minute or more and installs packages from the index that uv is configured with; whoever waits is told so, in the
log of the job or endpoint. It is built once: its name holds a digest of its files.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from local_cloud.docker.build import build
from local_cloud.docker.dockerfile import BuildError
from local_cloud.docker.environment import exclusive
from local_cloud.docker.store import Image, ImageStore
from local_cloud.errors import AwsError
from local_cloud.frameworks.catalogue import IMAGES, Framework

HEARTBEAT_SECONDS = 10.0


def provide(store: ImageStore, uri: str, say: Callable[[list[str]], None]) -> Image:
    """The image that runs in the place of `uri`; `say` takes lines of the job's log. Raises AwsError."""
    framework = store.framework(uri)
    if framework is None:
        return store.resolve(uri)
    image = store.built_framework(framework) or _built(store, framework, say)
    served = f"{framework.title} {image.version_of(framework.distribution)} on Python {image.config.python}"
    say([f"local cloud: {uri} is served by {served}, the only {framework.title} here."])
    return image


def _built(store: ImageStore, framework: Framework, say: Callable[[list[str]], None]) -> Image:
    name = store.framework_name(framework)
    say([f"local cloud: building the image for {framework.title}; it is kept, so this happens once."])
    began, done = time.monotonic(), threading.Event()

    def tell() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            say([f"local cloud: installing the packages of {framework.title}, {time.monotonic() - began:.0f} s so far"])

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        with exclusive(store.folder / f"{framework.folder}.lock"):
            if image := store.built_framework(framework):
                return image
            built = build(IMAGES, IMAGES / framework.folder / "Dockerfile", store.environments, store.scratch)
            image = store.add(built)
            store.tag(image.id, name)
            return image
    except BuildError as error:
        raise AwsError("ValidationException", f"The image for {framework.title} could not be built: {error}") from None
    finally:
        done.set()
        teller.join()
