"""The evaluation of a training job's rules: statuses from the start, one process per image when the training has ended.

As on AWS the training job itself is over before its rules are: DescribeTrainingJob says so per rule, each has a processing job
of its own, and results lie below `<S3OutputPath>/<job>/rule-output/<RuleConfigurationName>/`.
https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-how-it-works.html
"""

import contextlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from local_cloud.sagemaker.containers import Container, stop_all
from local_cloud.sagemaker.job_logs import JobLog, stream_name
from local_cloud.sagemaker.kinds import FINAL_STATUSES
from local_cloud.sagemaker.launch import launch, role_environment
from local_cloud.sagemaker.mirror import store_file
from local_cloud.sagemaker.rules import STATUSES, Evaluator, evaluator_of, output_of, rules_of
from local_cloud.sagemaker.runtime import Runtime
from local_cloud.sagemaker.s3_locations import Location
from local_cloud.sagemaker.store import Document, Store

if TYPE_CHECKING:
    from local_cloud.sagemaker.training_run import TrainingRun

LOGGER = logging.getLogger(__name__)
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
ABANDONED = "The local cloud stopped before the rule was evaluated."
DETAILS_LIMIT, OUTCOME_LIMIT = 1024, 1024 * 1024
# The values of RuleEvaluationStatus that an evaluator may give.
ANSWERS = ("IssuesFound", "NoIssuesFound", "Error")
DEFAULT_CLUSTER = {"InstanceCount": 1, "InstanceType": "ml.t3.medium", "VolumeSizeInGB": 10}


def begin_evaluations(runtime: Runtime, job: Document) -> Document:
    """Fields of a job that has just been created: each rule InProgress, with a processing job that can be described."""
    fields: Document = {field: [] for field in STATUSES.values()}
    for field, rule in rules_of(job):
        name = f"{job['TrainingJobName'][:26]}-{rule['RuleConfigurationName'][:26].replace('_', '-')}-{uuid.uuid4().hex[:8]}"
        arn, moment = runtime.arn("ProcessingJob", name), runtime.store.now()
        fields[STATUSES[field]].append({
            "RuleConfigurationName": rule["RuleConfigurationName"], "RuleEvaluationJobArn": arn,
            "RuleEvaluationStatus": "InProgress", "LastModifiedTime": moment,
        })  # fmt: skip
        cluster = {**DEFAULT_CLUSTER, **{k: rule[k] for k in ("InstanceType", "VolumeSizeInGB") if rule.get(k)}}
        runtime.store.add("ProcessingJob", name, {
            "ProcessingJobName": name, "ProcessingJobArn": arn, "ProcessingJobStatus": "InProgress",
            "AppSpecification": {"ImageUri": rule["RuleEvaluatorImage"]}, "Environment": rule.get("RuleParameters", {}),
            "ProcessingResources": {"ClusterConfig": cluster}, "RoleArn": job["RoleArn"],
            "StoppingCondition": job["StoppingCondition"], "TrainingJobArn": job["TrainingJobArn"],
            "CreationTime": moment, "LastModifiedTime": moment,
        })  # fmt: skip
    return {field: statuses for field, statuses in fields.items() if statuses}


class RuleEvaluation:
    """Evaluates the rules of one job on what its first host left in `base`; `run` is the training's own run."""

    def __init__(self, run: "TrainingRun", base: Path, mirrored: Sequence[Path]) -> None:
        self.run, self.runtime, self.job = run, run.runtime, run.job
        self.base, self.mirrored = base, mirrored
        self.folder = run.folder / "rules"

    def execute(self) -> None:
        """Every rule ends with a status, whatever goes wrong: the training itself is over."""
        try:
            groups = self._by_evaluator()
            for evaluator, rules in groups:
                self._evaluate(evaluator, rules)
        except Exception as error:
            LOGGER.exception("the rules of %s could not be evaluated", self.run.name)
            for field, rule in rules_of(self.job):
                self._end(field, rule, "Error", f"{type(error).__name__}: {getattr(error, 'message', error)}")

    def abandon(self) -> None:
        for field, rule in rules_of(self.job):
            self._end(field, rule, "Stopped", ABANDONED)

    def _by_evaluator(self) -> list[tuple[Evaluator, list[tuple[str, Document]]]]:
        groups: dict[str, tuple[Evaluator, list[tuple[str, Document]]]] = {}
        for field, rule in rules_of(self.job):
            evaluator = evaluator_of(self.runtime, self.job, rule, f"the rule {rule['RuleConfigurationName']!r}")
            groups.setdefault(evaluator.image.id, (evaluator, []))[1].append((field, rule))
        return list(groups.values())

    def _evaluate(self, evaluator: Evaluator, rules: list[tuple[str, Document]]) -> None:
        """Debugger's and the profiler's rules are lists of their own, so the same name may stand in both."""
        for field in STATUSES:
            mine = [rule for other, rule in rules if other == field]
            if mine and not self._in_process(evaluator, field, mine):
                return

    def _in_process(self, evaluator: Evaluator, field: str, rules: list[Document]) -> bool:
        """False when the evaluation was stopped."""
        base = self.folder / field / "ml"
        self._lay_out(base, rules)
        container = self._launch(evaluator, base, [self._evaluation_job(field, rule) for rule in rules])
        self.run.containers = [container]
        deadline = self.run.clock.ticks() + self.job["StoppingCondition"]["MaxRuntimeInSeconds"]
        while (outcome := self.run.await_containers(deadline)) == "interrupt":
            self.run.control.interrupt_requested = False  # it was meant for the training's spot instance
        if outcome != "exited":
            grace = 0 if self.runtime.stopping.is_set() else self.runtime.settings.stop_grace_seconds
            stop_all([container], grace)
        if outcome == "stop":
            self.abandon()
            return False
        for rule in rules:
            self._conclude(field, rule, base / "output" / rule["RuleConfigurationName"], container)
        return True

    def _lay_out(self, base: Path, rules: list[Document]) -> None:
        """The training's output under other names but not copied: hard links, which the evaluation reads alone."""
        seen = base / "input"
        (base / "output").mkdir(parents=True, exist_ok=True)
        seen.mkdir(parents=True, exist_ok=True)
        (base / "rules.json").write_text(json.dumps(rules, default=str))
        output = self.base / "output"
        others = [folder for folder in self.mirrored if not folder.is_relative_to(output)]
        for folder in (output, *others):
            if folder.is_dir():
                shutil.copytree(folder, seen / folder.name, copy_function=os.link, symlinks=True, dirs_exist_ok=True)

    def _launch(self, evaluator: Evaluator, base: Path, jobs: Sequence[str]) -> Container:
        host = "algo-1"
        logs = [JobLog(self.runtime.context, LOG_GROUP, stream_name(name, self.run.clock.now(), host)) for name in jobs]

        def write(lines: list[str]) -> None:
            for log in logs:
                log.write(lines)

        isolated = self.job["EnableNetworkIsolation"]
        environment = role_environment(self.runtime, self.job["RoleArn"], isolated, "")  # rules are AWS's own images
        return launch(
            self.runtime, evaluator.image, base, environment, on_lines=write, on_exit=self.run.control.ring,
            arguments=["--rules-config", "/opt/ml/rules.json", "--input", "/opt/ml/input", "--output", "/opt/ml/output"],
            entrypoint=list(evaluator.command), isolated=isolated,
        )  # fmt: skip

    def _conclude(self, field: str, rule: Document, results: Path, container: Container) -> None:
        try:
            said = json.loads(self.run.outputs.text(results / "outcome.json", OUTCOME_LIMIT))
            status, details = said["RuleEvaluationStatus"], said.get("StatusDetails", "")
            if status not in ANSWERS:
                raise ValueError(f"RuleEvaluationStatus is {status!r}; allowed: {', '.join(ANSWERS)}")
            self._upload(field, rule, results)
        except (OSError, ValueError, KeyError) as error:
            ended = container.describe_exit() or f"exit code {container.exit_code}"
            last = " ".join(container.last_lines[-1:]) if container.returncode else ""
            status, details = "Error", f"The evaluator gave no outcome ({ended}): {last or error}"
        self._end(field, rule, status, details)

    def _upload(self, field: str, rule: Document, results: Path) -> None:
        name = rule["RuleConfigurationName"]
        where = Location.parse(output_of(self.job, field, rule)).below(f"{self.run.name}/rule-output/{name}")
        outputs = self.run.outputs
        for path in outputs.files(results):
            with outputs.opened(path) as source:
                store_file(self.runtime.context.objects, where.below(path.relative_to(results).as_posix()), source)

    def _statuses(self, field: str, rule: Document) -> tuple[list[Document], Document]:
        """All statuses of the field, and the one of this rule among them."""
        statuses = self.runtime.store.get("TrainingJob", self.run.name)[STATUSES[field]]
        return statuses, next(s for s in statuses if s["RuleConfigurationName"] == rule["RuleConfigurationName"])

    def _evaluation_job(self, field: str, rule: Document) -> str:
        return self._statuses(field, rule)[1]["RuleEvaluationJobArn"].rpartition("/")[2]

    def _end(self, field: str, rule: Document, status: str, details: str) -> None:
        moment, said = self.run.now(), details[:DETAILS_LIMIT]
        statuses, mine = self._statuses(field, rule)
        mine |= {"RuleEvaluationStatus": status, "StatusDetails": said, "LastModifiedTime": moment}
        self.run.change(**{STATUSES[field]: statuses})
        ended = "Stopped" if status == "Stopped" else "Completed"
        with contextlib.suppress(Exception):  # the record of the evaluation; its outcome is above
            self.runtime.store.change(
                "ProcessingJob", mine["RuleEvaluationJobArn"].rpartition("/")[2],
                ProcessingJobStatus=ended, ProcessingEndTime=moment, ExitMessage=said,
            )  # fmt: skip


def abandon_evaluations(store: Store) -> None:
    """Rules that an earlier cloud process left unevaluated after their job had ended; what they would read is gone."""
    for job in store.all("TrainingJob", lambda d: d["TrainingJobStatus"] in FINAL_STATUSES):
        changed = {}
        for field in STATUSES.values():
            statuses = job.get(field, [])
            open_ones = [one for one in statuses if one["RuleEvaluationStatus"] == "InProgress"]
            for one in open_ones:
                one |= {"RuleEvaluationStatus": "Stopped", "StatusDetails": ABANDONED, "LastModifiedTime": store.now()}
                name = one["RuleEvaluationJobArn"].rpartition("/")[2]
                store.change("ProcessingJob", name, ProcessingJobStatus="Stopped", ProcessingEndTime=store.now())
            if open_ones:
                changed[field] = statuses
        if changed:
            store.change("TrainingJob", job["TrainingJobName"], **changed)
