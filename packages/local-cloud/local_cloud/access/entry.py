"""What a request as it travels needs permission for: each protocol names operation, resource and tags in its own way."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import unescape

from local_cloud import rest_json, sqs_query
from local_cloud.access.actions import Needed, Place, needed, needed_of_s3
from local_cloud.form import json_body, query_request
from local_cloud.moto_services import operation_of
from local_cloud.services import Service
from local_cloud.wire import Request

_INVOCATION = re.compile(r"/endpoints/([^/]+)/invocations")
_KEY = re.compile(rb"<Key>(.*?)</Key>", re.DOTALL)


def permissions_of(request: Request, service: Service, place: Place) -> list[Needed]:
    """The permissions for this request. Raises what AWS answers to a request that cannot be read."""
    if service.signing_name == "s3":
        return _of_s3(request, service)
    invocation = _INVOCATION.fullmatch(request.raw_path)
    if invocation:
        endpoint = place.arn("sagemaker", f"endpoint/{unquote(invocation[1]).lower()}")
        target = request.header("x-amzn-sagemaker-target-model")
        return [Needed("sagemaker:InvokeEndpoint", endpoint, {"sagemaker:targetmodel": [target]} if target else {})]
    request.decompress()
    if service.protocol == "rest-json":
        operation, asked = rest_json.parsed(request, service)
        return needed(service.signing_name, operation, asked, place)
    operation = operation_of(request, service)
    if sqs_query.speaks(request, service.signing_name):
        return needed(service.signing_name, operation, sqs_query.parameters(request), place)
    if service.protocol == "query" and "json" not in request.header("content-type"):
        return needed(service.signing_name, operation, query_request(service, operation, request), place)
    return needed(service.signing_name, operation, json_body(request), place)


def _of_s3(request: Request, service: Service) -> list[Needed]:
    operation = operation_of(request, service)
    bucket, _, key = request.raw_path.lstrip("/").partition("/")
    keys = []
    if operation == "DeleteObjects":
        keys = [unescape(found.decode("utf-8", "replace")) for found in _KEY.findall(request.body())]
    query = dict(parse_qsl(request.query, keep_blank_values=True))
    return needed_of_s3(operation, bucket, unquote(key), query, request.headers(), keys)
