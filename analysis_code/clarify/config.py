"""`analysis_config.json`, validated as a whole before anything runs.

The fields and their meaning are Clarify's. What this image does not do it refuses by name, so that nobody mistakes a
silent omission for a finding: https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-processing-job-configure-analysis.html
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from contract.failure import JobFailure
from contract.foreign_json import parse
from contract.instances import an_instance_type
from contract.validation import InvalidField, a_choice, a_number, a_text, an_integer

FILE: Final = "analysis_config.json"
TABULAR: Final = "text/csv"
IMAGES: Final = "application/x-image"
PHOTO_TYPES: Final = ("image/jpeg", "image/png")
JSON_TYPE: Final = "application/json"

_TOP: Final = {
    "version", "dataset_type", "headers", "label", "label_values_or_threshold", "label_headers", "facet",
    "group_variable", "predicted_label", "methods", "predictor",
}  # fmt: skip
_METHODS: Final = {"pre_training_bias", "post_training_bias", "shap", "report"}
_REPORT: Final = {"name", "title"}
_SHAP: Final = {"image_config", "num_samples", "seed"}
_IMAGE: Final = {"model_type", "num_segments", "segment_compactness", "feature_extraction_method"}
_PREDICTOR: Final = {
    "model_name", "endpoint_name", "endpoint_name_prefix", "instance_type", "initial_instance_count", "content_type",
    "accept_type",
}  # fmt: skip


@dataclass(frozen=True)
class Facet:
    """A column by which groups are compared; `values`: the group that may be disadvantaged, or none: each in turn."""

    column: str | int
    values: tuple[Any, ...] | None


@dataclass(frozen=True)
class BiasAnalysis:
    """What to compare in a table of labels and predictions; metrics None: the stage is not wanted."""

    headers: tuple[str, ...] | None
    label: str | int
    positive_values: tuple[Any, ...]
    facets: tuple[Facet, ...]
    predicted_label: str | int | None
    group_variable: str | int | None
    pre_training: tuple[str, ...] | None
    post_training: tuple[str, ...] | None


@dataclass(frozen=True)
class Predictor:
    """The model to ask: an endpoint that exists, or a model for which one is made and deleted."""

    model_name: str | None
    endpoint_name: str | None
    instance_type: str = "ml.m5.large"
    instance_count: int = 1
    content_type: str = JSON_TYPE
    accept_type: str = JSON_TYPE
    endpoint_name_prefix: str | None = None


@dataclass(frozen=True)
class ImageAnalysis:
    """How to explain photos."""

    predictor: Predictor
    label_headers: tuple[str, ...] | None
    num_segments: int = 24
    segment_compactness: float = 10.0
    num_samples: int = 192
    seed: int = 0


@dataclass(frozen=True)
class AnalysisConfig:
    """One of the two kinds of analysis, and how its page is called."""

    bias: BiasAnalysis | None = None
    images: ImageAnalysis | None = None
    title: str = "Analysis"
    raw: dict[str, Any] = field(default_factory=dict)


def wrong(name: str, received: Any, allowed: str) -> InvalidField:
    """The failure for a field of the configuration."""
    return InvalidField(f"{FILE}: {name}", received, allowed)


def _column(name: str, value: Any) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise wrong(name, value, "the name or index of a column")
    return value


def _texts(name: str, value: Any, allowed: str) -> tuple[str, ...] | None:
    """Names in a list; none where nothing is given."""
    if value is None or value == []:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise wrong(name, value, allowed)
    return tuple(value)


def read_config(path: Path) -> AnalysisConfig:
    """Read and validate; raise JobFailure naming field, value and what is allowed."""
    try:
        document = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise JobFailure(f"{path}: there is no configuration; mount its folder as the input analysis_config") from None
    except ValueError as error:
        raise JobFailure(f"{path}: not JSON: {error}") from None
    if not isinstance(document, dict):
        raise wrong("the document", document, "a JSON object")
    _known("the document", document, _TOP)
    methods = document.get("methods")
    if not isinstance(methods, dict) or not methods:
        raise wrong("methods", methods, f"an object with at least one of {sorted(_METHODS)}")
    _known("methods", methods, _METHODS)
    _known("methods.report", methods.get("report", {}), _REPORT)
    title = a_text(f"{FILE}: methods.report.title", methods.get("report", {}).get("title", "Analysis"))
    kind = document.get("dataset_type")
    if kind == TABULAR:
        return AnalysisConfig(bias=_bias(document, methods), title=title, raw=document)
    if kind == IMAGES:
        return AnalysisConfig(images=_images(document, methods), title=title, raw=document)
    raise wrong("dataset_type", kind, f"{TABULAR} (bias), {IMAGES} (explanations)")


def _known(where: str, values: Any, known: set[str]) -> None:
    if not isinstance(values, dict):
        raise wrong(where, values, "an object")
    unknown = sorted(set(values) - known)
    if unknown:
        raise JobFailure(f"{FILE}: {where}: this image does not support {unknown}; supported: {sorted(known)}")


def _bias(document: dict[str, Any], methods: dict[str, Any]) -> BiasAnalysis:
    if "shap" in methods:
        raise wrong("methods.shap", methods["shap"], f"explanations are made of photos: dataset_type {IMAGES}")
    if "predictor" in document:
        raise wrong("predictor", document["predictor"], "predictions as a column of the table: name it predicted_label")
    positive, facets = document.get("label_values_or_threshold"), document.get("facet")
    label = _column("label", document.get("label"))
    if not isinstance(positive, list) or not positive:
        raise wrong("label_values_or_threshold", positive, "a list of the values that count as the positive outcome")
    if not isinstance(facets, list) or not facets:
        raise wrong("facet", facets, '[{"name_or_index": "<column>", "value_or_threshold": ["<value>", …]}]')
    predicted, group = (
        None if document.get(name) is None else _column(name, document[name])
        for name in ("predicted_label", "group_variable")
    )
    if "post_training_bias" in methods and predicted is None:
        raise wrong("predicted_label", None, "the column of the predictions; methods.post_training_bias needs it")
    return BiasAnalysis(
        headers=_texts(
            "headers", document.get("headers"), "column names in a list, or nothing: the first row holds them"
        ),
        label=label,
        positive_values=tuple(positive),
        facets=tuple(_facet(index, one) for index, one in enumerate(facets)),
        predicted_label=predicted,
        group_variable=group,
        pre_training=_metrics("pre_training_bias", methods),
        post_training=_metrics("post_training_bias", methods),
    )


def _facet(index: int, values: Any) -> Facet:
    name = f"facet[{index}]"
    _known(name, values, {"name_or_index", "value_or_threshold"})
    column, chosen = _column(f"{name}.name_or_index", values.get("name_or_index")), values.get("value_or_threshold")
    if chosen is not None and (not isinstance(chosen, list) or not chosen):
        raise wrong(f"{name}.value_or_threshold", chosen, "a list of values, one threshold in a list, or nothing")
    return Facet(column, tuple(chosen) if chosen else None)


def _metrics(stage: str, methods: dict[str, Any]) -> tuple[str, ...] | None:
    if stage not in methods:
        return None
    _known(f"methods.{stage}", methods[stage], {"methods"})
    names = methods[stage].get("methods", "all")
    if names == "all" or names == ["all"]:
        return ("all",)
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        return tuple(names)
    raise wrong(f"methods.{stage}.methods", names, '"all" or a list of metric names')


def _images(document: dict[str, Any], methods: dict[str, Any]) -> ImageAnalysis:
    for name in ("pre_training_bias", "post_training_bias"):
        if name in methods:
            raise wrong(f"methods.{name}", methods[name], f"bias is measured in a table: dataset_type {TABULAR}")
    if "shap" not in methods:
        raise wrong("methods", sorted(methods), "shap, with image_config")
    shap = methods["shap"]
    _known("methods.shap", shap, _SHAP)
    image = shap.get("image_config", {})
    _known("methods.shap.image_config", image, _IMAGE)
    of_shap, of_image = f"{FILE}: methods.shap.", f"{FILE}: methods.shap.image_config."
    for name, only in (("model_type", "IMAGE_CLASSIFICATION"), ("feature_extraction_method", "segmentation")):
        a_choice(of_image + name, image.get(name, only), (only,))
    classes = "the names of the classes in the order of the model's output"
    compactness = image.get("segment_compactness", ImageAnalysis.segment_compactness)
    return ImageAnalysis(
        predictor=_predictor(document.get("predictor")),
        label_headers=_texts("label_headers", document.get("label_headers"), classes),
        num_segments=an_integer(
            f"{of_image}num_segments", image.get("num_segments", ImageAnalysis.num_segments), 2, 200
        ),
        segment_compactness=a_number(f"{of_image}segment_compactness", compactness, 0.01, 1000),
        num_samples=an_integer(f"{of_shap}num_samples", shap.get("num_samples", ImageAnalysis.num_samples), 8, 10_000),
        seed=an_integer(f"{of_shap}seed", shap.get("seed", ImageAnalysis.seed), 0, 2**32 - 1),
    )


def _predictor(values: Any) -> Predictor:
    if values is None:
        raise wrong("predictor", None, "the model to ask: model_name and instance_type, or endpoint_name")
    _known("predictor", values, _PREDICTOR)
    names = {name: values.get(name) for name in ("model_name", "endpoint_name", "endpoint_name_prefix")}
    for name, value in names.items():
        if value is not None:
            a_text(f"{FILE}: predictor.{name}", value, longest=63, empty=False)
    if (names["model_name"] is None) == (names["endpoint_name"] is None):
        raise wrong("predictor", values, "either model_name or endpoint_name")
    content = values.get("content_type", JSON_TYPE)
    if content not in (*PHOTO_TYPES, JSON_TYPE):
        several = f"{JSON_TYPE} (several photos a request), {', '.join(PHOTO_TYPES)}"
        raise wrong("predictor.content_type", content, several)
    kind = values.get("instance_type", Predictor.instance_type)
    return Predictor(
        **names,
        instance_type=an_instance_type(f"{FILE}: predictor.instance_type", kind),
        instance_count=an_integer(
            f"{FILE}: predictor.initial_instance_count", values.get("initial_instance_count", 1), 1, 100
        ),
        content_type=content,
        accept_type=a_text(f"{FILE}: predictor.accept_type", values.get("accept_type", JSON_TYPE), empty=False),
    )
