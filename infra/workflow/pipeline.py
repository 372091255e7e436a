"""The pipeline, from the first step to the last. What a step does is in its own module, and nowhere else.

A new step is a subclass of Step in a module of its own and a line here: its states, the rights of its role, those of the state machine
and its row in docs/architecture.md follow.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.settings import Settings
from infra.workflow.batch_transform import BatchTransform, CreateModel
from infra.workflow.check_training_health import CheckTrainingHealth
from infra.workflow.clarify import ExplainWithClarify, MeasureBias
from infra.workflow.evaluate_predictions import EvaluatePredictions
from infra.workflow.job import Job
from infra.workflow.name_jobs import NameJobs
from infra.workflow.platform import Platform
from infra.workflow.prepare_dataset import PrepareDataset
from infra.workflow.publish import Publish
from infra.workflow.quality_gate import QualityGate
from infra.workflow.register_model import RegisterModel
from infra.workflow.step import Step
from infra.workflow.train_best_model import TrainBestModel
from infra.workflow.write_report import End, WriteReport

Steps = tuple[type[Step], ...]

UP_TO_THE_GATE: Steps = (
    NameJobs, PrepareDataset, TrainBestModel, CheckTrainingHealth, CreateModel, ExplainWithClarify, BatchTransform,
    EvaluatePredictions, MeasureBias,
)  # fmt: skip
OF_A_MODEL_THAT_PASSED: Steps = (RegisterModel, Publish)
IN_EITHER_CASE: Steps = (WriteReport, End)


def pipeline(scope: Construct, platform: Platform) -> sfn.IChainable:
    """All states of the pipeline's state machine below `scope`."""
    passed = [one for one in OF_A_MODEL_THAT_PASSED if one is not Publish or publishes(platform)]
    gate = QualityGate(scope, platform, met=in_order(scope, platform, passed))
    return (
        in_order(scope, platform, UP_TO_THE_GATE)
        .next(gate)
        .next(in_order(scope, platform, IN_EITHER_CASE))
    )  # fmt: skip


def in_order(scope: Construct, platform: Platform, steps: Sequence[type[Step]]) -> sfn.Chain:
    first, *others = (step(scope, platform) for step in steps)
    chain = sfn.Chain.start(first)
    for step in others:
        chain = chain.next(step)
    return chain


def every_step() -> Steps:
    return (*UP_TO_THE_GATE, *OF_A_MODEL_THAT_PASSED, *IN_EITHER_CASE)


def rights(platform: Platform) -> list[iam.PolicyStatement]:
    """Of the state machine, beyond what its calls bring."""
    return [one for step in every_step() if step is not Publish or publishes(platform) for one in step.rights(platform)]


def publishes(platform: Platform) -> bool:
    """A version that waits for a person's approval is not published."""
    return platform.settings.approval == "automatic"


def jobs(settings: Settings) -> list[Job]:
    """What all steps let run, in their order: roles and docs are made from it."""
    return [job for step in every_step() for job in step.jobs(settings)]
