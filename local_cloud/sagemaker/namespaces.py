"""Linux mount namespaces, where the kernel gives them: private mounts for one container, invisible outside of it.

Used for three things: FastFile channels that are truly read-only (their files are the stored objects themselves),
/etc/hosts with the names of a cluster's hosts (algo-1, algo-2, …), and, on request, a job's own tree at the literal
/opt/ml for images that know no other place.
"""

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

# $1: folder for the new /opt, or "-" · $2: the job's tree · $3: hosts file, or "-" · $4: number of read-only folders, which follow
_SCRIPT = """
set -e
new_opt=$1 tree=$2 hosts=$3 count=$4
shift 4
while [ "$count" -gt 0 ]; do
  mount --bind "$1" "$1"
  mount -o remount,bind,ro "$1"
  shift
  count=$((count - 1))
done
if [ "$new_opt" != - ]; then
  for entry in /opt/*; do
    [ -d "$entry" ] && [ "$entry" != /opt/ml ] || continue
    mkdir -p "$new_opt/${entry#/opt/}"
    mount --rbind "$entry" "$new_opt/${entry#/opt/}"
  done
  mkdir -p "$new_opt/ml"
  mount --rbind "$tree" "$new_opt/ml"
  mount --rbind "$new_opt" /opt
fi
[ "$hosts" = - ] || mount --bind "$hosts" /etc/hosts
exec "$@"
"""
_WAYS = (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"])


@dataclass(frozen=True)
class Mounts:
    """What one container sees differently."""

    opt_ml: bool = False
    hosts_file: Path | None = None
    read_only: Sequence[Path] = field(default=())

    def __bool__(self) -> bool:
        return self.opt_ml or self.hosts_file is not None or bool(self.read_only)


@functools.cache
def _unshare() -> list[str] | None:
    """The command that gives a process mounts of its own; None where this kernel or this user has none."""
    if not shutil.which("unshare") or not shutil.which("mount"):
        return None
    probe = "mount --bind /etc /etc && mount -o remount,bind,ro /etc"
    for way in _WAYS:
        if subprocess.run([*way, "sh", "-c", probe], check=False, capture_output=True).returncode == 0:
            return way
    return None


def available() -> bool:
    """Whether containers may have mounts of their own here."""
    return _unshare() is not None


def wrapped(argv: list[str], base: Path, mounts: Mounts) -> list[str]:
    """`argv` with these mounts; without any, or where there are no namespaces, `argv` itself."""
    unshare = _unshare() if mounts else None
    if unshare is None:
        return argv
    new_opt = base.parent / f"{base.name}.opt"
    if mounts.opt_ml:
        new_opt.mkdir(parents=True, exist_ok=True)
    folders = [os.fspath(folder) for folder in mounts.read_only]
    places = [os.fspath(new_opt) if mounts.opt_ml else "-", os.fspath(base), os.fspath(mounts.hosts_file or "-")]
    return [*unshare, "sh", "-c", _SCRIPT, "sh", *places, str(len(folders)), *folders, *argv]
