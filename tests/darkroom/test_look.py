"""Before an upload a person sees what was read; what is not sure is asked about, or is a failure where nobody can answer."""

import io
import zipfile

import pytest
from rich.console import Console

from contract.comparison_input import ComparisonInput
from darkroom import executions, look
from darkroom.commands.comparison import OPTIONS
from darkroom.failure import DarkroomError
from tests.photo_trees import photos, write_tree


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def test_classes_counts_and_facets_are_shown_for_a_folder_and_its_zip(tmp_path, console):
    files = photos("train/ant", "train/bee", "test/ant", "test/bee") | {
        "metadata.csv": "file_name,camera\ntrain/ant/0.jpg,old\n"
    }
    folder = write_tree(tmp_path / "set", files)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("/", "\\"), data)
    for data in (folder, tmp_path / "set.zip"):
        assert look.look(console, str(data), {"seed": 1}, False) == {"seed": 1}
    lines = console.file.getvalue().splitlines()
    assert [line.split() for line in lines if " ant " in line] == [["ant", "4", "4"]] * 2
    assert sum("facet camera: 1 values, old (1)" in line for line in lines) == 2


def test_a_doubt_without_a_terminal_is_a_failure_unless_yes(tmp_path, console, monkeypatch):
    monkeypatch.setattr(look, "_at_terminal", lambda: False)
    folder = str(write_tree(tmp_path, photos("ant", "bee") | {"wasp/": ""}))
    with pytest.raises(DarkroomError, match="wasp") as refused:
        look.look(console, folder, {}, False)
    assert "--yes" in refused.value.advice
    assert look.look(console, folder, {}, True) == {}


def test_classes_that_are_too_small_are_refused_before_an_upload_all_at_once(tmp_path, console):
    folder = str(write_tree(tmp_path, photos("ant", "bee") | photos("fly", "gnat", each=2)))
    with pytest.raises(
        DarkroomError, match=r"2 class\(es\) have too few photos: 'fly' \(2\), 'gnat' \(2\); allowed: at least 3"
    ):
        look.look(console, folder, {}, True)
    given = write_tree(
        tmp_path / "given", photos("train/a", "train/b", "test/a", "test/b") | photos("train/c", "test/c", each=1)
    )
    with pytest.raises(DarkroomError, match=r"outside of the test: 'c' \(1\); allowed: at least 2"):
        look.look(console, str(given), {}, True)


def test_a_class_that_is_a_link_is_not_left_out_in_silence(tmp_path, console, monkeypatch):
    monkeypatch.setattr(look, "_at_terminal", lambda: False)
    write_tree(tmp_path / "elsewhere", photos("wolf"))
    folder = write_tree(tmp_path / "set", photos("cat", "dog"))
    (folder / "wolf").symlink_to(tmp_path / "elsewhere" / "wolf")
    with pytest.raises(DarkroomError, match=r"symbolic link.*wolf"):
        look.look(console, str(folder), {}, False)


def test_two_readings_name_the_field_and_an_answer_settles_it(tmp_path, console, monkeypatch):
    monkeypatch.setattr(look, "_at_terminal", lambda: False)
    folder = str(write_tree(tmp_path, photos("indoor/cat", "indoor/dog", "outdoor/cat", "outdoor/dog")))
    with pytest.raises(DarkroomError, match='"layout": "-/class"'):
        look.look(console, folder, {}, True)
    monkeypatch.setattr(look, "_at_terminal", lambda: True)
    monkeypatch.setattr(look.click, "prompt", lambda *_, **__: 2)
    assert look.look(console, folder, {}, False) == {"layout": "-/class"}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"sed": 1}, "sed: no such field.*Did you mean 'seed'"),
        ({"sed": 1, "layuot": "class"}, "'seed'.*layuot: no such field. Did you mean 'layout'"),
        ({"split": {"test": 20}}, r"split\.test: received 20"),
        ({"layout": "classes"}, "layout: received 'classes'"), ({"splits": {"x": "tset"}}, "Did you mean 'test'"),
        ({"tuning": {"ranges": {"learning_rate": [1, 0]}}}, "learning_rate"),
        ({"model": "resnet1800"}, r"model: received 'resnet1800'.*Did you mean resnet18"),
        ({"model": "keras/resnet18"}, "model: received 'keras/resnet18'"),
        ({"image_size": 5}, r"image_size: received 5; allowed: 0, or a whole number from 32 to 1024"),
        ({"model": "vit_b_16", "image_size": 96}, "image_size: received 96; allowed: 224 for vit_b_16"),
    ],
)  # fmt: skip
def test_a_wrong_field_or_range_is_refused_before_anything_is_uploaded(document, words):
    with pytest.raises(DarkroomError, match=words) as refused:
        look.check_run(document)
    assert "Nothing was uploaded" in refused.value.advice


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"sed": 1}, "sed: no such field.*Did you mean 'seed'"), ({"epochs": 0}, "epochs: received 0"),
        ({"models": 5}, "models: received 5"),
        ({"models": "resnet18,resnet1800"}, "models: received 'resnet1800'.*Did you mean resnet18"),
        ({"models": "resnet18,torchvision/vit_b_16", "image_size": 96}, "allowed: 224 for torchvision/vit_b_16"),
        ({"models": "jumpstart:resnet18"}, "models: received"), ({"weights": {"beauty": 1}}, "beauty"),
        ({"prices": 5}, "prices: received 5"),
        ({"hyperparameters": [1]}, r"hyperparameters: received \[1\]"), ({"base": "vgg11"}, "base: received 'vgg11'"),
        ({"evaluate_on": "photos/"}, "evaluate_on: received"), ({"tune": 99}, "tune: received 99"), ({"layout": "classes"}, "layout"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_comparison_is_refused_before_anything_is_uploaded(document, words):
    with pytest.raises(DarkroomError, match=words) as refused:
        look.check_comparison(document)
    assert "Nothing was uploaded" in refused.value.advice


def test_a_good_input_of_a_comparison_passes():
    document = {
        "models": "offline,random:keras-4",
        "tune": 3,
        "hyperparameters": {"dropout": 0.1},
        "minimum": 0.9,
        "image_size": 224,
    }
    assert len(look.check_comparison(document).candidates) == 7


def test_an_input_of_thousands_of_brackets_is_a_sentence(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(DarkroomError, match=r"deep\.json is not valid JSON"):
        executions.read_input(tmp_path / "deep.json")


def test_options_of_run_are_fields_of_the_execution_input_and_checked_like_them():
    given = {"model": "resnet18", "epochs": 3, "fine_tune": "all"}
    document = executions.with_options({"seed": 1, "hyperparameters": {"dropout": 0.1}}, given)
    settings = look.check_run(document).resolved_hyperparameters
    assert (settings.model, settings.epochs, settings.fine_tune) == ("resnet18", 3, "all")
    assert (settings.dropout, settings.seed) == (0.1, 1)
    nothing = dict.fromkeys(given)
    assert executions.with_options({"seed": 1}, nothing) == {"seed": 1}
    for wrong, words in (({"epochs": 0}, r"epochs: received 0"), ({"fine_tune": "lastblock"}, "last_block")):
        with pytest.raises(DarkroomError, match=words):
            look.check_run(executions.with_options({}, nothing | wrong))


@pytest.mark.parametrize(
    ("document", "option", "words"),
    [
        ({"model": "resnet18"}, {"model": "resnet50"}, r"--model says 'resnet50', and model in .* says 'resnet18'"),
        ({"hyperparameters": {"epochs": 3}}, {"epochs": 4}, r"--epochs says 4, and hyperparameters\.epochs .* says 3"),
        ({"minutes": 30}, {"minutes": 20.0}, r"--minutes says 20\.0, and minutes in .* says 30"),
        ({"fine_tune": "all"}, {"fine_tune": "head"}, r"--fine-tune says 'head', and fine_tune in .* says 'all'"),
    ],
)
def test_an_option_and_an_input_that_disagree_are_refused_and_the_same_twice_is_not(document, option, words):
    with pytest.raises(DarkroomError, match=words):
        executions.with_options(document, option)
    same = {name: document.get(name) or document["hyperparameters"][name] for name in option}
    assert executions.with_options(document, same) == document


@pytest.mark.parametrize(
    ("document", "option", "words"),
    [
        ({"models": "edge"}, {"models": "offline"}, r"--models says 'offline', and models in .* says 'edge'"),
        ({"budget_minutes": 9}, {"budget_minutes": 6.0}, r"--budget says 6\.0"),
        ({"pretrained": True}, {"pretrained": False}, "--random-weights says False"),
        ({"weights": {"accuracy": 1}}, {"weights": {"accuracy": 2.0}}, "--weigh says"),
    ],
)
def test_an_option_of_compare_and_an_input_that_disagree_are_refused(document, option, words):
    with pytest.raises(DarkroomError, match=words):
        executions.with_options(document, option, ComparisonInput, OPTIONS)
    assert executions.with_options(document, dict(document), ComparisonInput, OPTIONS) == document
    assert executions.with_options({}, option, ComparisonInput, OPTIONS) == option
