"""Bias metrics against values computed by hand, in Clarify's format; unsupported fields are refused by name."""

import csv
import io

import pytest

# (facet, label, prediction): how many photos
COUNTS = {
    ("mono", "bad", "bad"): 24, ("mono", "bad", "good"): 6, ("mono", "good", "bad"): 3, ("mono", "good", "good"): 27,
    ("poly", "bad", "bad"): 5, ("poly", "bad", "good"): 5, ("poly", "good", "bad"): 6, ("poly", "good", "good"): 24,
}  # fmt: skip
CONFIG = {
    "dataset_type": "text/csv",
    "headers": ["label", "predicted_label", "cell"],
    "label": "label",
    "label_values_or_threshold": ["bad"],
    "predicted_label": "predicted_label",
    "facet": [{"name_or_index": "cell", "value_or_threshold": ["poly"]}],
    "methods": {
        "pre_training_bias": {"methods": "all"},
        "post_training_bias": {"methods": "all"},
        "report": {"name": "report", "title": "Bias of cells"},
    },
}


def rows() -> list[list[str]]:
    return [[label, said, cell] for (cell, label, said), n in COUNTS.items() for _ in range(n)]


def table(content: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(content)
    return text.getvalue()


def measured(job, config=None, content=None):
    job.give("config/analysis_config.json", CONFIG | (config or {}))
    job.give("data/predictions.csv", table(rows() if content is None else content))
    assert job.run() == 0
    return job.result("analysis.json")


def metrics(analysis, stage, column="cell", place=0):
    return {
        one["name"]: one["value"]
        for one in analysis[f"{stage}_training_bias_metrics"]["facets"][column][place]["metrics"]
    }


def test_the_labels_are_compared_between_groups(job):
    found = metrics(measured(job), "pre")
    assert found["CI"] == pytest.approx((60 - 40) / 100)
    assert found["DPL"] == pytest.approx(30 / 60 - 10 / 40)
    assert found["TVD"] == pytest.approx(0.25)
    assert found["KS"] == pytest.approx(0.25)
    assert found["LP"] == pytest.approx((2 * 0.25**2) ** 0.5)


def test_the_predictions_are_compared_between_groups(job):
    found = metrics(measured(job), "post")
    assert found["DPPL"] == pytest.approx(27 / 60 - 11 / 40)
    assert found["DI"] == pytest.approx((11 / 40) / (27 / 60))
    assert found["AD"] == pytest.approx((24 + 27) / 60 - (5 + 24) / 40)
    assert found["RD"] == pytest.approx(24 / 30 - 5 / 10)
    assert found["SD"] == pytest.approx(24 / 30 - 27 / 30)  # by definition this group minus the others, as DRR and TE
    assert found["DAR"] == pytest.approx(24 / 27 - 5 / 11)
    assert found["DRR"] == pytest.approx(24 / 29 - 27 / 33)
    assert found["DCA"] == pytest.approx(30 / 27 - 10 / 11)
    assert found["TE"] == pytest.approx(5 / 6 - 6 / 3)


def test_equal_groups_show_nothing(job):
    equal = [
        [label, said, cell]
        for label, said, cell in [("bad", "bad", c) for c in ("mono", "poly")] * 10
        + [("good", "good", c) for c in ("mono", "poly")] * 10
    ]
    analysis = measured(job, content=equal)
    assert all(metrics(analysis, "post")[name] == 0 for name in ("DPPL", "AD", "RD", "SD"))
    assert metrics(analysis, "post")["DI"] == 1


def test_the_result_has_clarifys_shape_and_a_page(job):
    analysis = measured(job)
    assert analysis["version"] == "1.0"
    section = analysis["post_training_bias_metrics"]
    assert (section["label"], section["label_value_or_threshold"]) == ("label", "bad")
    (group,) = section["facets"]["cell"]
    assert group["value_or_threshold"] == "poly"
    assert {"name", "description", "value"} <= set(group["metrics"][0])
    page = (job.output / "report.html").read_text()
    assert "Bias of cells" in page and "cell = poly" in page and "http" not in page.replace("http-equiv", "")


def test_without_a_value_each_group_is_compared_with_the_others(job):
    analysis = measured(job, {"facet": [{"name_or_index": "cell"}]})
    assert [one["value_or_threshold"] for one in analysis["pre_training_bias_metrics"]["facets"]["cell"]] == [
        "mono",
        "poly",
    ]
    assert metrics(analysis, "pre", place=0)["CI"] == -metrics(analysis, "pre", place=1)["CI"]


def test_a_numeric_facet_is_split_at_its_threshold(job):
    content = [[label, said, "30.5" if cell == "mono" else "61.25"] for label, said, cell in rows()]
    analysis = measured(job, {"facet": [{"name_or_index": "cell", "value_or_threshold": [50]}]}, content)
    assert metrics(analysis, "post")["AD"] == pytest.approx(51 / 60 - 29 / 40)


def test_a_first_row_of_headers_is_read_where_none_are_given(job):
    config = {name: value for name, value in CONFIG.items() if name != "headers"}
    job.give("config/analysis_config.json", config)
    job.give("data/a.csv", table([CONFIG["headers"], *rows()]))
    assert job.run() == 0
    assert metrics(job.result("analysis.json"), "pre")["DPL"] == pytest.approx(0.25)


def test_only_the_metrics_asked_for_are_computed(job):
    analysis = measured(job, {"methods": {"post_training_bias": {"methods": ["AD", "DI"]}}})
    assert set(metrics(analysis, "post")) == {"AD", "DI"}
    assert "pre_training_bias_metrics" not in analysis


def test_a_metric_that_cannot_be_computed_says_why(job):
    found = measured(job)["pre_training_bias_metrics"]["facets"]["cell"][0]["metrics"]
    (cddl,) = [one for one in found if one["name"] == "CDDL"]
    assert cddl["value"] is None and "Group variable" in cddl["error"]


def test_many_classes_are_collapsed_to_the_positive_ones(job):
    content = [[f"class {i % 5}", f"class {(i + i % 3) % 5}", "mono" if i % 2 else "poly"] for i in range(60)]
    analysis = measured(job, {"label_values_or_threshold": ["class 1", "class 3"]}, content)
    assert analysis["pre_training_bias_metrics"]["label_value_or_threshold"] == "class 1,class 3"
    positive = [row[2] for row in content if row[0] in ("class 1", "class 3")]
    assert metrics(analysis, "pre")["DPL"] == pytest.approx(positive.count("mono") / 30 - positive.count("poly") / 30)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"label": "truth"}, "truth"),
        ({"label_values_or_threshold": ["terrible"]}, "terrible"),
        ({"facet": [{"name_or_index": "cell", "value_or_threshold": ["multi"]}]}, "multi"),
        ({"facet": []}, "facet"),
        ({"facet": [{"name": "cell"}]}, "name"),
        ({"predicted_label": None}, "predicted_label"),
        ({"dataset_type": "application/x-parquet"}, "application/x-parquet"),
        ({"methods": {"pdp": {}}}, "pdp"),
        ({"methods": {}}, "methods"),
        ({"group_variable": {}}, "group_variable: received {}"),
        ({"label": True}, "label: received True"),
        ({"predictor": {"model_name": "m"}}, "predictor"),
        ({"joinsource_name_or_index": "id"}, "joinsource_name_or_index"),
        ({"methods": {"post_training_bias": {"methods": ["XYZ"]}}}, "Invalid metric_name"),
        ({"headers": ["label", "predicted_label"]}, "3 columns"),
    ],
)
def test_what_is_wrong_or_unsupported_is_refused_by_name(job, change, named):
    job.give(
        "config/analysis_config.json", {name: value for name, value in (CONFIG | change).items() if value is not None}
    )
    job.give("data/predictions.csv", table(rows()))
    assert job.run() == 1
    assert named in job.message and "not an expected failure" not in job.message
    assert not (job.output / "analysis.json").exists()


def test_a_missing_configuration_or_table_is_named(job):
    assert job.run() == 1
    assert "analysis_config.json" in job.message
    job.give("config/analysis_config.json", CONFIG)
    job.input.joinpath("data").mkdir()
    assert job.run("clarify") == 1
    assert "there is no table" in job.message


def test_another_command_is_refused(job, capsys):
    assert job.run("explain") == 2
    assert "usage" in capsys.readouterr().err
