"""`train` or `serve`: the two commands with which SageMaker runs an image."""

import sys

COMMANDS = ("train", "serve")


def main() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in COMMANDS:
        sys.exit(f"This image was started with {command!r}; SageMaker starts it with {' or '.join(COMMANDS)}.")
    if command == "train":
        from script_mode.training import train

        sys.exit(train())
    from script_mode.serving import serve

    serve()


main()
