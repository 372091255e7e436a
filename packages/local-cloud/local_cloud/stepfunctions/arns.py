"""Names and ARNs of Step Functions' resources: what AWS accepts, and its words for what it does not."""

from __future__ import annotations

import re

from local_cloud.errors import AwsError

# https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html
NOT_IN_NAMES = re.compile(r'[\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]')


def check_name(name: str) -> None:
    """Raise InvalidName for a name of a state machine, execution or activity that AWS refuses."""
    if NOT_IN_NAMES.search(name):
        raise AwsError("InvalidName", f"Invalid Name: '{name}'")


def check_arn(arn: str, *kinds: str) -> None:
    """Raise InvalidArn unless `arn` names one of these kinds of resource."""
    if not arn.startswith("arn:"):
        raise AwsError("InvalidArn", f"Invalid Arn: 'Invalid ARN prefix: {arn}'")
    parts = arn.split(":")
    kind = parts[5] if len(parts) > 5 else ""
    if kinds and kind not in kinds:
        raise AwsError("InvalidArn", f"Invalid Arn: 'Resource type not valid in this context: {kind}'")


def unqualified(arn: str) -> tuple[str, str]:
    """A state machine's ARN without its version or alias, and that version or alias (or an empty text)."""
    parts = arn.split(":")
    return ":".join(parts[:7]), ":".join(parts[7:])
