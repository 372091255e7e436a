"""The fields of each state in both query languages, and the JSON type that each field has."""

from __future__ import annotations

from typing import Any

ALWAYS = {"Type", "Comment", "QueryLanguage"}
ONWARD = {"Next", "End", "Assign"}
COMMON = ALWAYS | ONWARD | {"InputPath", "OutputPath"}
RESULT = {"Parameters", "ResultSelector", "ResultPath", "Retry", "Catch"}
MAP = {"ItemSelector", "ItemProcessor", "MaxConcurrency", "ItemReader", "ItemBatcher", "ResultWriter", "Label",
       "ToleratedFailureCount", "ToleratedFailurePercentage"}  # fmt: skip
FIELDS = {
    "Pass": COMMON | {"Result", "ResultPath", "Parameters"},
    "Task": COMMON | RESULT
    | {"Resource", "TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds", "HeartbeatSecondsPath", "Credentials"},
    "Choice": COMMON - {"Next", "End"} | {"Choices", "Default"},
    "Wait": COMMON | {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"},
    "Succeed": COMMON - ONWARD,
    "Fail": ALWAYS | {"Error", "Cause", "ErrorPath", "CausePath"},
    "Parallel": COMMON | RESULT | {"Branches"},
    "Map": COMMON | RESULT | MAP
    | {"ItemsPath", "Iterator", "MaxConcurrencyPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath"},
}  # fmt: skip
# The same in JSONata: no paths; expressions `{% … %}` stand in the fields themselves.
JSONATA_FIELDS = {
    "Pass": ALWAYS | ONWARD | {"Output"},
    "Task": ALWAYS | ONWARD
    | {"Output", "Arguments", "Resource", "TimeoutSeconds", "HeartbeatSeconds", "Credentials", "Retry", "Catch"},
    "Choice": ALWAYS | {"Assign", "Output", "Choices", "Default"},
    "Wait": ALWAYS | ONWARD | {"Output", "Seconds", "Timestamp"},
    "Succeed": ALWAYS | {"Output"},
    "Fail": ALWAYS | {"Error", "Cause"},
    "Parallel": ALWAYS | ONWARD | {"Output", "Arguments", "Branches", "Retry", "Catch"},
    "Map": ALWAYS | ONWARD | MAP | {"Output", "Items", "Retry", "Catch"},
}  # fmt: skip
LANGUAGES = ("JSONPath", "JSONata")
# The order in which AWS names them.
KINDS = ("Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map")
REQUIRED = {"Task": ["Resource"], "Choice": ["Choices"], "Parallel": ["Branches"]}
CATCH = {
    "JSONPath": ("ErrorEquals", "Next", "ResultPath", "Assign", "Comment"),
    "JSONata": ("ErrorEquals", "Next", "Output", "Assign", "Comment"),
}
TEXT = ("Comment", "Type", "Next", "Default", "StartAt", "QueryLanguage", "Resource", "Label", "InputPath", "OutputPath",
        "ResultPath", "ItemsPath", "SecondsPath", "TimestampPath", "TimeoutSecondsPath", "HeartbeatSecondsPath",
        "MaxConcurrencyPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath", "ErrorPath", "CausePath",
        "Error", "Cause", "Timestamp", "Variable", "Condition", "Version")  # fmt: skip
ARRAYS = ("Branches", "Retry", "Catch", "Choices", "And", "Or", "ErrorEquals")
OBJECTS = ("States", "ItemProcessor", "Iterator", "ItemReader", "ItemBatcher", "ResultWriter", "ProcessorConfig", "Not",
           "Credentials", "Assign")  # fmt: skip
NUMBERS = ("Seconds", "TimeoutSeconds", "HeartbeatSeconds", "MaxConcurrency", "ToleratedFailureCount",
           "ToleratedFailurePercentage", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds")  # fmt: skip
NULLABLE = ("InputPath", "OutputPath", "ResultPath")


def wrong_types(holder: dict[str, Any]) -> dict[str, str]:
    """The fields of a machine, a state or a rule whose value has not the type it must have, and that type."""
    return {
        field: wanted
        for field, value in holder.items()
        if (wanted := _wanted(field)) and not _is(wanted, value) and not (value is None and field in NULLABLE)
    }


def _wanted(field: str) -> str | None:
    lists = (("String", TEXT), ("Array", ARRAYS), ("Object", OBJECTS), ("Number", NUMBERS), ("Boolean", ("End",)))
    return next((kind for kind, fields in lists if field in fields), None)


def _is(wanted: str, value: Any) -> bool:
    if wanted == "Number":  # or, in JSONata, an expression that gives one
        return isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool))
    return isinstance(value, {"String": str, "Array": list, "Object": dict, "Boolean": bool}[wanted])
