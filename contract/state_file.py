"""JSON files that a state machine wrote by `aws-sdk:s3:putObject`: input.json, outcome.json, skipped.json, rules.json.

Step Functions makes JSON of a body whatever its type. A state that passes text which is JSON already stores a JSON string
that holds JSON: such a file is refused by name instead of being taken for what it is not.
https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
"""

from __future__ import annotations

from typing import Any

from contract.foreign_json import parse
from contract.validation import InvalidField

KINDS: dict[type, str] = {dict: "an object", list: "a list"}
ENCODED_TWICE = (
    "It was encoded twice: the state that wrote it passed text (States.JsonToString) as the body of putObject, and "
    "Step Functions made JSON of it again. Deploy the stacks of this version, whose states pass the object, and start again."
)


def read_state_file(name: str, text: str | bytes, kind: type = dict) -> Any:
    """The object or list in a file; raise InvalidField, a sentence with the file's name and what was found in it."""
    try:
        found = parse(text)
    except ValueError as error:  # bytes that are not text are one, too
        raise InvalidField(name, text, f"JSON with {KINDS[kind]} ({error})") from None
    if isinstance(found, str):
        raise InvalidField(name, found, f"JSON with {KINDS[kind]}, not with text", ENCODED_TWICE)
    if not isinstance(found, kind):
        raise InvalidField(name, found, f"JSON with {KINDS[kind]}")
    return found
