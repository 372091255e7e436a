"""Settings come from the environment under SageMaker's names; every one is documented."""

import re
from pathlib import Path

import pytest

from contract.validation import InvalidField
from inference_code import settings as module
from inference_code.settings import Settings, available_cores

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "serving.md"


def test_the_defaults_are_sagemakers():
    found = Settings.from_environment({})
    assert (str(found.base), found.port, found.multi_model, found.host) == ("/opt/ml", 8080, False, "0.0.0.0")  # noqa: S104
    assert found.max_payload_bytes == 25 * 1024 * 1024
    assert found.cores == available_cores() >= 1


def test_outside_a_container_only_this_machine_is_served():
    assert Settings.from_environment({"SAGEMAKER_BASE_DIR": "/somewhere/else"}).host == "127.0.0.1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "http"),
        ("SAGEMAKER_BIND_TO_PORT", "70000"),
        ("SAGEMAKER_MULTI_MODEL", "perhaps"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "-1"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "0"),
        ("DARKROOM_MODEL_MEMORY_MB", "1.5"),
        ("DARKROOM_MODEL_MEMORY_MB", "٣"),
        ("DARKROOM_PHOTO_MEMORY_MB", "6_4"),
        ("DARKROOM_BODY_SECONDS", "9" * 30),
        ("DARKROOM_ENGINE", "torch"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(name, value):
    with pytest.raises(InvalidField, match=f"^{name}: received '?{value}'?; allowed: "):
        Settings.from_environment({name: value})


def test_every_setting_is_documented():
    names = set(re.findall(r'"((?:SAGEMAKER|DARKROOM)_[A-Z_]+)"', Path(module.__file__).read_text()))
    assert len(names) >= 7
    text = DOCUMENTATION.read_text()
    assert not [name for name in names if f"`{name}`" not in text]
