"""`make tutorial`: docs/tutorial.md as somebody types it, one shell from `make install` to the endpoint's answer, on generated photos."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.end_to_end.conftest import write_photos

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial.md"


def blocks(page: str) -> list[str]:
    """The fenced blocks, in their order: what a reader copies."""
    return re.findall(r"^```\n(.*?)^```", page, re.S | re.M)


def session(page: str, folder: Path) -> str:
    """One script of all blocks. The first is typed in the clone, the others where the photos lie."""
    install, *others = blocks(page)
    return "\n".join(["set -euxo pipefail", install, f"cd {folder}", *others])


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_photos(folder / "photos", names=("ant", "bee", "wasp"))
        for label in ("ant", "bee", "wasp"):
            first = min((folder / "photos" / label).glob("*.jpg"))
            (folder / "photos" / "metadata.csv").unlink(missing_ok=True)
            first.rename(first.with_name("1.jpg"))
        environment = {**os.environ, "DARKROOM_HOME": str(folder / ".darkroom")}
        environment.setdefault("DARKROOM_ENVIRONMENTS", str(ROOT / ".darkroom" / "environments"))
        script = session(PAGE.read_text(encoding="utf-8"), folder)
        try:
            code = subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment).returncode
            if code:
                return code
            answer = json.loads((folder / "answer.json").read_text())
            print(f"The tutorial's session ended with the answer {json.dumps(answer)}")
            return 0 if answer["predictions"][0]["probability"] > 1 / 3 else 1
        finally:
            destroy = [ROOT / ".venv/bin/darkroom", "destroy", "--yes"]
            subprocess.run(destroy, cwd=ROOT, env=environment, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
