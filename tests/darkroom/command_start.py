"""Starts `darkroom` for tests out of a process that has imported it: a command is a fork, with words, variables and files of its own."""

from __future__ import annotations

import sys

import boto3

from darkroom import cli
from local_cloud.testing_start import serve


def run(words: list[str]) -> None:
    """As `python -m darkroom.cli`."""
    sys.argv[1:] = words
    cli.main()


if __name__ == "__main__":
    for service in ("s3", "ssm", "cloudformation", "stepfunctions", "sagemaker"):
        boto3.client(
            service, "us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
        )  # imports what calls need
    serve(run)
