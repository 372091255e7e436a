"""Code that stands in a template: one file, and the module with which it answers as a custom resource.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-lambda-function-code-cfnresponsemodule.html
"""

from __future__ import annotations

PYTHON = '''\
"""Answers for a custom resource."""
import json
import urllib.request

SUCCESS = "SUCCESS"
FAILED = "FAILED"


def send(event, context, responseStatus, responseData, physicalResourceId=None, noEcho=False, reason=None):
    answer = {
        "Status": responseStatus,
        "Reason": reason or f"See the details in CloudWatch Log Stream: {context.log_stream_name}",
        "PhysicalResourceId": physicalResourceId or context.log_stream_name,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "NoEcho": noEcho,
        "Data": responseData,
    }
    body = json.dumps(answer).encode()
    request = urllib.request.Request(event["ResponseURL"], body, {"content-type": ""}, method="PUT")
    try:
        with urllib.request.urlopen(request) as response:
            print("Status code:", response.status)
    except Exception as fault:
        print("send(..) failed:", fault)
'''
NODE = """\
// Answers for a custom resource.
const https = require("https");

exports.SUCCESS = "SUCCESS";
exports.FAILED = "FAILED";

exports.send = function (event, context, responseStatus, responseData, physicalResourceId, noEcho) {
  return new Promise((resolve, reject) => {
    const body = JSON.stringify({
      Status: responseStatus,
      Reason: "See the details in CloudWatch Log Stream: " + context.logStreamName,
      PhysicalResourceId: physicalResourceId || context.logStreamName,
      StackId: event.StackId,
      RequestId: event.RequestId,
      LogicalResourceId: event.LogicalResourceId,
      NoEcho: noEcho || false,
      Data: responseData,
    });
    const url = new URL(event.ResponseURL);
    const headers = { "content-type": "", "content-length": Buffer.byteLength(body) };
    const options = { hostname: url.hostname, port: 443, path: url.pathname + url.search, method: "PUT", headers };
    const request = https.request(options, (response) => {
      response.resume();
      resolve(context.done());
    });
    request.on("error", (fault) => {
      console.log("send(..) failed: " + fault);
      reject(context.done(fault));
    });
    request.write(body);
    request.end();
  });
};
"""


def with_response_module(runtime: str, source: str) -> dict[str, str]:
    """The files of a function whose code is this text."""
    if runtime.startswith("python"):
        return {"index.py": source, "cfnresponse.py": PYTHON}
    return {"index.js": source, "cfn-response.js": NODE, "node_modules/cfn-response/index.js": NODE}
