"""Writes coverage.md beside this file from the code: `python -m local_cloud.coverage`. A test holds the page to it.

What a cloud can do is never remembered, only read from what it does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from local_cloud.environment import isolate

PAGE = Path(__file__).with_suffix(".md")
# What was measured cannot be read from the code: it is written down with its date.
PARITY = Path(__file__).with_name("parity.md")

LONGEST_CELL = 200

HEAD = """# What the local cloud supports

Generated from the code by `python -m local_cloud.coverage`; do not edit. Everything that is not on this page is refused
by name: with the error `NotImplemented` (or the service's own error), never with a made-up answer.
"""


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table whose cells can be read: a longer list stands below it, by the row's name and the column's head."""
    yield f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}"
    below = []
    for row in rows:
        cells = list(row)
        for place, cell in enumerate(row):
            if len(cell) > LONGEST_CELL:
                cells[place] = "below"
                below.append(f"- **{row[0].strip('`')}**, {heads[place]}: {cell}")
        yield f"| {' | '.join(cells)} |"
    if below:
        yield "\n" + "\n".join(below)


def _services() -> Iterator[str]:
    from local_cloud.access.simulation import OPERATIONS as SIMULATIONS
    from local_cloud.cloudformation.service import CloudFormationService
    from local_cloud.functions.service import LambdaService
    from local_cloud.moto_services import implemented_operations
    from local_cloud.sagemaker.service import SageMakerService
    from local_cloud.services import REFUSED_OPERATIONS, SERVICES
    from local_cloud.stepfunctions.service import StatesService

    own = {
        "sagemaker": [*SageMakerService.operations(), "InvokeEndpoint"],
        "states": StatesService.operations(),
        "cloudformation": CloudFormationService.operations(),
        "lambda": LambdaService.operations(),
    }
    yield "## Services\n"
    rows = []
    for name, service in SERVICES.items():
        if service.owner == "cloud":
            rows.append((name, "the local cloud", str(len(own[name])), _names(own[name])))
            continue
        refused = {operation for signing, operation in REFUSED_OPERATIONS if signing == name}
        supported = implemented_operations(service.moto) - refused | set(SIMULATIONS if name == "iam" else ())
        rows.append((name, "moto", str(len(supported)), _names(list(supported))))
    yield from _table(("service", "answered by", "how many", "operations"), rows)
    yield "\nRefused although moto has an answer:\n"
    for (name, operation), reason in REFUSED_OPERATIONS.items():
        yield f"- `{name}:{operation}`: {reason}"


def _states() -> Iterator[str]:
    from local_cloud.stepfunctions.choice import COMPARISONS
    from local_cloud.stepfunctions.definition_fields import HOLDERS, fields_in, fields_of
    from local_cloud.stepfunctions.intrinsics import FUNCTIONS
    from local_cloud.stepfunctions.message_tasks import ACTIONS
    from local_cloud.stepfunctions.reading import BOTH, KINDS
    from local_cloud.stepfunctions.sagemaker_tasks import JOBS, PLAIN
    from local_cloud.stepfunctions.sdk_tasks import SDK_SERVICES

    yield "\n## Amazon States Language\n"
    rows = [(kind, *(_names(fields_of(kind, language)) for language in BOTH)) for kind in KINDS]
    yield from _table(("state", "fields in JSONPath", "fields in JSONata"), rows)
    yield ""
    rows = [(holder, *(_names(fields_in(holder, language)) for language in BOTH)) for holder in HOLDERS]
    yield from _table(("object in a state", "fields in JSONPath", "fields in JSONata"), rows)
    yield (
        "\nThese are the fields that a function of the interpreter reads (`Comment` is for people); any other is refused when the state "
        "machine is created. Executions of items with `ExecutionType: EXPRESS` run as STANDARD ones and can be listed."
    )
    yield f"\nIntrinsic functions: {_names(list(FUNCTIONS))}.\n"
    yield "JSONata functions of Step Functions' own: `$partition`, `$range`, `$hash`, `$random`, `$uuid`, `$parse`.\n"
    yield f"Comparison operators: {_names(list(COMPARISONS))}.\n"
    yield "Refused when the state machine is created:\n"
    yield "- in an express state machine what AWS refuses there: `.sync`, `.waitForTaskToken`, activities"
    yield ""
    rows = [
        ("`sagemaker`", f"{_names([*PLAIN, *JOBS])}; `.sync`: {_names(list(JOBS))}"),
        *(
            (f"`{service}`", f"{_names(list(actions))}, also `.waitForTaskToken`")
            for service, actions in ACTIONS.items()
        ),
        ("`states`", "`startExecution`, `.sync`, `.sync:2`"),
        ("`lambda`", "`invoke`, also `.waitForTaskToken`; a function's own ARN is a resource, too"),
        ("`aws-sdk`", f"every supported operation of {_names(list(SDK_SERVICES))}"),
    ]
    yield from _table(("integration", "actions"), rows)
    yield (
        "\nA distributed map is a map run with an execution for each item or batch, up to 64 at a time. Its items come from an "
        "array or from S3 (`listObjectsV2`, JSON, JSONL, CSV). Its results go back, or to S3 with `ResultWriter`, in the form of "
        "`WriterConfig`. AWS does not publish what it writes of failed executions; here it is their error and "
        "cause. The executions of a map run are standard ones, whatever `ExecutionType` says."
    )


def _stacks() -> Iterator[str]:
    from local_cloud.cloudformation.resources import REFUSED, TYPES, WITHOUT_EFFECT

    yield "\n## CloudFormation resource types\n"
    yield "A property that is not named here fails the deployment before anything is made.\n"
    rows = []
    for name, kind in sorted(TYPES.items()):
        idle = "; ".join(f"{prop}: {reason}" for prop, reason in sorted(kind.without_effect.items()))
        rows.append((f"`{name}`", _names(kind.properties), idle))
    yield from _table(("type", "properties", "accepted without effect, because"), rows)
    yield (
        "\n`Custom::Name` is a custom resource: its `ServiceToken` names a Lambda function or an SNS topic, and its other properties "
        "are its provider's business."
    )
    yield "\nTypes that are accepted and make nothing:\n"
    for name, reason in WITHOUT_EFFECT.items():
        yield f"- `{name}`: {reason}"
    yield "\nRefused, like every other type; the reason for those that people meet most:\n"
    for name, reason in REFUSED.items():
        yield f"- `{name}`: {reason}"
    yield "- template sections `Transform` and `Hooks`; `CreationPolicy`; importing resources; nested stacks"


def _functions() -> Iterator[str]:
    from local_cloud.functions.configuration import REFUSED, WITHOUT_EFFECT
    from local_cloud.functions.executions import MAXIMUM_AT_ONCE, WARM_SECONDS

    yield "\n## Lambda functions\n"
    yield "Runtimes: `python3.x` and `nodejsXX.x`, on this machine's own Python and Node.js. All others are refused by name.\n"
    yield (
        f"An execution environment is a process. It stays warm for {WARM_SECONDS:.0f} seconds, and {MAXIMUM_AT_ONCE} run at the same "
        "time. Memory is not limited.\n"
    )
    yield "Refused when a function asks for them:\n"
    for name, (_asks, why) in sorted(REFUSED.items()):
        yield f"- `{name}`: {why}"
    yield "- function URLs, concurrency, destinations, event sources other than SQS queues, weights of aliases"
    yield "\nAccepted without effect:\n"
    for name, why in sorted(WITHOUT_EFFECT.items()):
        yield f"- `{name}`: {why}"


def _requests() -> Iterator[str]:
    from local_cloud.cloudformation.accepted import IDLE, REFUSED
    from local_cloud.cloudformation.evaluate import FUNCTIONS

    yield "\n## CloudFormation functions and requests\n"
    yield f"Functions: {_names(list(FUNCTIONS))}.\n"
    yield "Refused when they ask for something; the local cloud"
    for name, (_asks, cannot) in sorted(REFUSED.items()):
        yield f"- `{name}`: {cannot}"
    yield f"\nAccepted, with nothing here to act on: {_names(list(IDLE))}."
    yield "`RoleARN` names a role that must exist; permissions are not checked."


def page() -> str:
    """The whole page."""
    lines = [HEAD, *_services(), *_functions(), *_states(), *_stacks(), *_requests()]
    return "\n".join(lines) + "\n" + PARITY.read_text(encoding="utf-8")


if __name__ == "__main__":
    isolate("us-east-1")
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE}\n")
