"""SQS's older protocol, which SDKs of before 2023 and plain HTTP clients speak: a form, or a query at the queue's own address.

moto answers forms; here a query becomes one. Refuses what AWS refuses: an action that is not one of a queue's at its address.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-xml.html
"""

from __future__ import annotations

from typing import Any

from local_cloud.errors import AwsError
from local_cloud.form import form_values
from local_cloud.services import service_model
from local_cloud.wire import Request

FORM = "application/x-www-form-urlencoded"
# These are of the account, not of a queue.
AT_ROOT = {"CreateQueue", "ListQueues"}


def speaks(request: Request, signing_name: str) -> bool:
    """Whether a request is one of this protocol."""
    if signing_name != "sqs" or request.header("x-amz-target"):
        return False
    return request.method == "GET" or request.header("content-type").startswith(FORM)


def action_of(request: Request) -> str:
    """The action that the request names. Raises what AWS answers where it is none of this address."""
    action = form_values(request).get("Action", "")
    if not action:
        raise AwsError("UnknownOperationException", "The request names no action.", 404)
    at_queue = request.raw_path.strip("/") != ""
    if action not in service_model("sqs").operation_names or (at_queue and action in AT_ROOT):
        raise AwsError("InvalidAction", f"The action {action[:200]} is not valid for this endpoint.")
    return action


def parameters(request: Request) -> dict[str, Any]:
    """What permissions are judged by: the queue, which may stand in the address only."""
    values: dict[str, Any] = dict(form_values(request))
    if request.raw_path.strip("/"):
        values["QueueUrl"] = request.raw_path
    return values


def as_form(request: Request) -> None:
    """From now on the request is a form, whatever came."""
    if request.method != "GET":
        return
    request.body()  # what the signature was for
    request.replace_body(request.query.encode())
    request.method = request.environ["REQUEST_METHOD"] = "POST"
    request.query = request.environ["QUERY_STRING"] = ""
    request.environ["REQUEST_URI"] = request.raw_path
    request.environ["CONTENT_TYPE"] = f"{FORM}; charset=utf-8"
    request.replace_headers({"content-type": FORM})
    request.environ.pop("HTTP_CONTENT_TYPE", None)
