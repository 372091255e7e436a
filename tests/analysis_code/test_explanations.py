"""Region attributions: the arithmetic on games with known answers, and the whole job on a model with a planted region."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from analysis_code.clarify.pictures import heat_map
from analysis_code.clarify.shap import coalitions, explain, segment, solve
from tests.inference_code.photos import encode, scene
from tests.inference_code.tiny_model import CLASSES

CONFIG = {
    "dataset_type": "application/x-image",
    "label_headers": list(CLASSES),
    "predictor": {
        "model_name": "darkroom-dev-1a2b3c4d-model",
        "endpoint_name_prefix": "darkroom-dev-1a2b3c4d",
        "instance_type": "ml.m5.large",
        "initial_instance_count": 1,
        "content_type": "image/png",
        "accept_type": "application/json",
    },
    "methods": {
        "shap": {
            "num_samples": 96,
            "seed": 1,
            "image_config": {"model_type": "IMAGE_CLASSIFICATION", "num_segments": 12},
        }
    },
}


def test_ten_thousand_pictures_are_not_in_memory_at_once():
    asked = []

    def ask(photos: list[np.ndarray]) -> np.ndarray:
        asked.append(len(photos))
        values = np.array([photo[:10, :10].mean() / 255 for photo in photos])
        return np.stack([values, 1 - values], axis=1)

    found = explain(scene(40, 40), ask, 20, 10.0, 1000, 0)
    assert max(asked) <= 128 and sum(asked) > 500
    assert found.values.sum(axis=0) == pytest.approx(found.full - found.blurred, abs=1e-9)


def photo_with_red_corner() -> np.ndarray:
    photo = np.full((96, 96, 3), (20, 110, 60), dtype=np.uint8)
    photo[:48, :48] = (240, 30, 30)
    return photo


def values_of(game, players: int, samples: int) -> np.ndarray:
    """Shapley values of a game (a function of who takes part) by the job's own steps."""
    shown = coalitions(players, samples, np.random.default_rng(0))
    answers = np.array([[game(one)] for one in shown], dtype=float).reshape(len(shown), 1)
    full, empty = np.array([game(np.ones(players, bool))], float), np.array([game(np.zeros(players, bool))], float)
    return solve(shown, answers, full, empty)[0][:, 0]


def test_equal_players_share_equally():
    assert values_of(lambda one: float(one.sum() >= 2), 3, 100) == pytest.approx([1 / 3] * 3)


def test_the_glove_game_has_its_textbook_answer():
    left, right_1, right_2 = range(3)
    game = lambda one: float(one[left] and (one[right_1] or one[right_2]))  # noqa: E731
    assert values_of(game, 3, 100) == pytest.approx([4 / 6, 1 / 6, 1 / 6])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=14))
def test_parts_that_only_add_up_are_found_exactly(weights):
    assert values_of(lambda one: 0.3 + float(one @ np.array(weights)), len(weights), 120) == pytest.approx(
        weights, abs=1e-9
    )


def test_sampled_values_come_close_to_the_exact_ones():
    weights = np.random.default_rng(5).normal(size=10)
    game = lambda one: float(np.tanh(one @ weights))  # noqa: E731
    assert values_of(game, 10, 400) == pytest.approx(values_of(game, 10, 2000), abs=0.1)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(2, 30))
def test_every_pixel_belongs_to_one_segment(height, width, wanted):
    segments = segment(scene(height, width), wanted, 10.0)
    assert segments.shape == (height, width)
    assert sorted(set(segments.ravel())) == list(range(segments.max() + 1))


def test_the_parts_sum_to_the_difference_between_shown_and_blurred():
    ask = lambda photos: np.array([[photo[:20].mean() / 255, 1 - photo[:20].mean() / 255] for photo in photos])  # noqa: E731
    found = explain(scene(60, 80), ask, 12, 10.0, 64, 0)
    assert found.values.sum(axis=0) == pytest.approx(found.full - found.blurred)


def explained(job, aws, model_server, config=CONFIG, **photos):
    aws.model_port = model_server.port
    job.give("config/analysis_config.json", config)
    for name, photo in photos.items():
        job.give(f"data/{name}.png", photo if isinstance(photo, bytes) else encode(photo, "PNG"))
    return job.run()


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", "application/json"])
@pytest.mark.parametrize("accept_type", ["application/json", "application/x-array"])
def test_the_planted_region_is_found(job, aws, model_server, content_type, accept_type):
    config = CONFIG | {"predictor": CONFIG["predictor"] | {"content_type": content_type, "accept_type": accept_type}}
    assert explained(job, aws, model_server, config, red=photo_with_red_corner()) == 0
    (image,) = job.result("analysis.json")["explanations"]["kernel_shap"]["images"]
    assert (image["file"], image["predicted_label"]) == ("red.png", "red corner")
    strongest = max(image["segments"], key=lambda one: one["value"])
    left, top, right, bottom = strongest["box"]
    assert (left + right) / 2 < 52 and (top + bottom) / 2 < 52
    inside = sum(
        one["value"]
        for one in image["segments"]
        if (one["box"][0] + one["box"][2]) / 2 < 52 and (one["box"][1] + one["box"][3]) / 2 < 52
    )
    assert inside > 0.8 * (image["probability"] - image["blurred_probability"])
    assert all(abs(one["value"]) < 0.05 for one in image["segments"] if one["box"][0] >= 50)


def sent(aws) -> list[str]:
    return [request["ContentType"] for name, request in aws.calls if name == "InvokeEndpoint"]


def test_a_shadow_endpoint_that_takes_several_photos_at_once_is_asked_so(job, aws, model_server):
    assert explained(job, aws, model_server, red=photo_with_red_corner()) == 0
    assert set(sent(aws)) == {"application/json"} and len(sent(aws)) < 20


def test_one_that_does_not_is_asked_photo_by_photo_with_the_same_result(job, aws, model_server):
    aws.takes_json = False
    assert explained(job, aws, model_server, red=photo_with_red_corner()) == 0
    assert sent(aws).count("application/json") == 1 and sent(aws).count("image/png") > 50
    singly = job.result("analysis.json")["explanations"]["kernel_shap"]["images"][0]["segments"]
    aws.takes_json = True
    assert job.run() == 0
    together = job.result("analysis.json")["explanations"]["kernel_shap"]["images"][0]["segments"]
    assert [one["value"] for one in singly] == pytest.approx([one["value"] for one in together], abs=0.02)


def test_a_users_own_endpoint_is_asked_in_the_configured_form_only(job, aws, model_server):
    aws.endpoints["mine"] = "InService"
    config = CONFIG | {"predictor": {"endpoint_name": "mine", "content_type": "image/jpeg"}}
    assert explained(job, aws, model_server, config, red=photo_with_red_corner()) == 0
    assert set(sent(aws)) == {"image/jpeg"}


def test_weak_reasons_are_not_painted_as_strong_ones():
    photo = np.full((20, 20, 3), 128, dtype=np.uint8)
    halves = np.repeat([[0] * 10 + [1] * 10], 20, axis=0)
    pale, strong = (heat_map(photo, halves, np.array([size, -size])).astype(int) for size in (0.005, 0.5))
    assert abs(strong[10, 2, 0] - strong[10, 2, 2]) > 3 * abs(pale[10, 2, 0] - pale[10, 2, 2])


def test_pictures_and_page_show_it(job, aws, model_server):
    explained(job, aws, model_server, red=photo_with_red_corner())
    (image,) = job.result("analysis.json")["explanations"]["kernel_shap"]["images"]
    heat = np.asarray(Image.open(job.output / image["heat_map"])).astype(int)
    assert heat.shape == (96, 96, 3)
    orange = heat[:, :, 0] - heat[:, :, 2]
    assert orange[8:40, 8:40].mean() > 30 > 10 > abs(orange[60:, 60:].mean())
    page = (job.output / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2 and "red corner" in page


def test_the_shadow_endpoint_is_made_of_the_model_and_nothing_is_left(job, aws, model_server):
    explained(job, aws, model_server, red=photo_with_red_corner())
    (config,) = [request for name, request in aws.calls if name == "CreateEndpointConfig"]
    assert config["EndpointConfigName"].startswith("darkroom-dev-1a2b3c4d-")
    assert len(config["EndpointConfigName"]) <= 63
    (variant,) = config["ProductionVariants"]
    assert (variant["ModelName"], variant["InstanceType"]) == ("darkroom-dev-1a2b3c4d-model", "ml.m5.large")
    assert aws.endpoints == {} and aws.configs == set() and aws.log_groups == {}
    made = [name for name, _ in aws.calls if name in ("CreateLogGroup", "PutRetentionPolicy", "CreateEndpoint")]
    assert made == ["CreateLogGroup", "PutRetentionPolicy", "CreateEndpoint"]


def test_a_role_that_may_not_make_log_groups_explains_all_the_same(job, aws, model_server):
    del aws.operations["CreateLogGroup"], aws.operations["DeleteLogGroup"]
    assert explained(job, aws, model_server, red=photo_with_red_corner()) == 0


def test_nothing_is_left_when_the_model_fails(job, aws, model_server):
    aws.operations["DescribeEndpoint"] = lambda request: {
        "EndpointName": "x", "EndpointArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/x", "EndpointStatus": "Failed",
        "FailureReason": "the container did not answer", "CreationTime": 0, "LastModifiedTime": 0,
    }  # fmt: skip
    assert explained(job, aws, model_server, red=photo_with_red_corner()) == 1
    assert "the container did not answer" in job.message
    assert aws.endpoints == {} and aws.configs == set()
    # But its log, which says why, and not for ever.
    (group,) = aws.log_groups
    assert group.startswith("/aws/sagemaker/Endpoints/darkroom-dev-1a2b3c4d-") and aws.log_groups[group] == 30


def test_an_endpoint_that_exists_is_used_and_kept(job, aws, model_server):
    aws.endpoints["mine"] = "InService"
    config = CONFIG | {"predictor": {"endpoint_name": "mine"}}
    assert explained(job, aws, model_server, config, red=photo_with_red_corner()) == 0
    assert aws.endpoints == {"mine": "InService"}
    assert {name for name, _ in aws.calls} == {"InvokeEndpoint"}


def test_an_unreadable_photo_is_left_out_and_none_at_all_is_a_failure(job, aws, model_server):
    assert explained(job, aws, model_server, red=photo_with_red_corner(), text=b"no photo") == 0
    assert len(job.result("analysis.json")["explanations"]["kernel_shap"]["images"]) == 1
    (job.input / "data" / "red.png").unlink()
    assert job.run() == 1
    assert "readable photo" in job.message


def test_a_wrong_number_of_classes_is_a_failure_that_says_so(job, aws, model_server):
    config = CONFIG | {
        "label_headers": ["a", "b", "c"],
        "predictor": CONFIG["predictor"] | {"accept_type": "application/x-array"},
    }
    assert explained(job, aws, model_server, config, red=photo_with_red_corner()) == 1
    assert "label_headers" in job.message and aws.endpoints == {}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"predictor": None}, "predictor"),
        ({"predictor": {"model_name": "a", "endpoint_name": "b"}}, "either model_name or endpoint_name"),
        ({"predictor": {"model_name": "a", "content_type": "text/csv"}}, "content_type"),
        ({"predictor": {"model_name": "a", "target_model": "x"}}, "target_model"),
        ({"methods": {"shap": {"image_config": {"model_type": "OBJECT_DETECTION"}}}}, "OBJECT_DETECTION"),
        ({"methods": {"shap": {"baseline": "s3://x"}}}, "baseline"),
        ({"methods": {"shap": {"num_samples": 3}}}, "num_samples"),
        ({"methods": {"shap": {"num_samples": 99.5}}}, "num_samples: received 99.5; allowed: a whole number from 8"),
        ({"methods": {"shap": {}, "report": []}}, "methods.report"),
        ({"predictor": {"model_name": 7}}, "predictor.model_name: received 7"),
        ({"predictor": {"model_name": "m", "instance_type": "big"}}, "predictor.instance_type: received 'big'"),
        ({"methods": {"report": {}}}, "shap"),
    ],
)
def test_what_is_wrong_or_unsupported_is_refused_by_name(job, change, named):
    job.give(
        "config/analysis_config.json", {name: value for name, value in (CONFIG | change).items() if value is not None}
    )
    assert job.run() == 1
    assert named in job.message
