"""The only place where this image makes a client of AWS: with the region that SageMaker names (`contract/region.py`)."""

from __future__ import annotations

from typing import Any

from contract.region import region


def client(service: str, **options: Any) -> Any:
    """boto3 is imported with the first client: most jobs need none."""
    import boto3

    return boto3.client(service, region_name=region(), **options)
