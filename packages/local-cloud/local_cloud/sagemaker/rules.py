"""Debugger and profiler rules of a training job: which program evaluates them, and what is refused by name.

The images of SageMaker's built-in rules run on AWS alone. In their place a labelled image's program is run:

    LABEL local-cloud.rule-evaluator="<command>"

`<command> --list` prints the names that `rule_to_invoke` may have, as a JSON list; `<command> --rules-config FILE --input DIR
--output DIR` evaluates the configurations in FILE (as CreateTrainingJob takes them) on the training's output and writes
`DIR/<RuleConfigurationName>/`, with `outcome.json` (`RuleEvaluationStatus`, `StatusDetails`) in it. The image is, in this order: the
rule's own image when the local registry has it, the training job's, the newest in the registry with the label.
Refused: custom rules (their source is run by an AWS image), unknown rules, and rules that no image here evaluates.
"""

import json
import re
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Any

from local_cloud.docker.store import Image
from local_cloud.errors import AwsError
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.s3_locations import Location
from local_cloud.sagemaker.store import Document
from local_cloud.sagemaker.support import invalid, refuse_unsupported

LABEL = "local-cloud.rule-evaluator"
STATUSES = {
    "DebugRuleConfigurations": "DebugRuleEvaluationStatuses",
    "ProfilerRuleConfigurations": "ProfilerRuleEvaluationStatuses",
}
# Whose S3OutputPath a rule's results go to when it names none of its own.
OUTPUTS = {"DebugRuleConfigurations": "DebugHookConfig", "ProfilerRuleConfigurations": "ProfilerConfig"}
SUPPORTED = (
    "RuleConfigurationName", "RuleEvaluatorImage", "RuleParameters", "S3OutputPath", "LocalPath", "InstanceType",
    "VolumeSizeInGB",
)  # fmt: skip
# https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-reference.html#debugger-built-in-rules-registry-ids
BUILT_IN = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/sagemaker-debugger-rules(:[\w.-]+)?")
FOLDER_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
LIST_SECONDS = 60


@dataclass(frozen=True)
class Evaluator:
    """An image and the command in it that evaluates rules."""

    image: Any
    command: tuple[str, ...]


def rules_of(job: Document) -> list[tuple[str, Document]]:
    """All rule configurations of a request or job with the field they stand in."""
    return [(field, rule) for field in STATUSES for rule in job.get(field, [])]


def check_rules(runtime: Runtime, request: Document) -> None:
    """Refuses rules that nothing here could evaluate, before anything is started."""
    for field in STATUSES:
        names = [rule["RuleConfigurationName"] for rule in request.get(field, [])]
        for name in {name for name in names if names.count(name) > 1}:
            raise invalid(f"{field} names {name!r} more than once; names must be unique.")
    for field, rule in rules_of(request):
        _check_rule(runtime, request, field, rule)


def _check_rule(runtime: Runtime, request: Document, field: str, rule: Document) -> None:
    name = rule["RuleConfigurationName"]
    where = f"the rule {name!r} of {field}"
    refuse_unsupported(where, rule, SUPPORTED)
    if not FOLDER_NAME.fullmatch(name):
        raise invalid(
            f"RuleConfigurationName {name!r} cannot be a folder below rule-output/; the local cloud takes letters, digits, "
            "dots, hyphens and underscores, beginning with a letter or digit."
        )
    if not any("S3OutputPath" in block for block in (rule, request.get(OUTPUTS[field], {}))):
        raise invalid(f"{where} needs an S3OutputPath, its own or that of {OUTPUTS[field]}.")
    Location.parse(output_of(request, field, rule))
    asked = rule.get("RuleParameters", {}).get("rule_to_invoke")
    evaluator = evaluator_of(runtime, request, rule, where)
    if asked is None or "source_s3_uri" in rule.get("RuleParameters", {}):
        raise invalid(
            f"{where} is a custom rule: the local cloud does not run the source of rules. Name one of its rules in "
            f"RuleParameters.rule_to_invoke: {', '.join(available_rules(runtime, evaluator))}."
        )
    if asked not in (known := available_rules(runtime, evaluator)):
        raise invalid(f"rule_to_invoke of {where} is {asked!r}; available here: {', '.join(known)}.")


def output_of(job: Document, field: str, rule: Document) -> str:
    """The S3 prefix below which `<job>/rule-output/` lies."""
    return rule.get("S3OutputPath") or job[OUTPUTS[field]]["S3OutputPath"]


def evaluator_of(runtime: Runtime, request: Document, rule: Document, where: str) -> Evaluator:
    """The program that stands in for the rule's image."""
    asked = rule["RuleEvaluatorImage"]
    if not BUILT_IN.fullmatch(asked):
        return _labelled(runtime, asked, where)
    images = runtime.context.images
    own = request["AlgorithmSpecification"]["TrainingImage"]
    if images.framework(own) is None and LABEL in images.resolve(own).config.labels:
        return _labelled(runtime, own, where)
    if image := images.labelled(LABEL):
        return _with_command(image)
    raise invalid(
        f"Nothing here evaluates {where}: {asked} runs on AWS alone, and no image in the local registry has the label {LABEL}. "
        "Push one that has it, or leave the rule out."
    )


def _labelled(runtime: Runtime, uri: str, where: str) -> Evaluator:
    try:
        image = runtime.context.images.resolve(uri)
    except AwsError as error:
        raise invalid(f"RuleEvaluatorImage of {where}: {error.message}") from error
    if LABEL not in image.config.labels:
        raise invalid(f"The image {uri} evaluates no rules: it has no label {LABEL}, which {where} needs.")
    return _with_command(image)


def _with_command(image: Image) -> Evaluator:
    return Evaluator(image, tuple(shlex.split(image.config.labels[LABEL])))


def available_rules(runtime: Runtime, evaluator: Evaluator) -> list[str]:
    """What the program itself says; asked once per image."""
    known = runtime.rule_names.get(evaluator.image.id)
    if known is None:
        known = runtime.rule_names[evaluator.image.id] = _asked(evaluator)
    return known


def _asked(evaluator: Evaluator) -> list[str]:
    with tempfile.TemporaryDirectory() as base:
        process = evaluator.image.process(["--list"], base, entrypoint=list(evaluator.command))
        try:
            said = subprocess.run(
                process.argv,
                env=process.env,
                cwd=process.cwd,
                capture_output=True,
                text=True,
                timeout=LIST_SECONDS,
                check=True,
            )
            return [str(name) for name in json.loads(said.stdout.strip().splitlines()[-1])]
        except (subprocess.SubprocessError, OSError, ValueError, IndexError) as error:
            said_last = (getattr(error, "stderr", "") or "").strip().splitlines()[-1:]
            raise invalid(
                f"`{' '.join(evaluator.command)} --list` of the image {evaluator.image.id} did not print a JSON list of rule "
                f"names: {type(error).__name__} {' '.join(said_last)}"
            ) from error
