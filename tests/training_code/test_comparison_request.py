"""What may be asked of a comparison, and who the candidates are."""

from __future__ import annotations

import pytest

from contract.comparison_candidates import KNOWN, PRESETS, choose
from contract.comparison_input import ComparisonInput
from contract.validation import InvalidField

URI = "s3://some-bucket/photos.zip"


def ask(**fields):
    return ComparisonInput.from_json({"dataset": URI, **fields})


def test_the_presets_hold_known_candidates_once_each():
    assert len(PRESETS["jumpstart-15"]) == 15
    for names in PRESETS.values():
        assert len(set(names)) == len(names)
        assert set(names) <= set(KNOWN)


def test_every_candidate_of_the_seeds_names_a_model_that_exists():
    import timm
    import torchvision

    published = set(timm.list_models()) | set(timm.list_pretrained()) | set(torchvision.models.list_models())
    unknown = {c.model for c in KNOWN.values()} - published - {f"efficientnet_lite{size}" for size in (0, 1, 2)}
    assert not unknown


def test_torchvisions_weights_are_the_ones_that_the_weight_store_fetches():
    from torchvision.models import get_model_weights

    from training_code.models.catalogue import resolve
    from training_code.models.libraries import published_weights

    named = [c for c in KNOWN.values() if c.weights.startswith("torchvision IMAGENET") and " or " not in c.weights]
    assert len(named) == 10
    for one in named:
        assert published_weights(resolve(one.model)) == get_model_weights(one.model)[one.weights.split()[1]].url, (
            one.name
        )


@pytest.mark.slow
def test_every_candidate_of_the_seeds_is_a_network_that_can_be_built_and_gives_one_vector_a_photo():
    import torch

    from training_code.models import backbone, catalogue

    for one in KNOWN.values():
        # Shapes without numbers: the largest has 232 million weights.
        with torch.device("meta"):
            _, width = backbone.load(catalogue.resolve(one.model), None)
        assert width >= 512, one.name


def test_a_tensorflow_model_without_its_own_weights_says_so():
    near = [c for c in KNOWN.values() if c.match == "near"]
    assert near
    assert all(c.note for c in near)


def test_a_list_may_be_written_with_commas():
    assert [c.name for c in choose("resnet18, vgg11")] == ["resnet18", "vgg11"]


def test_a_preset_may_stand_among_names_and_be_random_as_a_whole():
    chosen = choose("offline, resnet18, random:keras-4")
    offline = len(PRESETS["offline"])
    assert [c.name for c in chosen][: offline + 1] == [*PRESETS["offline"], "resnet18"]
    assert [c.name for c in chosen][offline + 1 :] == [f"{name}-random" for name in PRESETS["keras-4"]]
    assert [c.pretrained for c in chosen] == [True] * (offline + 1) + [False] * 4


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"models": []}, "models"),
        ({"models": "resnet18,resnet18"}, "resnet18"),
        ({"models": "jumpstart:pytorch-ic-resnet50"}, "JumpStart"),
        ({"base": "vgg11", "models": "offline"}, "base"),
        ({"weights": {"beauty": 1}}, "beauty"),
        ({"epochs": 0}, "epochs"),
        ({"hyperparameters": {"learning_rate": 0.1}}, "learning_rate"),
        ({"evaluate_on": "/some/folder"}, "evaluate_on"),
        ({"modells": "offline"}, "modells"),
        ({"models": "offline,efficientnet_lite0"}, "efficientnet_lite0"),
        ({"prices": {"as_of": "2026-01-01"}}, "per_hour"),
    ],
)
def test_a_wrong_field_is_refused_by_name(fields, named):
    with pytest.raises(InvalidField, match=named):
        ask(**fields)


def test_the_key_changes_with_what_is_trained_and_not_with_what_is_shown():
    plain = ask().key("photos-1")
    assert plain == ask(base="alexnet", minimum=0.9, models="alexnet").key("photos-1")
    assert plain != ask(epochs=7).key("photos-1")
    assert plain != ask().key("photos-2")


def test_every_candidate_is_trained_with_the_same_hyperparameters():
    request = ask(epochs=5, learning_rate=0.001, batch_size=16)
    chosen = [request.hyperparameters_of(name) for name in ("resnet18", "alexnet")]
    for strings in chosen:
        assert all(isinstance(value, str) for value in strings.values())
        assert (strings["epochs"], strings["learning_rate"], strings["batch_size"]) == ("5", "0.001", "16")
        assert strings["export"] == "true"
