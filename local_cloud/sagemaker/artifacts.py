"""model.tar.gz and output.tar.gz: packed fast, and unpacked without trusting what is inside."""

import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

from local_cloud.errors import AwsError


def pack(folders: Iterable[Path], archive: Path) -> bool:
    """Packs the contents of the folders, the first one winning over equal names; False when there is nothing to pack.

    Level 1: weights hardly compress, and a job's end should not wait for trying.
    """
    seen: set[str] = set()
    partial = archive.with_name(f".{archive.name}.partial")
    with tarfile.open(partial, "w:gz", compresslevel=1) as tar:
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                name = path.relative_to(folder).as_posix()
                if name not in seen and (path.is_file() or path.is_dir()):
                    seen.add(name)
                    tar.add(path.resolve() if path.is_symlink() else path, arcname=name, recursive=False)
    if not seen:
        partial.unlink()
        return False
    os.replace(partial, archive)
    return True


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks an archive; refuses members that would leave the folder, links out of it, and device files."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:*") as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise AwsError(
            "ValidationException",
            f"Failed to extract model data archive: {error}. The model data must be a "
            "tar archive compressed with gzip (model.tar.gz) whose members stay inside the folder.",
        ) from error
