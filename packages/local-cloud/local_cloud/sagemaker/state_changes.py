"""The events that SageMaker sends to EventBridge when the state of something changed.

https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
"""

from collections.abc import Callable
from typing import Any

from local_cloud.sagemaker.kinds import KINDS
from local_cloud.sagemaker.store import Document, public

SOURCE = "aws.sagemaker"
# The detail type of each noun, and the fields whose change is an event. A model has no state: it is made, and deleted.
TOLD = {
    "TrainingJob": ("SageMaker Training Job State Change", ("TrainingJobStatus", "SecondaryStatus")),
    "HyperParameterTuningJob": ("SageMaker HyperParameter Tuning Job State Change", ("HyperParameterTuningJobStatus",)),
    "ProcessingJob": ("SageMaker Processing Job State Change", ("ProcessingJobStatus",)),
    "TransformJob": ("SageMaker Transform Job State Change", ("TransformJobStatus",)),
    "Endpoint": ("SageMaker Endpoint State Change", ("EndpointStatus",)),
    "Model": ("SageMaker Model State Change", ()),
    "ModelPackage": ("SageMaker Model Package State Change", ("ModelPackageStatus", "ModelApprovalStatus")),
}
# Endpoint events spell their states otherwise than DescribeEndpoint.
ENDPOINT_STATES = {
    "Creating": "CREATING", "Updating": "UPDATING", "SystemUpdating": "SYSTEM_UPDATING", "RollingBack": "ROLLING_BACK",
    "InService": "IN_SERVICE", "OutOfService": "OUT_OF_SERVICE", "Deleting": "DELETING", "Failed": "FAILED",
}  # fmt: skip


class StateChanges:
    """Turns written documents into events; `emit` sends them."""

    def __init__(self, emit: Callable[[str, str, dict[str, Any], list[str]], None]):
        self._emit = emit

    def told(self, noun: str, before: Document | None, after: Document | None) -> None:
        """An event, when one of the fields that matter changed; `after` is None for what was deleted."""
        if noun not in TOLD:
            return
        detail_type, fields = TOLD[noun]
        if after is None:
            if noun == "Model" and before is not None:
                self._tell(noun, detail_type, before)
            return
        if before is not None and all(before.get(field) == after.get(field) for field in fields):
            return
        self._tell(noun, detail_type, after)

    def _tell(self, noun: str, detail_type: str, after: Document) -> None:
        detail = {key: value for key, value in public(after).items() if key != "Environment"}
        if noun == "Endpoint":
            detail["EndpointStatus"] = ENDPOINT_STATES.get(detail["EndpointStatus"], detail["EndpointStatus"])
        self._emit(SOURCE, detail_type, detail, [after[KINDS[noun].arn_field]])
