"""A pytest plugin: the tests' cloud runs in their own process, on threads, where a mutant of its code is the one that answers."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest


def pytest_configure() -> None:
    from local_cloud import testing
    from local_cloud.environment import isolate

    isolate("us-east-1")
    testing.RunningCloud.start = _start
    testing.RunningCloud.stop = _stop


def pytest_collection_modifyitems(items: list[Any]) -> None:
    for item in items:
        if "own_cloud" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason="it ends the cloud's process, which is that of the tests"))


def _start(running: Any, **_: str) -> None:
    from local_cloud.cloud import Cloud
    from local_cloud.server import bound_port, make_server
    from local_cloud.settings import Settings

    running.state.mkdir(parents=True, exist_ok=True)
    server = make_server(0, lambda environ, start: cloud.application(environ, start))
    cloud = Cloud(running.state, running.region, f"http://127.0.0.1:{bound_port(server)}", Settings())
    threading.Thread(target=server.serve, name="server", daemon=True).start()
    cloud.start()
    running.description, running.here = cloud.description(), (cloud, server)


def _stop(running: Any) -> int:
    """The worker ends with its mutant, so that no thread of a broken cloud keeps it."""
    return os.EX_OK
