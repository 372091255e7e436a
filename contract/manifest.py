"""`manifest.json`: what a model artifact says about itself, so that the server needs no other source of truth.

Refuses a manifest that a server could misread: another schema version, no classes, the same class twice, an unknown
field, a preprocessing that is incomplete.
"""

import json
import os
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from contract.foreign_json import parse
from contract.preprocessing import InvalidPreprocessing, Preprocessing
from contract.whole_file import whole_file

SCHEMA_VERSION: Final = 1
MANIFEST_FILE: Final = "manifest.json"
MODEL_FILE: Final = "model.onnx"
INPUT_NAME: Final = "image"
OUTPUT_NAME: Final = "probabilities"


class InvalidManifest(ValueError):
    """A manifest that is missing, unreadable or says something a server must not guess about."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Manifest:
    """The facts beside `model.onnx`; `classes` in the order of the model's output."""

    architecture: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    metrics: dict[str, float] = field(default_factory=dict)
    data_fingerprint: str = ""
    pretrained: bool | str = False
    # Tensors of the weight file: loaded, replaced (the head), and beside (of other parts of a checkpoint). Empty: random weights.
    loading: dict[str, int] = field(default_factory=dict)
    fine_tune: str = ""
    hyperparameters: dict[str, str] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    library_versions: dict[str, str] = field(default_factory=dict)
    created: str = field(default_factory=_now)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            raise InvalidManifest(
                f"schema_version is {self.schema_version!r}; this code reads {SCHEMA_VERSION}: "
                "serve the model with the image that trained it, or train it again"
            )
        if (
            not isinstance(self.classes, tuple)
            or len(self.classes) < 2
            or not all(isinstance(name, str) and name for name in self.classes)
        ):
            raise InvalidManifest(f"classes is {list(self.classes)!r}; at least two names are needed")
        if len(set(self.classes)) != len(self.classes):
            twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
            raise InvalidManifest(f"classes holds {twice!r} more than once")

    @classmethod
    def from_dict(cls, values: Any) -> "Manifest":
        """Read the JSON form; unknown and missing fields are errors that name themselves."""
        if not isinstance(values, dict):
            raise InvalidManifest(f"the manifest is a {type(values).__name__}; a JSON object is needed")
        unknown = sorted(set(values) - {one.name for one in fields(cls)})
        if unknown:
            raise InvalidManifest(f"unknown fields {unknown}; known: {[one.name for one in fields(cls)]}")
        missing = sorted({"schema_version", "architecture", "classes", "preprocessing"} - set(values))
        if missing:
            raise InvalidManifest(f"the fields {missing} are missing")
        if not isinstance(values["classes"], list):
            raise InvalidManifest(f"classes is {values['classes']!r}; a list of names is needed")
        try:
            preprocessing = Preprocessing.from_dict(values["preprocessing"])
        except InvalidPreprocessing as error:
            raise InvalidManifest(str(error)) from None
        return cls(**{**values, "classes": tuple(values["classes"]), "preprocessing": preprocessing})

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Manifest":
        """Read `manifest.json`, given it or its folder; raise InvalidManifest naming the file."""
        file = Path(path)
        if file.is_dir():
            file = file / MANIFEST_FILE
        try:
            document = parse(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InvalidManifest(f"{file}: no such file; a model artifact must hold {MANIFEST_FILE}") from None
        except ValueError as error:
            raise InvalidManifest(f"{file}: not JSON: {error}") from None
        try:
            return cls.from_dict(document)
        except (ValueError, TypeError, OverflowError) as error:  # a field of a type that nobody writes is one of them
            raise InvalidManifest(f"{file}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**asdict(self), "classes": list(self.classes), "preprocessing": self.preprocessing.to_dict()}

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write `manifest.json` at the path, or into the folder, whole or not at all; return where."""
        file = Path(path)
        if file.is_dir():
            file = file / MANIFEST_FILE
        with whole_file(file) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return file
