"""Where the command line keeps what it makes: DARKROOM_HOME, by default `.darkroom/` in the working directory."""

import os
from pathlib import Path

from darkroom.failure import DarkroomError

# All that Darkroom puts into its home; `destroy` removes these and nothing else.
OWN = ("aws", "cdk.out", "cloud", "demo-data", "environments", "logs", "runs", "uploads")


class Home:
    """Paths below DARKROOM_HOME; folders appear when they are first needed."""

    def __init__(self, path: Path | str | None = None):
        self.path = Path(path or os.environ.get("DARKROOM_HOME") or ".darkroom").absolute()

    def folder(self, name: str) -> Path:
        """One of OWN, made now. The home ignores itself for git."""
        if name not in OWN:
            raise ValueError(f"{name!r} is not a folder of the home: {', '.join(OWN)}")
        folder = self.path / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            ignore = self.path / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
        except OSError as fault:
            raise DarkroomError(
                f"{self.path} cannot be used as Darkroom's home: {fault}.",
                "DARKROOM_HOME names another folder; it must be one that you may write to.",
            ) from None
        return folder

    @property
    def state(self) -> Path:
        """The state of the local cloud."""
        return self.path / "cloud"

    @property
    def environments(self) -> Path:
        """Python environments of images; DARKROOM_ENVIRONMENTS moves them, so that several homes can share them."""
        return Path(os.environ.get("DARKROOM_ENVIRONMENTS") or self.path / "environments").absolute()

    def assembly(self, key: str) -> Path:
        """What was synthesized for one target, account, region, project and environment, which make the key."""
        return self.folder("cdk.out") / key

    def run(self, execution: str) -> Path:
        """The folder of one execution, made now."""
        folder = self.folder("runs") / execution
        folder.mkdir(exist_ok=True)
        return folder
