"""Settings are one object; its variables are read where the process begins, and the page in docs/ is made from it."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from local_cloud.settings import SettingRefused, Settings, table, unknown, variable
from tests.places import ROOT

# Where processes begin, and what they hand on to processes of their own.
EDGES = {
    "__main__.py": "the cloud's process reads its settings",
    "cli.py": "a command line of its own",
    "docker/cli.py": "a command line of its own",
    "docker/environment.py": "uv gets the variables of its caller: indexes, caches, certificates",
    "environment.py": "the cloud's process forgets every way to a real account",
    "proxy/__main__.py": "the proxies that were set before lead to other hosts",
    "proxy/child.py": "the proxy's process inherits what the cloud kept, and the proxies that were set before",
    "functions/runtime/python.py": "a function's process, not the cloud's",
    "process.py": "the process that is started inherits the caller's variables",
    "testing.py": "the same for tests",
    "testing_start.py": "the same for tests",
}


def reads_the_environment(source: str) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv", "environb")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        for node in ast.walk(ast.parse(source))
    )


@pytest.mark.parametrize(
    "source", ["import os\nos.environ['X']", "import os\nos.getenv('X')", "import os\nos.environ.get('X')"]
)
def test_a_reader_would_be_found(source):
    assert reads_the_environment(source)


def test_nothing_but_the_edges_reads_the_environment():
    package = ROOT / "local_cloud"
    readers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        # What runs inside containers has SageMaker's variables for its input.
        if package / "frameworks" / "images" not in path.parents and reads_the_environment(path.read_text())
    }
    assert readers == set(EDGES)


def test_without_variables_every_setting_is_its_default():
    assert Settings.from_environment({}) == Settings()


def test_every_setting_has_a_variable_that_changes_it():
    values = {"hidden": "/a:/b", "environments": "/e", "command": "x", "docker_command": "y"}
    for one in fields(Settings):
        text = values.get(one.name, "0" if one.default in (True, None) else "1")
        read = getattr(Settings.from_environment({variable(one.name): text}), one.name)
        assert read != one.default, one.name


def test_the_home_of_the_user_is_hidden_whatever_else_is():
    settings = Settings.from_environment({"HOME": "/home/me", "LOCAL_CLOUD_HIDDEN": "/secrets"})
    assert settings.hidden == (Path("/home/me"), Path("/secrets"))


def test_an_empty_variable_is_not_set():
    assert Settings.from_environment(dict.fromkeys((variable(one.name) for one in fields(Settings)), "")) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOCAL_CLOUD_SYNC_SECONDS", "soon"), ("LOCAL_CLOUD_SYNC_SECONDS", "-1"), ("LOCAL_CLOUD_SYNC_SECONDS", "nan"),
        ("LOCAL_CLOUD_STOP_GRACE_SECONDS", "inf"), ("LOCAL_CLOUD_CONFINE", "perhaps"), ("LOCAL_CLOUD_MOUNT_OPT_ML", "2"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_read_is_refused_with_the_variable_the_value_and_what_is_allowed(name, value):
    with pytest.raises(SettingRefused, match=rf"^{name} is '{value}'; it must be .+\. Correct it, or unset it\.$"):
        Settings.from_environment({name: value})


def test_a_variable_that_is_no_setting_is_named():
    assert unknown(
        {"LOCAL_CLOUD_SYNC": "1", "LOCAL_CLOUD_CONFINE": "1", "LOCAL_CLOUD_STATE": "/x", "PATH": "/bin"}
    ) == ["LOCAL_CLOUD_SYNC"]


def test_the_page_in_docs_has_the_table_of_the_settings():
    assert table() in (ROOT / "docs" / "local-sagemaker.md").read_text(encoding="utf-8")
