"""A function's code: checked, unpacked once for each content, kept while a version needs it.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import stat
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from local_cloud.functions.names import failure

MAXIMUM_ZIP_BYTES = 50 * 1024 * 1024
MAXIMUM_UNPACKED_BYTES = 262144000
UNREADABLE = "Could not unzip uploaded file. Please check your file, then try to upload again."


@dataclass(frozen=True)
class Code:
    """One package: its hash as Lambda shows it, and its size."""

    sha256: str
    size: int

    @property
    def key(self) -> str:
        """The hash as a file's name."""
        return base64.b64decode(self.sha256).hex()


class Packages:
    """The packages below one folder: `KEY.zip` as it came, and `KEY/` as it is run."""

    def __init__(self, folder: Path):
        self._folder = folder

    def add(self, content: bytes, uploaded: bool = True) -> Code:
        """Keep a package. Raises InvalidParameterValueException and RequestTooLargeException, as Lambda does."""
        if uploaded and len(content) > MAXIMUM_ZIP_BYTES:
            raise failure("RequestTooLargeException", f"Request must be smaller than {MAXIMUM_ZIP_BYTES} bytes", 413)
        code = Code(base64.b64encode(hashlib.sha256(content).digest()).decode(), len(content))
        if not self.folder(code).is_dir():
            self._unpack(content, code)
        return code

    def folder(self, code: Code) -> Path:
        """Where the files of a package are."""
        return self._folder / code.key

    def archive(self, code: Code) -> bytes:
        """The package as it came."""
        return (self._folder / f"{code.key}.zip").read_bytes()

    def keep_only(self, used: set[str]) -> None:
        """Remove packages that no version has."""
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            if path.name.removesuffix(".zip") not in used:
                if path.is_dir():
                    _writable(path)
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def _unpack(self, content: bytes, code: Code) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                _extract(archive, partial)
            partial.chmod(0o755)
            (self._folder / f"{code.key}.zip").write_bytes(content)
            if not self.folder(code).is_dir():
                partial.rename(self.folder(code))
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError):
            raise failure("InvalidParameterValueException", UNREADABLE) from None
        finally:
            if partial.is_dir():
                shutil.rmtree(partial, ignore_errors=True)


def _extract(archive: zipfile.ZipFile, folder: Path) -> None:
    """Files and folders below `folder`, readable for all, with the right to run them that the archive gives; links are files."""
    members = archive.infolist()
    if not any(not member.is_dir() for member in members):
        raise failure("InvalidParameterValueException", "Uploaded file must be a non-empty zip")
    total = sum(member.file_size for member in members)
    if total > MAXIMUM_UNPACKED_BYTES:
        raise failure(
            "InvalidParameterValueException", f"Unzipped size must be smaller than {MAXIMUM_UNPACKED_BYTES} bytes"
        )
    for member in members:
        target = Path(os.path.normpath(folder / member.filename))
        if not target.is_relative_to(folder) or target == folder:
            raise failure("InvalidParameterValueException", UNREADABLE)
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = member.external_attr >> 16
        if stat.S_ISLNK(mode):
            text = archive.read(member).decode()
            if not Path(os.path.normpath(target.parent / text)).is_relative_to(folder):
                raise failure("InvalidParameterValueException", UNREADABLE)
            target.symlink_to(text)
            continue
        with archive.open(member) as source, target.open("wb") as out:
            shutil.copyfileobj(source, out)
        target.chmod(0o755 if mode & 0o111 else 0o644)


def _writable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def zip_of(files: dict[str, str]) -> bytes:
    """A package of these texts; the same texts make the same bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(files.items()):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text)
    return made.getvalue()
