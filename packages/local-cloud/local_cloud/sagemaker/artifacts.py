"""model.tar.gz and output.tar.gz: packed fast, and unpacked without trusting what is inside."""

import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

from local_cloud.errors import AwsError
from local_cloud.sagemaker.outputs import Outputs


def pack(folders: Iterable[Path], archive: Path, outputs: Outputs) -> bool:
    """Packs the contents of the folders, the first one winning over equal names; False when there is nothing to pack.

    What is not the job's own is left behind (outputs.py).

    Level 1: weights hardly compress, and a job's end should not wait for trying.
    """
    seen: set[str] = set()
    root = outputs.root.resolve()
    partial = archive.with_name(f".{archive.name}.partial")
    with tarfile.open(partial, "w:gz", compresslevel=1) as tar:
        for folder in folders:
            own, real = set(outputs.files(folder)), outputs.real(folder)
            for path in sorted(folder.rglob("*")):
                name = path.relative_to(folder).as_posix()
                if name in seen or not (path in own or _is_own_folder(path, real, root, outputs)):
                    continue
                seen.add(name)
                tar.add(outputs.real(path), arcname=name, recursive=False)
    if not seen:
        partial.unlink()
        return False
    os.replace(partial, archive)
    return True


def _is_own_folder(path: Path, folder: Path, root: Path, outputs: Outputs) -> bool:
    try:
        real = outputs.real(path)
    except FileNotFoundError:
        return False
    return real.is_dir() and folder.is_relative_to(root) and real.is_relative_to(folder)


_LEADS_OUT = "leads out of the folder, by its path or as a link, or is a device"


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks an archive; refuses members that would leave the folder, links out of it, and device files."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:*") as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        # Python's own words name the folder of this machine that the member would have left.
        why = (
            f"{error.tarinfo.name!r} {_LEADS_OUT}" if isinstance(error, tarfile.FilterError) else str(error).rstrip(".")
        )
        raise AwsError(
            "ValidationException",
            f"Failed to extract model data archive: {why}. The model data must be a "
            "tar archive compressed with gzip (model.tar.gz) whose members stay inside the folder.",
        ) from error
