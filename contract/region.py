"""The region in which a container works.

SageMaker tells a container `AWS_REGION`, boto3 reads `AWS_DEFAULT_REGION` only: a client made without a region fails with
NoRegionError, or asks S3 in us-east-1. So every client of an image is made in one place, with this region.
https://docs.aws.amazon.com/boto3/latest/guide/configuration.html
https://github.com/aws/sagemaker-training-toolkit/blob/master/ENVIRONMENT_VARIABLES.md
"""

from __future__ import annotations

import os


def region() -> str | None:
    """None where nobody said: then a profile may know it, when a person runs the image's code at a desk."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None
