"""What one container may see and reach, where Linux gives namespaces: confine.py carries it out.

Hidden are the state of the cloud with all other jobs' folders, every home, /run and /tmp; the rest of the machine is
read-only. Brought back are the job's own tree, its image's files and environment, and the Python that this one links to.
FastFile channels are read-only (their files are the stored objects themselves), hosts have their names, and the job's
tree stands at the literal /opt/ml, with a home of its own at /root. In network isolation there is loopback and the
cluster's peers alone.

Elsewhere (macOS, kernels before 5.12, machines that forbid user namespaces, LOCAL_CLOUD_CONFINE=0) a container is a
process of the user who runs the cloud, and can do what that user can.
"""

import contextlib
import functools
import glob
import marshal
import os
import pwd
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("confine.py")
HOMES = ("/home", "/root")
# Sockets of the user's session and of root's services; names are resolved and GPUs reached through what stays.
RUN, KEPT_IN_RUN = (
    "/run",
    ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf", "/run/nvidia*"),
)
OPT, TMP, HOME = "/opt", "/tmp", "/root"  # noqa: S108 - the container's own, folders beside its tree
VAR = "/var"  # where a function's code and runtime are placed
PLAIN = (
    "This machine gives containers no namespaces: they are processes of the user who runs the cloud, and can read what "
    "that user can."
)
UNCUT = "EnableNetworkIsolation: this machine gives no namespaces, so the network of this container is not cut."


@dataclass(frozen=True)
class Room:
    """What one container sees: `base` is its own tree, `kept` is read-only, `hidden` is not there."""

    base: Path
    hidden: Sequence[Path] = ()
    kept: Sequence[Path] = ()
    links: Sequence[tuple[str, str]] = ()  # text and place of symbolic links that lead to what is kept
    read_only: Sequence[Path] = ()  # folders below `base`
    hosts_file: Path | None = None
    opt_ml: bool = False
    isolated: bool = False
    joined: int | None = None  # the launcher whose network this container shares: a cluster in isolation
    placed: Sequence[
        tuple[Path, str]
    ] = ()  # what is kept under another name, below /var: a function's code and runtime


@functools.cache
def _ways() -> bool | None:
    """Whether a user namespace is needed; None where there is no way."""
    if sys.platform != "linux":
        return None
    with tempfile.TemporaryDirectory(prefix="namespaces-") as scratch:
        for user in (False, True) if os.geteuid() == 0 else (True,):
            base = Path(scratch) / "ml"
            base.mkdir(exist_ok=True)
            spec = _specification(["/bin/true"], {"PATH": os.defpath}, "/", Room(base, isolated=True), user)
            process, line = _prepared()
            _send(line, spec)
            process.communicate()
            if process.returncode == 0:
                return user
    return None


def available() -> bool:
    """Whether this machine can confine containers."""
    return _ways() is not None


def has_opt() -> bool:
    """Whether a confined container can see its tree at /opt/ml: where there is no /opt, nobody but root could make one."""
    return os.path.isdir(OPT)


class Launchers:
    """Starts confined containers; one launcher is always ready, so that a job need not wait for an interpreter."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready: tuple[subprocess.Popen[bytes], socket.socket] | None = None
        self._closed = False

    def start(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, room: Room, door: socket.socket | None = None
    ) -> subprocess.Popen[bytes]:
        """The launcher that runs this; it ends as the container's first process does."""
        spec = _specification(argv, env, cwd, room, bool(_ways()))
        with self._lock:
            ready, self._ready = self._ready, None
        process, line = ready if ready and ready[0].poll() is None else _prepared()
        _send(line, spec, door)
        threading.Thread(target=self._prepare, name="next launcher", daemon=True).start()
        return process

    def close(self) -> None:
        with self._lock:
            ready, self._ready, self._closed = self._ready, None, True
        if ready:
            ready[1].close()
            ready[0].communicate()

    def _prepare(self) -> None:
        with self._lock:
            if self._ready is None and not self._closed:
                self._ready = _prepared()


def _prepared() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A launcher that waits for orders, and the socket to give them through."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCHER), str(theirs.fileno())], pass_fds=[theirs.fileno()], env={}, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    return process, ours


def _send(line: socket.socket, spec: dict[str, object], door: socket.socket | None = None) -> None:
    data = marshal.dumps(spec)
    with line:
        sent = socket.send_fds(line, [data], [door.fileno()] if door else [])
        line.sendall(data[sent:])


def _specification(argv: Sequence[str], env: Mapping[str, str], cwd: str, room: Room, user: bool) -> dict[str, object]:
    writable = [(_beside(room, "tmp", 0o777 | stat.S_ISVTX), TMP)]
    sealed = [str(folder) for folder in room.read_only]
    beside: list[str] = []
    if room.opt_ml:
        beside = [path for path in glob.glob(f"{OPT}/*") if os.path.isdir(path) and path != f"{OPT}/ml"]
        writable += [(str(room.base), f"{OPT}/ml"), (_beside(room, "home", 0o700), HOME)]
        sealed = [f"{OPT}/ml/{folder.relative_to(room.base)}" for folder in room.read_only]
    else:
        writable.append((str(room.base), str(room.base)))
    readable = [place for kept in room.kept for place in _places(kept)]
    readable += [(path, path) for pattern in KEPT_IN_RUN for path in glob.glob(pattern)]
    covered = _outermost([*room.hidden, *map(Path, (*HOMES, RUN))])
    made: list[object] = [OPT, beside] if room.opt_ml else []
    if room.placed:
        made, covered = [VAR, []], [folder for folder in covered if not Path(folder).is_relative_to(VAR)]
        readable += [(str(source.resolve()), target) for source, target in room.placed]
    if room.hosts_file:
        readable.append((str(room.hosts_file), "/etc/hosts"))
    return {
        "argv": list(argv), "env": dict(env), "cwd": cwd, "user": user, "isolated": room.isolated, "join": room.joined or 0,
        "writable": writable, "readable": readable, "covered": covered,
        "links": list(room.links), "sealed": sealed, "opt": made,
    }  # fmt: skip


def _beside(room: Room, name: str, mode: int) -> str:
    """A private folder of the container, beside its tree."""
    folder = room.base.parent / f"{room.base.name}.{name}"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)
    return str(folder)


def hidden_places(state: Path, named: Sequence[Path]) -> list[Path]:
    """What no container may see: the cloud's state, the user's home, and what the settings name."""
    home = []
    with contextlib.suppress(KeyError):  # a user without a name
        home.append(Path(pwd.getpwuid(os.getuid()).pw_dir))
    return [state, *home, *named]


def environment_places(environment: Path, hidden: Sequence[Path]) -> tuple[list[Path], list[tuple[str, str]]]:
    """An image's Python environment with the installation that its `python` links to, and the links on the way.

    An installation may be a folder of somebody's home (uv, pyenv), or the home itself (~/bin, ~/lib): then its parts are kept.
    """
    program, links = environment / "bin" / "python", []
    while program.is_symlink():
        text = os.readlink(program)
        links.append((text, str(program)))
        program = Path(os.path.normpath(program.parent / text))
    installation = program.parent.parent
    if any(folder.resolve().is_relative_to(installation.resolve()) for folder in [*hidden, *map(Path, HOMES)]):
        parts = [program, *sorted(installation.glob("lib/python3*")), *sorted(installation.glob("lib/libpython*"))]
        return [environment, *parts], links
    return [environment, installation], links


def _places(path: Path) -> Iterable[tuple[str, str]]:
    """Where a path lies, and under which name it is looked for: links on the way are hidden, too."""
    real = path.resolve()
    if real == Path("/usr") or not real.exists():
        return
    yield str(real), str(real)
    if os.path.abspath(path) != str(real):
        yield str(real), os.path.abspath(path)


def _outermost(folders: Iterable[Path]) -> list[str]:
    """Existing folders without those that lie below another, and never the root."""
    found = sorted({folder.resolve() for folder in folders if folder.is_dir()} - {Path("/")})
    return [str(one) for one in found if not any(one != other and one.is_relative_to(other) for other in found)]
