"""The CDK app: settings in, five stacks out. Synth needs no credentials, no Docker and no network."""

from __future__ import annotations

import sys
from pathlib import Path

from aws_cdk import App

from infra.darkroom import Darkroom
from infra.settings import SettingError


def main() -> None:
    # No usage data of the app's constructs goes into the templates.
    app = App(analytics_reporting=False)
    try:
        Darkroom(app, root=Path(__file__).resolve().parent)
    except SettingError as error:
        sys.exit(f"Setting refused: {error}\nSettings are described in docs/infrastructure.md.")
    app.synth()


main()
