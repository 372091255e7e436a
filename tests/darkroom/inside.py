"""The command line in the test's own process, with an environment that ends with it: for questions that would take minutes as processes."""

import io
import os
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from darkroom import cli, local
from darkroom.home import Home


def account(home: Path) -> dict[str, str]:
    """The explicit way to let `--target aws` speak to a local cloud: AWS variables, without the mark of `darkroom env`."""
    cloud = local.require(Home(home))
    config = home.parent / "config"
    config.write_text("[default]\n")
    empty = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_PROFILE": "default"}
    keys = {"AWS_ACCESS_KEY_ID": cloud.access_key_id, "AWS_SECRET_ACCESS_KEY": cloud.secret_access_key}
    return empty | keys | {"AWS_ENDPOINT_URL": cloud.endpoint, "AWS_REGION": cloud.region}


def ask(run, *words: str, **extra: str) -> subprocess.CompletedProcess:
    """`run`: what tests/darkroom/conftest.py starts; its home and environment are taken."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(os, "environ", os.environ.copy())
        os.environ.update(run.environment | extra)
        code = cli.run(list(words))
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
