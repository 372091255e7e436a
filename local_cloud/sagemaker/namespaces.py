"""Linux user and mount namespaces, where the kernel gives them to everyone: private mounts for one container.

Used for two things: /etc/hosts with the names of a cluster's hosts (algo-1, algo-2, …), and, on request, a job's own
tree at the literal /opt/ml for images that know no other place. Nothing outside the container sees these mounts.
"""

import functools
import os
import shutil
import subprocess
from pathlib import Path

# $1: folder for the new /opt, or "-" · $2: the job's tree · $3: hosts file, or "-"
_SCRIPT = """
set -e
if [ "$1" != - ]; then
  for entry in /opt/*; do
    [ -d "$entry" ] && [ "$entry" != /opt/ml ] || continue
    mkdir -p "$1/${entry#/opt/}"
    mount --rbind "$entry" "$1/${entry#/opt/}"
  done
  mkdir -p "$1/ml"
  mount --rbind "$2" "$1/ml"
  mount --rbind "$1" /opt
fi
[ "$3" = - ] || mount --bind "$3" /etc/hosts
shift 3
exec "$@"
"""


@functools.cache
def available() -> bool:
    """Whether an unprivileged process may have mounts of its own here."""
    if not shutil.which("unshare") or not shutil.which("mount"):
        return False
    probe = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "mount", "--bind", "/etc", "/etc"],
        check=False,
        capture_output=True,
    )
    return probe.returncode == 0


def wrapped(argv: list[str], base: Path, *, opt_ml: bool, hosts_file: Path | None) -> list[str]:
    """`argv` in a mount namespace of its own; without anything to mount, `argv` itself."""
    if not opt_ml and hosts_file is None:
        return argv
    new_opt = base.parent / f"{base.name}.opt"
    if opt_ml:
        new_opt.mkdir(parents=True, exist_ok=True)
    return [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        _SCRIPT,
        "sh",
        os.fspath(new_opt) if opt_ml else "-",
        os.fspath(base),
        os.fspath(hosts_file or "-"),
        *argv,
    ]
