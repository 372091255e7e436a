"""The cloud's own process is cut off from every real account before anything that knows AWS is imported.

Removed: profiles, credentials, endpoints and proxies of whoever starts it. Forbidden: connecting to anything but
loopback, whatever library tries.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from typing import Any

ACCOUNT_ID = "000000000000"
# Taken from this process; what installs an image's packages needs them to reach an index.
PROXIES: dict[str, str] = {}


def isolate(region: str) -> None:
    """Make this process unable to reach a real account."""
    PROXIES.update({name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")})
    for name in list(os.environ):
        if name.startswith(("AWS_", "BOTO", "MOTO_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="in-process",
        AWS_SECRET_ACCESS_KEY="in-process",
        AWS_DEFAULT_REGION=region,
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        MOTO_ACCOUNT_ID=ACCOUNT_ID,
        MOTO_DISABLE_GLOBAL_CORS="true",
        # The AWS-managed policies that a template may name, without asking AWS for them.
        MOTO_IAM_LOAD_MANAGED_POLICIES="true",
        S3_IGNORE_SUBDOMAIN_BUCKETNAME="true",
    )
    sys.addaudithook(_refuse_foreign_connections)


def _refuse_foreign_connections(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect":
        return
    address = arguments[1]
    if not isinstance(address, tuple):
        return  # a Unix socket
    host = str(address[0])
    try:
        loopback = ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise PermissionError(f"The local cloud connects to 127.0.0.1 only; something tried {host}.")
