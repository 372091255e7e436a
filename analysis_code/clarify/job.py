"""The Clarify job: configuration and data in, `analysis.json` and `report.html` out."""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from analysis_code.clarify.config import AnalysisConfig, ImageAnalysis, read_config
from contract.decode import UnreadablePhoto, decode
from contract.failure import JobFailure, base_directory
from contract.whole_file import whole_file, write_json

log = logging.getLogger("clarify")
PICTURES = "explanations_shap"


def run(arguments: list[str]) -> None:
    """Do what `input/config/analysis_config.json` asks for."""
    begin = time.monotonic()
    processing = base_directory() / "processing"
    config = read_config(processing / "input" / "config" / "analysis_config.json")
    data, output = processing / "input" / "data", processing / "output"
    output.mkdir(parents=True, exist_ok=True)
    analysis = {"version": "1.0", **(_bias(config, data) if config.bias else _explanations(config, data, output))}
    from analysis_code.clarify.page import write_page

    write_page(output / "report.html", config.title, analysis, output)
    write_json(output / "analysis.json", analysis)
    log.info("analysis.json and report.html written after %.1f s", time.monotonic() - begin)


def _bias(config: AnalysisConfig, data: Path) -> dict[str, Any]:
    from analysis_code.clarify.bias import measure, read_table

    table = read_table(data, config.bias.headers)
    log.info("measuring bias in %d rows", len(table))
    return measure(table, config.bias)


def _explanations(config: AnalysisConfig, data: Path, output: Path) -> dict[str, Any]:
    from analysis_code.clarify.endpoint import Model, endpoint_for

    photos = _read_photos(data)
    with endpoint_for(config.images.predictor) as endpoint:
        model = Model(endpoint, config.images.predictor, config.images.label_headers)
        images = [_explain(name, photo, model, config.images, output) for name, photo in photos]
    settings = {"num_segments": config.images.num_segments, "num_samples": config.images.num_samples}
    return {"explanations": {"kernel_shap": {"label_headers": list(model.labels), **settings, "images": images}}}


def _read_photos(data: Path) -> list[tuple[str, np.ndarray]]:
    from analysis_code.clarify.shap import shrink

    files = sorted(path for path in data.rglob("*") if path.is_file() and not path.name.startswith("."))
    photos = []
    for file in files:
        name = file.relative_to(data).as_posix()
        try:
            photos.append((name, shrink(decode(file.read_bytes()))))
        except UnreadablePhoto as error:
            log.warning("%s is left out: %s", name, error)
    if not photos:
        raise JobFailure(f"{data}: none of {len(files)} files is a readable photo; mount photos as the input dataset")
    return photos


def _explain(name: str, photo: np.ndarray, model: Any, settings: ImageAnalysis, output: Path) -> dict[str, Any]:
    from analysis_code.clarify.pictures import heat_map
    from analysis_code.clarify.shap import explain

    begin = time.monotonic()
    found = explain(
        photo, model.ask, settings.num_segments, settings.segment_compactness, settings.num_samples, settings.seed
    )
    best = int(found.full.argmax())
    values = found.values[:, best]
    stem = name.replace("/", "__").rsplit(".", 1)[0]
    pictures = {"photo": f"{PICTURES}/{stem}.photo.png", "heat_map": f"{PICTURES}/{stem}.heat_map.png"}
    _save(output / pictures["photo"], photo)
    _save(output / pictures["heat_map"], heat_map(photo, found.segments, values))
    folder = name.split("/")[-2] if "/" in name else None
    log.info("%s: %s, explained in %.1f s", name, model.labels[best], time.monotonic() - begin)
    return {
        "file": name,
        "true_label": folder if folder in model.labels else None,
        "predicted_label": model.labels[best],
        "probability": round(float(found.full[best]), 6),
        "blurred_probability": round(float(found.blurred[best]), 6),
        "fit": round(found.fit, 4),
        "segments": [_segment(index, found.segments, value) for index, value in enumerate(values)],
        **pictures,
    }


def _segment(index: int, segments: np.ndarray, value: float) -> dict[str, Any]:
    rows, columns = np.nonzero(segments == index)
    box = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
    return {"id": index, "value": round(float(value), 6), "box": box, "pixels": len(rows)}


def _save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        Image.fromarray(picture).save(temporary, "PNG", compress_level=6)
