"""`python -m training_code COMMAND`: what SageMaker starts in image 1.

Commands are imported only when asked for: `evaluate` must not pay for importing PyTorch. A failure leaves one message for a
person where SageMaker looks for it: `<base>/output/failure` (training) or `<base>/output/message` (processing), and the
traceback of what nobody foresaw in the log.
"""

from __future__ import annotations

import importlib
import sys
import traceback

from contract.failure import JobFailure, leave_message

COMMANDS = {
    "prepare": ("training_code.prepare.command", "message"),
    "train": ("training_code.train.command", "failure"),
    "evaluate": ("training_code.evaluate", "message"),
    "health": ("training_code.health.command", "message"),
    "fetch-weights": ("training_code.models.fetch", "message"),
    "check-weights": ("training_code.models.check", "message"),
    "prepare-comparison": ("training_code.comparison.prepare", "message"),
    "extract": ("training_code.comparison.extract", "message"),
}


def main(arguments: list[str]) -> int:
    """Run one command; its exit code, 1 after a failure, 2 for a command that does not exist."""
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help"):
        print(f"usage: python -m training_code {{{','.join(COMMANDS)}}} …")
        return 0
    if command not in COMMANDS:
        print(f"training_code has no command '{command}'; it has: {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    module, kind = COMMANDS[command]
    try:
        return importlib.import_module(module).main(rest) or 0
    except JobFailure as error:  # the sentence says all; a traceback behind it would hide it
        print(f"{command}: {error}", file=sys.stderr, flush=True)
        leave_message(kind, error)
        return 1
    except Exception as error:
        traceback.print_exc()
        leave_message(kind, error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
