"""The proxy's process: `python -m local_cloud.proxy --listening FD --cloud PORT --folder DIR`; ends when its parent does."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
from pathlib import Path

from local_cloud.proxy.relay import Outer, Relay


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local_cloud.proxy")
    parser.add_argument("--listening", type=int, required=True, help="descriptor of a socket that listens already")
    parser.add_argument("--cloud", type=int, required=True, help="the cloud's port on 127.0.0.1")
    parser.add_argument("--folder", type=Path, required=True, help="where the certificate authority lies")
    options = parser.parse_args()
    listening = socket.socket(fileno=options.listening)
    relay = Relay(("127.0.0.1", options.cloud), options.folder, Outer.from_environment(os.environ))
    threading.Thread(target=relay.serve, args=(listening,), daemon=True).start()
    sys.stdin.buffer.read()  # ends with the cloud, however that ends
    os._exit(0)


main()
