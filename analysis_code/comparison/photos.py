"""The photos on which the candidates disagree most, read one by one from S3: nothing else of the set is needed here."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from botocore.exceptions import BotoCoreError, ClientError

from analysis_code.aws import client
from analysis_code.comparison.candidates import Candidate
from contract import sheet
from contract.decode import UnreadablePhoto, decode

THUMBNAIL = 144


@dataclass(frozen=True)
class Disagreement:
    """One test photo: what its owner calls it, its label, what each candidate answered, and a small picture of it as a data URI."""

    name: str
    label: str
    answers: dict[str, tuple[str, float]]
    picture: str | None


def user_names(manifest: Path) -> dict[str, str]:
    """By the object of a test photo its path in the user's data set, from the manifest that `prepare` wrote."""
    with manifest.open(newline="", encoding="utf-8") as stream:
        return {row["object"]: row["path"] for row in sheet.read_rows(stream) if row["object"]}


def disagreements(
    candidates: Sequence[Candidate], test_uri: str | None, names: Mapping[str, str], most: int = 12
) -> list[Disagreement]:
    """Ordered by how evenly right and wrong are divided; photos that all answer alike are left out.

    Smoke tests take part only where there are not two others.
    """
    answered = [c for c in candidates if c.finished and "test" in c.splits]
    learnt = [c for c in answered if c.description.get("pretrained", True)]
    done = learnt if len(learnt) > 1 else answered
    if len(done) < 2:
        return []
    answers = np.stack([c.splits["test"].predicted for c in done])
    right = np.stack([c.splits["test"].correct for c in done]).mean(axis=0)
    differ = np.flatnonzero((answers != answers[0]).any(axis=0))
    chosen = sorted(differ, key=lambda i: (abs(right[i] - 0.5), i))[:most]
    classes = done[0].manifest["classes"]
    test = done[0].splits["test"]
    return [
        Disagreement(
            name=names.get(test.photo_ids[i], test.photo_ids[i]),
            label=classes[test.labels[i]],
            answers={
                c.name: (
                    classes[c.splits["test"].predicted[i]],
                    float(c.splits["test"].probabilities[i].max()),
                )
                for c in done
            },
            picture=_thumbnail(test_uri, test.photo_ids[i]) if test_uri else None,
        )
        for i in chosen
    ]


def _thumbnail(test_uri: str, photo_id: str) -> str | None:
    """A photo that cannot be had any more is shown as missing, not as a failed comparison."""
    bucket, _, prefix = test_uri.removeprefix("s3://").partition("/")
    s3 = client("s3")
    try:
        data = s3.get_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/{photo_id}")["Body"].read()
        rgb = decode(data)
    except (ClientError, BotoCoreError, UnreadablePhoto) as error:
        print(f"No picture of {photo_id}: {error}")
        return None
    scale = THUMBNAIL / max(rgb.shape[:2])
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    ok, jpeg = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if ok else None
