"""Small pictures of the photos that were judged wrongly, fetched one by one from the run's own folder."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import cv2
import simplejpeg
from botocore.exceptions import BotoCoreError, ClientError
from markupsafe import Markup

from analysis_code import pages
from analysis_code.report.evaluation import Mistake
from analysis_code.report.inputs import Missing
from analysis_code.report.training import client
from contract.decode import UnreadablePhoto, decode

log = logging.getLogger("report")
_SIDE: Final = 240


def thumbnail(photo: bytes) -> Markup:
    """A photo as a small picture within the page; raise UnreadablePhoto."""
    rgb = decode(photo)
    scale = min(1.0, _SIDE / max(rgb.shape[:2]))
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    return pages.data_uri(
        simplejpeg.encode_jpeg(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), quality=82), "image/jpeg"
    )


def mistake_pictures(
    mistakes: list[Mistake], uri: str | None, photos: list[dict[str, str]] | Missing
) -> dict[str, Markup] | Missing:
    """Pictures by file name, fetched from `<uri>/test/`; the manifest says what a photo is called there."""
    if not mistakes:
        return {}
    if not uri or not uri.startswith("s3://"):
        return Missing("the place of the test photos was not noted")
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    objects = {photo["path"]: photo.get("object") for photo in photos or [] if "path" in photo}
    s3 = client("s3")

    def fetch(mistake: Mistake) -> Markup | str:
        try:
            key = f"{prefix}/test/{objects.get(mistake.file) or mistake.file}"
            return thumbnail(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except (ClientError, BotoCoreError, UnreadablePhoto) as error:
            return f"{Path(mistake.file).name}: {error}"

    with ThreadPoolExecutor(4) as threads:
        answers: list[Any] = list(threads.map(fetch, mistakes))
    for answer in answers:
        if not isinstance(answer, Markup):
            log.error("no picture of %s", answer)
    pictures = {one.file: answer for one, answer in zip(mistakes, answers, strict=True) if isinstance(answer, Markup)}
    return pictures or Missing(f"none could be fetched; {answers[0]}", failed=True)
