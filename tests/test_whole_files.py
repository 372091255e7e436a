"""Whoever writes a file under another name first does it by the one function for it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("contract", "infra", "training_code", "inference_code", "analysis_code", "darkroom")
# Renaming a file; `str.replace` takes two arguments. Folders are renamed where they stand (`darkroom/demo_data.py`).
RENAMES = re.compile(r"os\.(replace|rename)\(|\.rename\(|(?<!str)\.replace\((?!tzinfo)[^,()\"']+\)")


def test_only_whole_file_renames_a_file_that_it_wrote():
    found = {
        f"{path.relative_to(ROOT)}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if RENAMES.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"contract/whole_file.py", "darkroom/demo_data.py"}
