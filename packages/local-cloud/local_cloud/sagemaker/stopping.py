"""Stopping a job: the one rule for all kinds."""

from local_cloud.sagemaker.kinds import KINDS
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.support import invalid

ACTIVE = ("InProgress", "Stopping")


def stop_job(runtime: Runtime, noun: str, name: str) -> None:
    """Asks a running job to stop; asking twice is no error, asking a finished job is one, as on AWS."""
    kind = KINDS[noun]
    status = str(kind.status_field)
    run = runtime.runs.find(noun, name)
    if not runtime.store.change_while(noun, name, ACTIVE, **{status: "Stopping"}) or run is None:
        words = kind.arn_type.replace("-", " ")
        found = runtime.store.get(noun, name)[status]
        raise invalid(f"The request was rejected because the {words} is in status {found}.")
    run.stop()
