"""The only place where this image makes a client of AWS: with the region that SageMaker names (`contract/region.py`)."""

from typing import Any

import boto3

from contract.region import region


def client(service: str, **options: Any) -> Any:
    """As boto3.client, in the region of the job."""
    return boto3.client(service, region_name=region(), **options)
