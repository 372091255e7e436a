"""The page beside `analysis.json`: the same findings for a person."""

from pathlib import Path
from typing import Any

from analysis_code import pages
from analysis_code.clarify.meaning import MEANINGS, reading, why_absent


def bias_sections(analysis: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The bias results in reading order: labels, then predictions."""
    names = (("pre", "pre_training_bias_metrics"), ("post", "post_training_bias_metrics"))
    return [(stage, analysis[name]) for stage, name in names if name in analysis]


def write_page(path: Path, title: str, analysis: dict[str, Any], folder: Path) -> None:
    """Write `report.html`; pictures come from the output folder."""
    sections = bias_sections(analysis)
    facets = sorted({f"{column} = {group['value_or_threshold']}" for _, section in sections
                     for column, groups in section["facets"].items() for group in groups})  # fmt: skip
    pages.write_page(
        path,
        "clarify.html.j2",
        title=title,
        explanations=analysis.get("explanations", {}).get("kernel_shap"),
        bias_sections=sections,
        facets=facets,
        meanings=MEANINGS,
        reading=reading,
        why_absent=why_absent,
        picture=lambda name: pages.data_uri((folder / name).read_bytes()),
    )
