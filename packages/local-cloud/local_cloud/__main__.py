"""`python -m local_cloud --state DIR [--port 0] [--region us-east-1]`: the cloud in the foreground until it is told to stop."""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_cloud.environment import isolate
from local_cloud.lock import AlreadyOwned, StateLock, again, owning
from local_cloud.settings import SettingRefused, Settings, unknown

# How long a stop may take: jobs of one process are given some of it to end, requests another part.
STOP_SECONDS = 20
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


def main(arguments: list[str] | None = None) -> int:
    """Run one cloud; 0 when it was stopped, 2 when the state cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m local_cloud", description=__doc__)
    parser.add_argument("--state", required=True, type=Path, help="folder that holds everything the cloud knows")
    parser.add_argument("--port", type=_port, default=0, help="port on 127.0.0.1; 0 takes the last one when it is free")
    parser.add_argument("--region", default="us-east-1", help="the one region of this cloud")
    options = parser.parse_args(arguments)
    if not REGION.fullmatch(options.region):
        parser.error(f"--region {options.region!r} is not of the form us-east-1")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("botocore", "boto3", "urllib3", "werkzeug"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingRefused as refused:
        print(refused, file=sys.stderr)
        return 2
    for name in unknown(os.environ):
        logging.getLogger("local_cloud").warning("%s is not a setting of the local cloud; nothing reads it", name)
    isolate(options.region)
    try:
        options.state.mkdir(parents=True, exist_ok=True)
        options.state.chmod(0o700)
        with owning(options.state.resolve()) as lock:
            return _run(options.state.resolve(), options.port, options.region, lock, settings)
    except AlreadyOwned:
        print(f"Another local cloud uses {options.state}. Stop it, or choose another --state.", file=sys.stderr)
    except OSError as fault:
        logging.getLogger("local_cloud").info("The start failed", exc_info=fault)
        print(
            f"The state directory {options.state} cannot be used: {fault}. See to its permissions and free space, or "
            "choose another --state.",
            file=sys.stderr,
        )
    return 2


def _run(state: Path, port: int, region: str, lock: StateLock, settings: Settings) -> int:
    # After isolate: these import botocore and moto.
    from local_cloud.cloud import Cloud
    from local_cloud.documents import write_json
    from local_cloud.persistence.database import DamagedState
    from local_cloud.proxy.child import ProxyProcess
    from local_cloud.server import bound_port

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    announcement = state / "cloud.json"
    announcement.unlink(missing_ok=True)
    cloud: Cloud | None = None
    proxy: ProxyProcess | None = None
    try:
        server = _server(port, lock.port, lambda environ, start: cloud.application(environ, start))
    except OSError as fault:
        print(f"Port {port} of 127.0.0.1 cannot be used: {fault}. Choose another --port, or 0.", file=sys.stderr)
        return 2
    try:
        cloud = Cloud(state, region, f"http://127.0.0.1:{bound_port(server)}", settings)
        cloud.application.on_shutdown = stopping.set
        # Services may be asked by their own jobs while they start, so the socket answers first.
        threading.Thread(target=server.serve, name="server", daemon=True).start()
        cloud.start()
        proxy = ProxyProcess(state, bound_port(server)) if settings.proxy else None
        lock.announce(bound_port(server))
        way = {"proxy": proxy.address, "certificate": str(proxy.certificate)} if proxy else {}
        write_json(announcement, cloud.description() | way)
        logging.getLogger("local_cloud").info("Ready at %s (process %d)", cloud.endpoint, os.getpid())
        stopping.wait()
        _end_by_itself_after(STOP_SECONDS)
        announcement.unlink(missing_ok=True)
        cloud.stop()
    except DamagedState as damage:
        print(damage, file=sys.stderr)
        return 2
    except OSError:
        raise
    except Exception as fault:
        logging.getLogger("local_cloud").exception("The state of %s could not be loaded", state)
        print(
            f"The state in {state} cannot be loaded ({type(fault).__name__}: {fault}). Put back a copy of it, or move it "
            "away and start with an empty one.",
            file=sys.stderr,
        )
        return 2
    finally:
        if proxy:
            proxy.stop()
        server.stop()
    return 0


def _end_by_itself_after(seconds: float) -> None:
    """A stop is bounded, whatever hangs: what was acknowledged is on disk, and the watchdog ends what jobs there are."""

    def end() -> None:
        logging.getLogger("local_cloud").error(
            "Not everything had ended %g s after the stop; the process ends now", seconds
        )
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; allowed are 0 to 65535")
    return int(text)


def _server(port: int, last: int, application: Callable[..., Any]) -> Any:
    """A server on `port`; with 0 on the port of the last time, so that what shells export stays true, or on a free one."""
    from local_cloud.server import make_server

    if port == 0 and last:
        try:
            return again(lambda: make_server(last, application))
        except OSError:
            logging.getLogger("local_cloud").info("Port %d of the last time is taken; another one is used", last)
    return make_server(port, application)


if __name__ == "__main__":
    sys.exit(main())
