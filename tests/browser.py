"""A real browser for the pages: Chromium from npm, which brings the libraries that it needs, driven by puppeteer."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "tests" / "browser.mjs"
WIDE = "return await page.evaluate(() => document.documentElement.scrollWidth)"


def in_browser(path: Path, steps: str, *, width: int = 1280) -> Any:
    """What `steps` returns: the body of an async function of a puppeteer `page`, which shows this file.

    The page must be whole in itself: an error in its console, or a request to anywhere, fails the test.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        pytest.skip("the browser that npm brings is for Linux on x86-64")
    assert (ROOT / "node_modules" / "@sparticuz").is_dir(), "no browser. Run: make node_modules/.installed-dev"
    unpacked = ROOT / "build" / "browser"
    unpacked.mkdir(parents=True, exist_ok=True)
    # The package unpacks into the folder for temporary files, and its libraries only where it thinks that Lambda runs it.
    environment = {
        **os.environ, "TMPDIR": str(unpacked), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs24.x",
        "FONTCONFIG_FILE": str(unpacked / "fonts.conf"),
    }  # fmt: skip
    with (unpacked / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one unpacks, the others wait
        _write_font_configuration(unpacked)
        run = subprocess.run(
            [ROOT / ".venv" / "bin" / "node", PROGRAM],
            input=json.dumps({"url": path.resolve().as_uri(), "steps": steps, "width": width}),
            env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert not said["errors"], said["errors"]
    return said["answer"]


def _write_font_configuration(unpacked: Path) -> None:
    """The package's own names /tmp/fonts, wherever it unpacks: without a font, text has no size and innerText is empty."""
    fonts, cache = unpacked / "fonts", unpacked / "fonts-cache"
    (unpacked / "fonts.conf").write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
        f"<fontconfig><dir>{escape(str(fonts))}</dir><cachedir>{escape(str(cache))}</cachedir></fontconfig>\n",
        encoding="utf-8",
    )


def fits(path: Path, width: int = 1280) -> bool:
    """Whether nobody has to scroll sideways in a window of this width, in pixels."""
    return in_browser(path, WIDE, width=width) <= width
