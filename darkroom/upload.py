"""Brings the data of `--data` into the data bucket, or checks that an S3 URI is there."""

import hashlib
import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from botocore.exceptions import ClientError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from contract.names import DATA_BUCKET, DATASETS
from darkroom import dataset
from darkroom.failure import DarkroomError
from darkroom.target import Target

# Locally one PUT is fastest by far; S3 itself takes up to 5 GB in one, but a broken upload starts again.
LOCAL_PART = 4 * 1024**3
AWS_PART = 64 * 1024**2


def provide(target: Target, data: str, console: Console) -> tuple[str, str]:
    """The S3 URI of the data and a short name for it. Raises DarkroomError for what cannot be used."""
    if data.startswith("s3://"):
        data = _require_object(target, data)
        return data, dataset.slug(Path(urlsplit(data).path.rstrip("/")).stem)
    if "://" in data:
        raise DarkroomError(
            f"--data {data}: only folders, .zip files, manifests and s3:// URIs can be used.", "Download it first."
        )
    path = Path(data)
    if path.is_file() and path.suffix.lower() == ".zip":
        return _upload_zip(target, path, console), dataset.slug(path.stem)
    surveyed = dataset.survey(path)
    return _upload_folder(target, surveyed, console), dataset.slug(
        path.resolve().stem if path.is_file() else path.resolve().name
    )


def _upload_folder(target: Target, surveyed: dataset.Survey, console: Console) -> str:
    name = dataset.slug(surveyed.root.resolve().name)
    with _progress(console) as progress:
        row = progress.add_task(f"Reading {surveyed.photos} photos", total=surveyed.size)
        mark = dataset.fingerprint(surveyed, lambda size: progress.advance(row, size))
        key = f"{DATASETS}{name}-{mark[:12]}.zip"
        bucket = target.parameter(DATA_BUCKET)
        if _exists(target, bucket, key):
            console.print(f"  {surveyed.photos} photos are there already: s3://{bucket}/{key}", soft_wrap=True)
            return f"s3://{bucket}/{key}"
        packed = _own_folder(target.home.folder("uploads")) / Path(key).name
        try:
            row = progress.add_task("Packing", total=surveyed.size)
            dataset.pack(surveyed, packed, lambda size: progress.advance(row, size))
            _put(target, packed, bucket, key, progress)
        finally:
            shutil.rmtree(packed.parent)
    console.print(f"  {surveyed.photos} photos uploaded: s3://{bucket}/{key}", soft_wrap=True)
    return f"s3://{bucket}/{key}"


def _own_folder(uploads: Path) -> Path:
    """A folder of this process for what it packs; what a killed process has left beside it goes."""
    for left in uploads.iterdir():
        if left.name.isdigit() and psutil.pid_exists(int(left.name)):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    own = uploads / str(os.getpid())
    own.mkdir(exist_ok=True)
    return own


def _upload_zip(target: Target, path: Path, console: Console) -> str:
    with path.open("rb") as handle:
        mark = hashlib.file_digest(handle, "sha256").hexdigest()
    bucket, key = target.parameter(DATA_BUCKET), f"{DATASETS}{dataset.slug(path.stem)}-{mark[:12]}.zip"
    if not _exists(target, bucket, key):
        with _progress(console) as progress:
            _put(target, path, bucket, key, progress)
    return f"s3://{bucket}/{key}"


def _put(target: Target, path: Path, bucket: str, key: str, progress: Progress) -> None:
    from boto3.s3.transfer import TransferConfig

    row = progress.add_task("Uploading", total=path.stat().st_size)
    parts = TransferConfig(multipart_threshold=LOCAL_PART if target.is_local else AWS_PART)
    target.client("s3").upload_file(
        str(path), bucket, key, Callback=lambda size: progress.advance(row, size), Config=parts,
        ExtraArgs={"ContentType": "application/zip"},
    )  # fmt: skip


def _progress(console: Console) -> Progress:
    columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _exists(target: Target, bucket: str, key: str) -> bool:
    try:
        target.client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True


def _require_object(target: Target, uri: str) -> str:
    """The URI of what is there; a folder gets its slash, since `sets/pets` would also be `sets/pets-old` to S3."""
    match = re.fullmatch(r"s3://([^/]+)/(.*)", uri)
    if not match or not match[2]:
        raise DarkroomError(
            f"--data {uri} names no object or prefix.", "Write s3://BUCKET/FOLDER/ or s3://BUCKET/PHOTOS.zip"
        )
    is_zip = match[2].lower().endswith(".zip")
    prefix = match[2] if is_zip or match[2].endswith("/") else f"{match[2]}/"
    try:
        listing = target.client("s3").list_objects_v2(Bucket=match[1], Prefix=prefix, MaxKeys=1)
    except ClientError as error:
        raise DarkroomError(f"--data {uri}: {error}", "Check the bucket's name and your rights: aws s3 ls") from None
    if not listing.get("KeyCount"):
        raise DarkroomError(
            f"--data {uri}: there is no object under this name.", f"See what is there: aws s3 ls s3://{match[1]}/"
        )
    return f"s3://{match[1]}/{prefix}"
