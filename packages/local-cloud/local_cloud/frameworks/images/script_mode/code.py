"""The user's code: fetched to /opt/ml/code, and what its requirements.txt asks for beside the image's packages.

The image's environment is shared and not written to. What is missing there is installed for this container alone, into
a folder that comes before the image's packages on PYTHONPATH.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from urllib.parse import urlsplit

from script_mode import BASE, CODE, NoScript, UserError

PACKAGES = BASE / "packages"
CURES = Path(__file__).parents[1] / "cures"
# `uv pip install --dry-run` names what it would install: " + name==1.0", with a source where it is no index.
MISSING = re.compile(r"^ \+ (?P<package>[^\s=]+==\S+)(?: \(from (?P<source>\S+)\))?$", re.MULTILINE)


def fetch(source: str, program: str) -> Path:
    """The folder with the user's code, unpacked where it is an archive."""
    if not program:
        raise NoScript(
            "No entry point is named: the hyperparameter sagemaker_program and the variable SAGEMAKER_PROGRAM are empty. "
            "Give entry_point= (SDK v2) or source_code= (v3)."
        )
    folder = CODE
    if source.startswith("s3://"):
        archive = BASE / "code.tar.gz"
        _download(source, archive)
        _unpack(archive, folder, source)
    elif source.endswith((".tar.gz", ".tgz")):
        _unpack(Path(source), folder, source)
    else:
        folder = Path(source)
    if "/" not in program and not (folder / program).is_file() and not (folder / program).is_dir():
        here = ", ".join(sorted(path.name for path in folder.glob("*"))) or "nothing"
        raise UserError(f"The entry point {program!r} is not in the code of {source}; there: {here}.")
    return folder


def _download(source: str, target: Path) -> None:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    place = urlsplit(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        boto3.client("s3").download_file(place.netloc, place.path.lstrip("/"), str(target))
    except (BotoCoreError, ClientError) as error:
        raise UserError(f"The code {source} could not be read: {error}") from None


def _unpack(archive: Path, folder: Path, source: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"The code {source} could not be unpacked: {error}") from None


def install_requirements(folder: Path) -> None:
    """Installs what `requirements.txt` asks for and the image lacks; nothing where there is no such file."""
    listed = folder / "requirements.txt"
    if not listed.is_file():
        return
    plan = _uv(["--dry-run", "--python", sys.executable, "-r", str(listed)], folder)
    missing = [
        f"{found['package'].split('==')[0]} @ {found['source']}" if found["source"] else found["package"]
        for found in MISSING.finditer(plan)
    ]
    if not missing:
        print("requirements.txt: the image has all of it", flush=True)
        return
    print(f"requirements.txt: installing {', '.join(missing)}", flush=True)
    _uv(["--python", sys.executable, "--target", str(PACKAGES), "--no-deps", *missing], folder)


def _uv(arguments: list[str], folder: Path) -> str:
    program = shutil.which("uv") or "uv"
    done = subprocess.run([program, "pip", "install", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f'InstallRequirementsError:\nExitCode {done.returncode}\nErrorMessage "{done.stderr.strip()}"\n'
            f'Command "pip install -r requirements.txt"'
        )
    return done.stderr


def python_path(folder: Path) -> str:
    """What the user's process imports first: its code, what was installed for it, what old libraries lack here."""
    return os.pathsep.join([str(folder), str(PACKAGES), str(CURES), *filter(None, [os.environ.get("PYTHONPATH")])])
