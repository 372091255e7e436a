"""`python -m analysis_code [clarify|report|compare]`: the entry point of image 3.

Without an argument it does what AWS's own Clarify image does: read `analysis_config.json`, write `analysis.json`. So
the same pipeline step can run either image.
"""

import logging
import signal
import sys
import traceback

from contract.failure import JobFailure, leave_message

USAGE = (
    "usage: python -m analysis_code [clarify | compare [--test-uri URI] | "
    "report [--execution-arn A] [--tuning-job T] [--training-job J]]"
)


def _stop(number: int, frame: object) -> None:
    """SIGTERM unwinds the stack, so that a shadow endpoint is deleted before the job ends."""
    raise SystemExit(128 + number)


def main(arguments: list[str]) -> int:
    """Run one command; 0, or 1 with a message in `output/message`, or 2 for a wrong command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    signal.signal(signal.SIGTERM, _stop)
    command, *rest = arguments or ["clarify"]
    try:
        if command == "clarify" and not rest:
            from analysis_code.clarify.job import run
        elif command == "report":
            from analysis_code.report.job import run
        elif command == "compare":
            from analysis_code.comparison.command import run
        else:
            print(f"{USAGE}\nreceived: {arguments}", file=sys.stderr)
            return 2
        run(rest)
    except JobFailure as failure:
        logging.error("%s", failure)
        leave_message("message", failure)
        return 1
    except Exception as error:
        traceback.print_exc()
        leave_message("message", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
