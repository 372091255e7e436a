"""Starts one container's process in namespaces of its own, and waits for it. Run as a script, by namespaces.py alone.

It is started ahead of need and waits on an inherited socket for what to run (a marshalled dictionary: credentials are no
command line); when the cloud ends first, so does it. Three processes: this one stays outside and keeps the network's door;
the first process inside reaps; the third is the job.

The job's processes see only each other, write only below their own tree, /tmp and /dev/shm, and have no capability with
which to take a mount away. A job that the kernel lets make user namespaces gains nothing: mounts that it inherits are locked.
Nothing may be imported after the mounts: this interpreter may lie in a folder that is hidden by then.
"""

import ctypes
import fcntl
import marshal
import os
import select
import signal
import socket
import stat
import sys
import time
from typing import Any

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
NOSUID, NODEV, NOATIME = 2, 4, 1024
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442  # the same number on every architecture
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, MOVE_MOUNT_F_EMPTY_PATH, READ_ONLY = 1, os.O_CLOEXEC, 4, 1
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
# Docker's default capabilities without MKNOD: no cgroup keeps a made device node from being the disk.
KEPT_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 29, 31)
LAST_CAPABILITY = 63
SEALED_IN_PROC = ("sys", "sysrq-trigger", "irq", "bus", "fs")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
LIBC = ctypes.CDLL(None, use_errno=True)


class Attributes(ctypes.Structure):
    """struct mount_attr."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "namespace")]


def main() -> None:
    spec, door = await_orders(int(sys.argv[1]))
    for number in SIGNALS:  # they are meant for the job, and reach it through the process group
        signal.signal(number, signal.SIG_IGN)
    try:
        separate(spec)
        arrange(spec)
    except OSError as error:
        sys.exit(
            f"The local cloud could not confine this container: {error}. LOCAL_CLOUD_CONFINE=0 starts it as a process."
        )
    ends, say = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(ends)
        if door >= 0:
            os.close(door)
        run_inside(spec, say)
    os.close(say)
    if door >= 0:
        keep_door(door, first)
    os.waitpid(first, 0)
    end_as(int(os.read(ends, 16) or b"9"))


def await_orders(descriptor: int) -> tuple[dict[str, Any], int]:
    """What to run, and the network's door or -1; ends when nobody will ever ask."""
    with socket.socket(fileno=descriptor) as line:
        data, doors, _, _ = socket.recv_fds(line, 65536, 1)
        if not data:
            sys.exit(0)
        while more := line.recv(65536):
            data += more
    return marshal.loads(data), doors[0] if doors else -1  # noqa: S302 - written by namespaces.py alone


def separate(spec: dict[str, Any]) -> None:
    """New namespaces, or those of the cluster's first host for user and network."""
    flags = NEWNS | NEWPID | NEWIPC
    uid, gid = os.getuid(), os.getgid()
    if spec["join"]:
        enter(spec["join"], spec["user"])
    else:
        flags |= (NEWUSER if spec["user"] else 0) | (NEWNET if spec["isolated"] else 0)
    call("unshare", flags)
    if flags & NEWUSER:
        for name, text in (("setgroups", "deny"), ("gid_map", f"{gid} {gid} 1"), ("uid_map", f"{uid} {uid} 1")):
            with open(f"/proc/self/{name}", "w") as handle:
                handle.write(text)
    if flags & NEWNET:
        raise_loopback()


def enter(pid: int, user: bool) -> None:
    """Waits until that launcher has its namespaces, then joins them."""
    deadline = time.monotonic() + 10
    own = os.readlink("/proc/self/ns/net")
    while os.readlink(f"/proc/{pid}/ns/net") == own or (user and not mapped(pid)):
        if time.monotonic() > deadline:
            raise TimeoutError("the first host of the cluster has no network of its own")
        time.sleep(0.001)
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    if user:
        call("setns", os.open(f"/proc/{pid}/ns/user", os.O_RDONLY), NEWUSER)
    call("setns", network, NEWNET)


def mapped(pid: int) -> bool:
    with open(f"/proc/{pid}/uid_map") as handle:
        return bool(handle.read().strip())


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        fcntl.ioctl(probe, 0x8914, b"lo".ljust(16, b"\0") + (0x49).to_bytes(2, "little").ljust(24, b"\0"))


def arrange(spec: dict[str, Any]) -> None:
    """Everything read-only, what is private covered, what the job needs brought back."""
    call("mount", b"none", b"/", None, 0x4000 | 0x40000, None)  # recursively private: nothing reaches the machine
    writable = [(clone(source), target) for source, target in spec["writable"]]
    seal(AT_FDCWD, "/")
    readable = [(clone(source), target) for source, target in spec["readable"]]
    mask_disks()
    if spec["opt"]:
        make_room(*spec["opt"])  # first: what is covered below it stays covered
    for folder in spec["covered"]:
        cover(folder)
    call("mount", b"tmpfs", b"/dev/shm", b"tmpfs", NOSUID | NODEV, b"mode=1777")
    for tree, target in sorted([*writable, *readable], key=lambda pair: pair[1].count("/")):
        attach(tree, target)
    for text, path in spec["links"]:
        if not os.path.lexists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.symlink(text, path)
    for folder in spec["sealed"]:
        tree = clone(folder)
        seal(tree, "")
        attach(tree, folder)


def cover(folder: str) -> None:
    call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", NOSUID | NODEV, b"mode=0755,size=1m")


def make_room(folder: str, kept: list[str]) -> None:
    """A folder that is read-only gets places for mounts: covered, and what was in it brought back."""
    trees = [(clone(path), path) for path in kept]
    cover(folder)
    for tree, path in trees:
        attach(tree, path)


def clone(path: str) -> int:
    return call("syscall", OPEN_TREE, AT_FDCWD, os.fsencode(path), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)


def seal(directory: int, path: str) -> None:
    wanted = Attributes(set=READ_ONLY)
    flags = AT_RECURSIVE | (0 if path else AT_EMPTY_PATH)
    call("syscall", MOUNT_SETATTR, directory, os.fsencode(path), flags, ctypes.byref(wanted), ctypes.sizeof(wanted))


def attach(tree: int, target: str) -> None:
    if not os.path.lexists(target):
        if stat.S_ISDIR(os.fstat(tree).st_mode):
            os.makedirs(target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    call("syscall", MOVE_MOUNT, tree, b"", AT_FDCWD, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH)
    os.close(tree)


def mask_disks() -> None:
    """Block devices: who may open one reads every file."""
    with os.scandir("/dev") as entries:
        disks = [entry.path for entry in entries if stat.S_ISBLK(entry.stat(follow_symlinks=False).st_mode)]
    for path in disks:
        attach(clone("/dev/null"), path)


def run_inside(spec: dict[str, Any], say: int) -> None:
    """The first process of the namespace: mounts /proc, starts the job, reaps, and takes everything with it."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        call("mount", b"proc", b"/proc", b"proc", NOSUID | NODEV, None)
        for name in SEALED_IN_PROC:
            if os.path.exists(f"/proc/{name}"):
                tree = clone(f"/proc/{name}")
                seal(tree, "")
                attach(tree, f"/proc/{name}")
        job = os.fork()
    except OSError as error:
        os.write(2, f"The local cloud could not confine this container: {error}.\n".encode())
        os.write(say, b"256")
        os._exit(1)
    if job == 0:
        become(spec)
    while True:
        pid, status = os.wait()
        if pid == job:
            os.write(say, str(status).encode())
            os._exit(0)


def become(spec: dict[str, Any]) -> None:
    """The job itself: no capability to undo the mounts, the signals of a fresh process, its own environment."""
    try:
        for number in (*SIGNALS, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if os.getuid() == 0:
            for capability in range(LAST_CAPABILITY):
                if capability not in KEPT_CAPABILITIES:
                    LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.chdir(spec["cwd"])
        os.execve(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606 - the point of this script
    except OSError as error:
        os.write(2, f"{spec['argv'][0]} could not be started: {error}\n".encode())
    os._exit(127)


def keep_door(door: int, first: int) -> None:
    """Hands out connections to servers inside: a socket belongs to the network in which it was made.

    Every message is a port; the answer is `+` with a connected socket, or why there is none.
    """
    watch, ended = select.poll(), os.pidfd_open(first)
    line = socket.socket(fileno=door)
    watch.register(ended, select.POLLIN)
    watch.register(door, select.POLLIN)
    while ended not in (ready := [descriptor for descriptor, _ in watch.poll()]):
        if door in ready:
            wanted = line.recv(2)
            if not wanted:
                return
            try:
                inside = socket.create_connection(("127.0.0.1", int.from_bytes(wanted, "big")), 2)
            except OSError as error:
                line.send(str(error).encode())
            else:
                with inside:
                    socket.send_fds(line, [b"+"], [inside.fileno()])


def end_as(status: int) -> None:
    """Ends as the job did, by the same signal or with the same code."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


def call(name: str, *arguments: object) -> int:
    result = getattr(LIBC, name)(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", str(arguments))
    return result


if __name__ == "__main__":
    main()
