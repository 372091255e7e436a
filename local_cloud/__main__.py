"""`python -m local_cloud --state DIR [--port 0] [--region us-east-1]`: the cloud in the foreground until it is told to stop."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import re
import signal
import sys
import threading
from pathlib import Path

from local_cloud.environment import isolate

REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


def main(arguments: list[str] | None = None) -> int:
    """Run one cloud; 0 when it was stopped, 2 when the state cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m local_cloud", description=__doc__)
    parser.add_argument("--state", required=True, type=Path, help="folder that holds everything the cloud knows")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--region", default="us-east-1", help="the one region of this cloud")
    options = parser.parse_args(arguments)
    if not REGION.fullmatch(options.region):
        parser.error(f"--region {options.region!r} is not of the form us-east-1")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("botocore", "boto3", "urllib3", "werkzeug"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    isolate(options.region)
    options.state.mkdir(parents=True, exist_ok=True)
    options.state.chmod(0o700)
    with open(options.state / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"Another local cloud uses {options.state}. Stop it, or choose another --state.", file=sys.stderr)
            return 2
        return _run(options.state.resolve(), options.port, options.region)


def _run(state: Path, port: int, region: str) -> int:
    # After isolate: these import botocore and moto.
    from local_cloud.cloud import Cloud
    from local_cloud.documents import write_json
    from local_cloud.persistence.database import DamagedState
    from local_cloud.server import bound_port, make_server

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    announcement = state / "cloud.json"
    announcement.unlink(missing_ok=True)
    cloud: Cloud | None = None
    try:
        server = make_server(port, lambda environ, start: cloud.application(environ, start))
    except OSError as fault:
        print(f"Port {port} of 127.0.0.1 cannot be used: {fault}. Choose another --port, or 0.", file=sys.stderr)
        return 2
    try:
        cloud = Cloud(state, region, f"http://127.0.0.1:{bound_port(server)}")
        cloud.application.on_shutdown = stopping.set
        # Services may be asked by their own jobs while they start, so the socket answers first.
        threading.Thread(target=server.serve, name="server", daemon=True).start()
        cloud.start()
        write_json(announcement, cloud.description())
        logging.getLogger("local_cloud").info("Ready at %s (process %d)", cloud.endpoint, os.getpid())
        stopping.wait()
        announcement.unlink(missing_ok=True)
        cloud.stop()
    except DamagedState as damage:
        print(damage, file=sys.stderr)
        return 2
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
