"""Runs a Python handler as AWS's runtime does. Started by sandbox.py, in the function's own process and Python.

A line of JSON on the first pipe is an invocation, a line on the second what became of it. What the function prints goes to
standard output; a line that begins with NUL is one log event, its newlines written as carriage returns. Nothing of the local
cloud can be imported here, and the Python may be an older or newer one than the cloud's.
https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html
"""

import decimal
import importlib
import json
import logging
import os
import resource
import sys
import time
import traceback

EVENT, END = "\0", "\0END "


class Identity:
    """The identity of a mobile application's user; Lambda's context always has one."""

    cognito_identity_id = None
    cognito_identity_pool_id = None


class ClientContext:
    """What a mobile SDK says about its application."""

    class Client:
        installation_id = app_title = app_version_name = app_version_code = app_package_name = None

    def __init__(self, said):
        self.custom, self.env, self.client = said.get("custom"), said.get("env"), None
        if "client" in said:
            self.client = self.Client()
            for name, value in said["client"].items():
                setattr(self.client, name, value)


class LambdaContext:
    """https://docs.aws.amazon.com/lambda/latest/dg/python-context.html"""

    def __init__(self, order):
        self.aws_request_id = order["id"]
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = order["arn"]
        self.tenant_id = None
        self.client_context = ClientContext(order["client"]) if order.get("client") else None
        self.identity = Identity()
        self._deadline = order["deadline"]

    def get_remaining_time_in_millis(self):
        return max(0, int(self._deadline - time.time() * 1000))

    def log(self, message):
        write(str(message))


class AddRequestId(logging.Filter):
    """Gives each record the request that it belongs to."""

    request_id = None

    def filter(self, record):
        record.aws_request_id = self.request_id
        return True


class Handler(logging.Handler):
    """Log records, each one event."""

    def emit(self, record):
        write(EVENT + self.format(record).rstrip("\n").replace("\n", "\r"))


class InitFailed(Exception):
    """The handler cannot be had; the arguments are the type and the message of the error."""


def write(line):
    """One line of the function's log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def find_handler(named):
    """The function that `module.name` means. Raises InitFailed with AWS's own types and words."""
    try:
        module_name, name = named.rsplit(".", 1)
    except ValueError as fault:
        raise InitFailed("Runtime.MalformedHandlerName", f"Bad handler '{named}': {fault}", None) from fault
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as fault:
        raise InitFailed(
            "Runtime.ImportModuleError", f"Unable to import module '{module_name}': {fault}", None
        ) from fault
    except SyntaxError as fault:
        where = [f'  File "{fault.filename}" Line {fault.lineno}\n    {fault.text}']
        raise InitFailed(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {fault}", where
        ) from fault
    try:
        return getattr(module, name)
    except AttributeError:
        raise InitFailed(
            "Runtime.HandlerNotFound", f"Handler '{name}' missing on module '{module_name}'", None
        ) from None


def described(kind, message, stack, request_id=""):
    """An error as the caller gets it, and as the log shows it."""
    error = {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": stack or []}
    shown = f"[ERROR] {kind}: {message}\nTraceback (most recent call last):\n{''.join(stack or [])}"
    write(EVENT + shown.rstrip("\n").replace("\n", "\r"))
    return json.dumps(error)


def stack_of(fault):
    """The function's own frames, each as Python prints it."""
    frames = traceback.extract_tb(fault.__traceback__)
    own = [
        (f.filename, f.lineno, f.name, f.line)
        for f in frames
        if f.filename != __file__ and "importlib" not in f.filename
    ]
    return traceback.format_list(own)


def plain(value):
    """What json does not know and AWS's runtime does."""
    if isinstance(value, (bytes, bytearray)):
        return value.decode()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def answer_of(handler, order):
    """Whether it went well, and the result or the error as text."""
    request_id = order["id"]
    try:
        event = json.loads(order["event"])
    except ValueError as fault:
        return False, described("Runtime.UnmarshalError", f"Unable to unmarshal input: {fault}", None, request_id)
    try:
        result = handler(event, LambdaContext(order))
    except Exception as fault:
        return False, described(type(fault).__name__, str(fault), stack_of(fault), request_id)
    try:
        if isinstance(result, bytes):  # the answer as it stands (recorded on AWS)
            return True, result.decode()
        return True, json.dumps(result, default=plain, ensure_ascii=False)
    except Exception as fault:
        return False, described("Runtime.MarshalError", f"Unable to marshal response: {fault}", None, request_id)


def start():
    """The handler, or the error that importing it ended in."""
    try:
        return find_handler(os.environ["_HANDLER"]), None
    except InitFailed as fault:
        return None, described(*fault.args)
    except Exception as fault:
        return None, described(type(fault).__name__, str(fault), stack_of(fault))


def log_as_aws_does(request):
    root = logging.getLogger()
    handler = Handler()
    form = "[%(levelname)s]\t%(asctime)s.%(msecs)dZ\t%(aws_request_id)s\t%(message)s"
    formatter = logging.Formatter(form, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(request)
    root.addHandler(handler)


def main():
    request = AddRequestId()
    log_as_aws_does(request)
    orders = open(sys.argv[1], "rb")  # noqa: SIM115 - for as long as the process lives
    answers = open(sys.argv[2], "wb", buffering=0)  # noqa: SIM115
    sys.argv[1:] = []
    task = os.environ["LAMBDA_TASK_ROOT"]
    sys.path[:0] = [task]
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))

    def say(**answer):
        # Whatever was printed stands in the log before the answer counts.
        sys.stdout.flush()
        sys.stderr.flush()
        data = memoryview(json.dumps(answer).encode() + b"\n")
        while data:
            data = data[answers.write(data) :]

    handler, error = start()
    say(kind="ready")
    for line in orders:
        order = json.loads(line)
        request.request_id = order["id"]
        os.environ["_X_AMZN_TRACE_ID"] = order["trace"]
        well, body = (False, error) if handler is None else answer_of(handler, order)
        sys.stdout.flush()
        os.write(1, (END + order["id"] + "\n").encode())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        say(kind="answer", id=order["id"], well=well, body=body, peak=peak, broken=handler is None)


main()
