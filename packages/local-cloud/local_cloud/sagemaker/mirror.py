"""Keeps a folder of a job in S3: files that are new or changed since the last look are uploaded.

A file is uploaded only when it looks the same twice in a row (or at the end of the job), so that a half-written
checkpoint does not replace a whole one.
"""

import mimetypes
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_cloud.sagemaker.outputs import Outputs
from local_cloud.sagemaker.s3_locations import Location

_Stamp = tuple[int, int]


@dataclass
class Mirror:
    """One folder and the S3 prefix that it is kept under."""

    objects: Any
    outputs: Outputs
    folder: Path
    target: Location
    _uploaded: dict[str, _Stamp] = field(default_factory=dict)
    _seen: dict[str, _Stamp] = field(default_factory=dict)

    def sync(self, final: bool = False) -> int:
        """Uploads what changed; returns how many files."""
        count = 0
        for path in self.outputs.files(self.folder):
            name = path.relative_to(self.folder).as_posix()
            try:
                status = self.outputs.real(path).stat()
                stamp = (status.st_mtime_ns, status.st_size)
                settled = final or self._seen.get(name) == stamp
                self._seen[name] = stamp
                if settled and self._uploaded.get(name) != stamp:
                    with self.outputs.opened(path) as source:
                        store_file(self.objects, self.target.below(name), source)
                    self._uploaded[name] = stamp
                    count += 1
            except FileNotFoundError:  # the job deleted it in between
                continue
        return count

    def known(self) -> None:
        """Takes what is in the folder now as uploaded already: it came from there."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                status = path.stat()
                self._uploaded[path.relative_to(self.folder).as_posix()] = (status.st_mtime_ns, status.st_size)


def store_file(objects: Any, where: Location, path: Path, consume: bool = False) -> None:
    """Uploads one file with the content type that the object's name suggests."""
    content_type, _ = mimetypes.guess_type(where.key)
    objects.store(where.bucket, where.key, path, content_type, consume)
