"""How the page of a run looks to people: on a telephone, with many classes, with a bias of two groups, without a good explanation."""

import pytest

from tests.analysis_code import test_report as usual
from tests.browser import fits, in_browser

SMALLEST_TEXT = """return await page.evaluate(() => Math.min(...[...document.querySelectorAll('svg text')]
    .filter(text => text.getClientRects().length).map(text => text.getBoundingClientRect().height)))"""
LAST_NUMBER = """return await page.evaluate(() => Math.max(...[...document.querySelectorAll('#evaluation td.n')]
    .map(cell => cell.getBoundingClientRect().right)))"""
HIGHEST_TRIAL = """return await page.evaluate(() => Math.max(...[...document.querySelectorAll('#tuning tbody tr')]
    .map(row => row.getBoundingClientRect().height)))"""


def page_of(job):
    usual.report(job)
    return job.output / "report" / "index.html"


@pytest.mark.parametrize("width", [400, 1280])
def test_the_text_of_charts_can_be_read_on_a_telephone_too(job, aws, width):
    usual.give_everything(job, aws)
    assert 9 <= in_browser(page_of(job), SMALLEST_TEXT, width=width) <= 24


def test_a_trial_takes_one_line_and_is_called_by_what_tells_it_from_the_others(job, aws):
    usual.give_everything(job, aws)
    aws.operations["ListTrainingJobsForHyperParameterTuningJob"] = lambda request: {
        **(answer := usual.trials(request)),
        "TrainingJobSummaries": [one | {"TrainingJobName": f"tune-1-{one['TrainingJobName']}"} for one in answer["TrainingJobSummaries"]],
    }  # fmt: skip
    path = page_of(job)
    assert in_browser(path, HIGHEST_TRIAL, width=400) < 60
    text = usual.Page(path.read_text()).sections["tuning"].partition("All trials")[2]
    assert "trial-3" in text and "tune-1-trial" not in text


def test_many_classes_with_long_names_leave_room_for_their_numbers(job, aws, monkeypatch):
    names = [f"species {n:02d} with a rather long latin name Genus epithet subspecies" for n in range(33)] + ["x" * 200]
    monkeypatch.setattr(usual, "CLASSES", names)
    monkeypatch.setattr(usual, "ANSWERS", [(name, names[(n + 1) % 34], 0.9) for n, name in enumerate(names)])
    usual.give_everything(job, aws)
    path = page_of(job)
    assert fits(path, 1280) and fits(path, 400)
    assert in_browser(path, LAST_NUMBER) <= 1280


def test_a_bias_between_two_groups_is_told_once_and_without_the_words_of_a_library(job, aws):
    usual.give_everything(job, aws)
    metrics = [
        {"name": "KL", "description": "Kullback-Liebler Divergence (KL)", "value": 0.1},
        {"name": "FT", "description": "Flip Test (FT)", "value": None, "error": "Found array with 0 feature(s)"},
    ]
    groups = [{"value_or_threshold": value, "metrics": metrics} for value in ("north", "south")]
    section = {"label_value_or_threshold": "ant", "facets": {"garden": groups}}
    job.give("bias/analysis.json", {"pre_training_bias_metrics": section})
    (job.input / "bias" / "skipped.json").unlink()
    text = usual.report(job).sections["bias"]
    assert "garden = north, compared with the others" in text and "garden = south, compared" not in text
    assert "Of garden = south the same differences have the other sign" in text
    assert "Kullback-Leibler" in text and "0 feature(s)" not in text and "photos do not have" in text


@pytest.mark.parametrize(("fit", "holds"), [(0.8, True), (0.3, False)])
def test_explanations_of_which_none_holds_say_so(job, aws, fit, holds):
    usual.give_everything(job, aws)
    path = job.input / "explanations" / "analysis.json"
    path.write_text(path.read_text().replace('"fit": 0.8', f'"fit": {fit}'))
    assert ("No explanation holds" not in usual.report(job).sections["explanations"]) == holds
