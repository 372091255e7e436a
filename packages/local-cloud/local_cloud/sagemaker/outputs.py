"""Which files of a folder that a job wrote may leave it for S3, and how they are opened without being led elsewhere.

The cloud uploads with the rights of its user, the job names the files: a symbolic link out of the job's folder and a hard
link to a foreign file are left behind, each with a line in the job's log. (Confined jobs cannot make the latter: their
tree is a mount of its own.) Devices, sockets and pipes are no files. Links are followed as the job sees them: where its
tree stands at /opt/ml, a link to /opt/ml/model/x leads into the tree.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from local_cloud.sagemaker.paths import OPT_ML

OPENED = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")
# As many as Linux follows (path_resolution(7)).
MAXIMUM_LINKS = 40


@dataclass
class Outputs:
    """The files of one job's folder; `say` gets a line for every one that is left behind, once."""

    root: Path
    say: Callable[[list[str]], None]
    mounted: bool = False  # whether the job's tree stood at /opt/ml
    _told: set[Path] = field(default_factory=set)

    def files(self, folder: Path) -> Iterator[Path]:
        """The paths below `folder` that are files of the job, in order."""
        root = self.root.resolve()
        parents: dict[Path, Path] = {}  # a folder is followed once, not once for each of its files
        for path in sorted(folder.rglob("*")):
            try:
                if path.parent not in parents:
                    parents[path.parent] = self.real(path.parent)
                refused = self._refusal(path, parents[path.parent] / path.name, root)
            except FileNotFoundError:  # the job deleted it in between
                continue
            if refused is None:
                continue
            if not refused:
                yield path
            elif path not in self._told:
                self._told.add(path)
                self.say([f"{path.relative_to(self.root)} was not uploaded: {refused}"])

    def real(self, path: Path) -> Path:
        """Where a path leads, every link followed; FileNotFoundError when that is a circle."""
        tree, at, links = self._tree(path), Path("/"), 0
        rest = deque(path.absolute().parts[1:])
        while rest:
            part = rest.popleft()
            if part == "..":
                at = at.parent
                continue
            try:
                target = PurePosixPath(os.readlink(at / part))
            except OSError:  # no link, or nothing
                at = at / part
                continue
            links += 1
            if links > MAXIMUM_LINKS:
                raise FileNotFoundError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            if self.mounted and target.is_relative_to(OPT_ML):
                target = PurePosixPath(tree / target.relative_to(OPT_ML))
            if target.is_absolute():
                at = Path("/")
            rest.extendleft(part for part in reversed(target.parts) if part != "/")
        return at

    def _tree(self, path: Path) -> Path:
        """The /opt/ml tree that holds a path: the job's, or that of one of its hosts."""
        parts = path.relative_to(self.root).parts
        return self.root.joinpath(*parts[: parts.index("ml") + 1]) if "ml" in parts else self.root

    def text(self, path: Path, limit: int) -> str:
        """What stands in a file of the job; empty when there is none that is its own."""
        try:
            with self.opened(path) as source, source.open("rb") as handle:
                return handle.read(limit).decode("utf-8", "replace")
        except OSError:
            return ""

    @contextmanager
    def opened(self, path: Path) -> Iterator[Path]:
        """The file under a name that cannot be exchanged any more; FileNotFoundError when it is none of the job's now."""
        real = self.real(path)
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise FileNotFoundError(str(path)) from error
        try:
            if self._foreign(OPENED / str(descriptor), os.fstat(descriptor)):
                raise FileNotFoundError(str(path))
            yield OPENED / str(descriptor)
        finally:
            os.close(descriptor)

    def _refusal(self, path: Path, real: Path, root: Path) -> str | None:
        """Why a path is left behind; empty when it is a file to upload, None when it is no file at all."""
        status = real.lstat()
        if stat.S_ISLNK(status.st_mode):
            try:
                real = self.real(path)
            except FileNotFoundError:
                return "it is a link that leads in a circle"
            if not real.is_relative_to(root):
                return f"it is a link that leads out of the job's folder, to {real}"
            if not real.exists():
                return f"it is a link to {real}, where nothing is"
            status = real.stat()
        elif not real.is_relative_to(root):
            return "it lies behind a link that leads out of the job's folder"
        if not stat.S_ISREG(status.st_mode):
            return None
        return "it is a hard link to a file that is not the job's" if self._foreign(real, status) else ""

    def _foreign(self, path: Path, status: os.stat_result) -> bool:
        if not stat.S_ISREG(status.st_mode):
            return True
        if path.parent == OPENED and not Path(os.path.realpath(path)).is_relative_to(self.root.resolve()):
            return OPENED.parts[1] == "proc"
        return status.st_nlink > 1 and self._names(status) < status.st_nlink

    def _names(self, status: os.stat_result) -> int:
        """How many names of this file lie in the job's folder."""
        wanted, count = (status.st_dev, status.st_ino), 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                try:
                    found = os.lstat(os.path.join(folder, name))
                except OSError:
                    continue
                count += (found.st_dev, found.st_ino) == wanted
        return count
