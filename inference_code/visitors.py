"""Who may ask a server on somebody's own machine: programs of that machine, and no page of a browser.

A page can reach 127.0.0.1 by a name that its owner lets point there (DNS rebinding); it cannot choose its Host and Origin.
Other users of the machine can ask it, too: the local cloud gives each server a secret (LOCAL_CLOUD_SERVER_SECRET) and sends it
along. In a container, whose network is its own, SageMaker decides.
"""

import hmac
import re
from http import HTTPStatus
from typing import Any, Final

from inference_code.answers import Refused

SECRET_HEADER: Final = b"x-local-cloud-secret"
_OWN_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOST: Final = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d+)?")


def check_visitor(scope: dict[str, Any], secret: str = "") -> None:
    """Refuse a request whose Host or Origin names another machine, or that lacks the local cloud's secret where it gave one."""
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
    if len(hosts) != 1 or not _is_own(hosts[0]):
        raise _refused("Host", hosts)
    if not all(_is_own(origin.partition("://")[2]) for origin in origins):
        raise _refused("Origin", origins)
    given = [value for name, value in scope["headers"] if name == SECRET_HEADER]
    if secret and not (len(given) == 1 and hmac.compare_digest(given[0], secret.encode())):
        message = "this server answers the local cloud that started it; call InvokeEndpoint there"
        raise Refused(HTTPStatus.FORBIDDEN, "foreign_visitor", message)


def _is_own(host: str) -> bool:
    found = _HOST.fullmatch(host.strip().lower())
    return found is not None and found[1] in _OWN_NAMES


def _refused(header: str, values: list[str]) -> Refused:
    allowed = f"allowed: {', '.join(sorted(_OWN_NAMES))}, since this server is for programs of its own machine"
    return Refused(HTTPStatus.FORBIDDEN, "foreign_visitor", f"{header} is {', '.join(values) or 'missing'}; {allowed}")
