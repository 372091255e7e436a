"""What a bias metric says, for someone who has to decide something: the question, and when the answer is worth a look.

The bands are Darkroom's own reading aids, not part of Clarify: a metric is a hint, a person judges.
"""

from typing import Any, Final, NamedTuple


class Meaning(NamedTuple):
    """`ideal`: the value of equal treatment; within `band` of it nothing stands out."""

    question: str
    ideal: float = 0.0
    band: float | None = 0.1


MEANINGS: Final = {
    "CI": Meaning("Are there as many photos of this group as of the others? 1: hardly any.", band=0.6),
    "DPL": Meaning("Do the true labels hold the positive class as often in this group as in the others?"),
    "JS": Meaning("How differently are the true labels distributed in the two groups?"),
    "KL": Meaning("How differently are the true labels distributed, seen from the other groups?"),
    "KS": Meaning("What is the largest gap between the label shares of the two groups?"),
    "LP": Meaning("How far apart are the label shares of the two groups, as a distance?", band=0.15),
    "TVD": Meaning("What share of labels would have to move for the groups to look alike?"),
    "CDDL": Meaning("Within subgroups: is this group more often among the negatives than among the positives?"),
    "DPPL": Meaning("Does the model predict the positive class as often in this group as in the others?"),
    "DI": Meaning("How often is the positive class predicted here, as a multiple of the others?", ideal=1.0, band=0.2),
    "DCA": Meaning("Does the model find as many positives as there are, equally in both groups? (ratio)", band=0.15),
    "DCR": Meaning("Does the model find as many negatives as there are, equally in both groups? (ratio)", band=0.15),
    "RD": Meaning("Does the model find true positives equally well in both groups? (recall)"),
    "SD": Meaning("Does the model find true negatives equally well in both groups? (specificity)"),
    "DAR": Meaning("Is a positive prediction equally trustworthy in both groups? (precision)"),
    "DRR": Meaning("Is a negative prediction equally trustworthy in both groups?"),
    "AD": Meaning("Is the model as accurate for this group as for the others?"),
    "TE": Meaning("Are misses and false alarms in the same proportion in both groups?", band=0.5),
    "CDDPL": Meaning("Within subgroups: does the model put this group among the negatives more often?"),
    "FT": Meaning("Would photos of this group be judged differently if they were of the other group?"),
    "GE": Meaning("How unevenly is the benefit of predictions spread over all photos?", band=None),
}


def reading(metric: dict[str, Any]) -> str:
    """`fine`, `look` (outside the band), `unknown` (not computed) or `plain` (no band)."""
    value, meaning = metric.get("value"), MEANINGS.get(metric["name"])
    if value is None:
        return "unknown"
    if meaning is None or meaning.band is None:
        return "plain"
    if not isinstance(value, int | float):  # "Infinity"
        return "look"
    return "fine" if abs(value - meaning.ideal) <= meaning.band else "look"


# What smclarify answers where its input lacks a column is the error of a library inside of it.
_ABSENT: Final = {
    "CDDL": "it needs a column that divides the photos into further groups",
    "CDDPL": "it needs a column that divides the photos into further groups",
    "FT": "it compares rows of a table by their features, which photos do not have",
}


def why_absent(metric: dict[str, Any]) -> str:
    """Why a metric has no value, for a person; the library's own words are in `analysis.json`."""
    return _ABSENT.get(metric["name"]) or str(metric.get("error") or "no reason was given")
