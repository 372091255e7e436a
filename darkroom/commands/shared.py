"""What every command gets: the target, and a console that is silent where a program reads JSON."""

import json
import sys
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console

from darkroom.target import Target

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program; the rest goes to stderr.")


@dataclass
class Context:
    """Passed to commands with `click.pass_obj`."""

    target: Target
    console: Console

    def speak_json(self, as_json: bool) -> None:
        """With --json, what is meant for a person goes to stderr."""
        if as_json:
            self.console = Console(stderr=True, highlight=False)

    def print_json(self, value: Any) -> None:
        """One JSON document on stdout."""
        sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
