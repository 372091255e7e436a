"""The coverage page says what the code does."""

from __future__ import annotations

import subprocess
import sys

from tests.places import ROOT


def test_the_coverage_page_is_current():
    script = (
        "from local_cloud.environment import isolate; isolate('us-east-1')\n"
        "from local_cloud.coverage import page; print(page(), end='')"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    written = (ROOT / "local_cloud/coverage.md").read_text()
    assert run.stdout == written, "run `python -m local_cloud.coverage` and commit the page"


def test_the_page_names_what_is_refused():
    text = (ROOT / "local_cloud/coverage.md").read_text()
    for refused in ("AWS::Lambda::LayerVersion", "JSONata", "sts:GetSessionToken", "`Layers`"):
        assert refused in text
