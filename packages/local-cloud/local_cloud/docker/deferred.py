"""Packages of an image that are installed when something first runs in it, not when it is built.

A large image that few jobs need costs nothing until one does: its Dockerfile says `LABEL local-cloud.install=at-first-use`. What
is to be installed is kept with the image; a failure then is the failure of the job that wanted it, in the words of the build.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cloud.docker.dockerfile import Instruction
from local_cloud.docker.environment import Install, Interpreter, is_complete, provide

LABEL, AT_FIRST_USE = "local-cloud.install", "at-first-use"


@dataclass(frozen=True)
class Packages:
    """What an image's environment is made of; `environment` is where it lies or will lie."""

    environment: Path
    interpreter: Interpreter
    installs: tuple[Install, ...]

    @property
    def are_there(self) -> bool:
        return is_complete(self.environment)

    def install(self) -> None:
        """BuildError where that fails."""
        provide(self.environment, self.interpreter, list(self.installs))

    def document(self, rootfs: Path, final: Path) -> dict[str, Any]:
        """As JSON; paths of `rootfs`, where the image was built, become those of `final`, where its files are kept."""
        text = json.dumps(
            {
                "interpreter": dataclasses.asdict(self.interpreter),
                "installs": [dataclasses.asdict(one) for one in self.installs],
            },
            default=str,
        )
        return json.loads(text.replace(str(rootfs), str(final)))

    @classmethod
    def read(cls, environment: Path, document: dict[str, Any] | None) -> "Packages":
        """Of a document as above; None: of an image of an earlier version, which was installed when it was built."""
        if document is None:
            return cls(environment, Interpreter("", ""), ())
        installs = [
            Install(
                Instruction(**one["instruction"]), tuple(one["words"]), tuple(one["arguments"]), Path(one["folder"]), one["content"],
                tuple(Path(path) for path in one["local_sources"]),
            )
            for one in document["installs"]
        ]  # fmt: skip
        return cls(environment, Interpreter(**document["interpreter"]), tuple(installs))
