"""An account that answers the pipeline's calls with what SageMaker's Describe operations answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from contract.execution_input import ExecutionInput
from contract.plan import BiasPlan, Plan
from tests.infra.state_machine import Outcome, StateMachine, TaskFailed
from tests.plans import planned

SAMPLE = {"dataset": "s3://data/datasets/photos.zip"}
EVALUATION = {"accuracy": 0.95, "balanced_accuracy": 0.94, "worst_class_recall": 0.9, "macro_f1": 0.93}
BEST = {"learning_rate": "0.0042", "batch_size": "64"}
VERDICT = {
    "status": "NoIssuesFound", "issues_found": 0, "no_data": 1, "issues": [], "issue_names": "none", "stopped_by": "none",
}  # fmt: skip
OTHERS_LOG = "/aws/sagemaker/Endpoints/darkroom-full-cpu"
NAMES = ("ProcessingJobName", "TrainingJobName", "HyperParameterTuningJobName", "TransformJobName")


class Account:
    """`failing` maps a state to the TaskFailed that it meets, or to what its failed job's description adds."""

    def __init__(
        self, definition: dict[str, Any], evaluation: dict[str, float] | None = None,
        failing: dict[str, TaskFailed | dict[str, Any]] | None = None, verdict: dict[str, Any] | None = None,
        rule_statuses: Sequence[str] = ("NoIssuesFound",), traced: bool = True,
    ):  # fmt: skip
        self.machine = StateMachine(definition, self.answer)
        self.evaluation = {**EVALUATION, **(evaluation or {})}
        self.failing = failing or {}
        self.objects: dict[str, str] = {}
        self.parameters: dict[str, str] = {}
        # Days by name; None: for ever. What SageMaker makes for a shadow endpoint is there as soon as its job runs.
        self.log_groups: dict[str, int | None] = {}
        self.verdict = {**VERDICT, **(verdict or {})}
        # What DescribeTrainingJob says each time it is asked; the last answer stays.
        self.rule_statuses = list(rule_statuses)
        # Whether the backbone is there as ONNX; without, `prepare` says in the image without PyTorch that it needs the other.
        self.traced = traced

    def run(self, given: dict[str, Any]) -> Outcome:
        return self.machine.run(given)

    def answer(self, state: str, resource: str, request: dict[str, Any]) -> dict[str, Any]:
        trouble = self.failing.get(state)
        if isinstance(trouble, TaskFailed):
            raise trouble
        if trouble:
            raise TaskFailed("States.TaskFailed", json.dumps({**request, **trouble}))
        action = resource.rsplit(":", 1)[1].removesuffix(".sync")
        return getattr(self, f"_{action}")(request)

    def _putObject(self, request: dict[str, Any]) -> dict[str, Any]:
        # Step Functions makes JSON of a body whatever its type: text would lie there with its quotes.
        self.objects[request["Key"]] = json.dumps(request["Body"])
        return {"ETag": "e"}

    def _getObject(self, request: dict[str, Any]) -> dict[str, Any]:
        folder = request["Key"].split("/")[2]
        if folder == "plan" and not self.traced:
            return {
                "Body": json.dumps({"pytorch": {"prepare": True, "reason": "resnet18 has not been traced to ONNX yet"}})
            }
        if folder == "plan":
            return {"Body": json.dumps(self._plan().for_state())}
        if folder == "health":
            return {"Body": json.dumps(self.verdict)}
        if folder == "tuning":
            return {"Body": json.dumps({"hyperparameters": BEST, "objective": 0.9})}
        gate = self._plan().quality_gate.judged(self.evaluation)
        return {"Body": json.dumps({**self.evaluation, "quality_gate": gate})}

    def _plan(self) -> Plan:
        given = json.loads(self.objects["executions/run-1/input/input.json"])
        execution = ExecutionInput.from_json(given)
        return planned(execution, bias=BiasPlan(execution.bias.enabled))

    def _listObjectsV2(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"KeyCount": int(any(key.startswith(request["Prefix"]) for key in self.objects))}

    def _copyObject(self, request: dict[str, Any]) -> dict[str, Any]:
        self.objects[request["Key"]] = request["CopySource"]
        return {"CopyObjectResult": {"ETag": "e"}}

    def _createProcessingJob(self, request: dict[str, Any]) -> dict[str, Any]:
        self.traced |= "-prepare-torch-" in request["ProcessingJobName"]
        if "-explain-" in request["ProcessingJobName"]:
            id = request["ProcessingJobName"].partition("-explain-")[0]
            self.log_groups |= {f"/aws/sagemaker/Endpoints/{id}-model-1764086400": None, OTHERS_LOG: None}
        return request

    def _createTransformJob(self, request: dict[str, Any]) -> dict[str, Any]:
        return request

    def _createTrainingJob(self, request: dict[str, Any]) -> dict[str, Any]:
        place = f"{request['OutputDataConfig']['S3OutputPath']}{request['TrainingJobName']}/output/model.tar.gz"
        return {**request, "ModelArtifacts": {"S3ModelArtifacts": place}}

    def _describeTrainingJob(self, request: dict[str, Any]) -> dict[str, Any]:
        status = self.rule_statuses.pop(0) if len(self.rule_statuses) > 1 else self.rule_statuses[0]

        def of(name: str) -> dict[str, str]:
            return {
                "RuleConfigurationName": name,
                "RuleEvaluationStatus": status,
                "LastModifiedTime": "2026-01-01T00:00:00Z",
            }

        return {
            **request,
            "DebugRuleEvaluationStatuses": [of("Overfit")],
            "ProfilerRuleEvaluationStatuses": [of("ProfilerReport")],
        }

    def _createHyperParameterTuningJob(self, request: dict[str, Any]) -> dict[str, Any]:
        best = {
            "TrainingJobName": "trial-1",
            "TunedHyperParameters": BEST,
            "FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "validation:loss", "Value": 0.1},
        }
        return {**request, "BestTrainingJob": best, "TrainingJobStatusCounters": {"Completed": 8}}

    def _createModel(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"ModelArn": f"arn:aws:sagemaker:us-east-1:000000000000:model/{request['ModelName']}"}

    def _createModelPackage(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"ModelPackageArn": "arn:aws:sagemaker:us-east-1:000000000000:model-package/darkroom-dev/1"}

    def _describeLogGroups(self, request: dict[str, Any]) -> dict[str, Any]:
        names = [name for name in self.log_groups if name.startswith(request["LogGroupNamePrefix"])]
        return {"LogGroups": [{"LogGroupName": name, "StoredBytes": 0} for name in names]}

    def _putRetentionPolicy(self, request: dict[str, Any]) -> dict[str, Any]:
        self.log_groups[request["LogGroupName"]] = request["RetentionInDays"]
        return {}

    def _putParameter(self, request: dict[str, Any]) -> dict[str, Any]:
        if not request["Overwrite"] and request["Name"] in self.parameters:
            raise TaskFailed("Ssm.ParameterAlreadyExistsException", "The parameter already exists.")
        self.parameters[request["Name"]] = request["Value"]
        return {"Version": 2}

    def _getParameter(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"Parameter": {"Name": request["Name"], "Value": self.parameters[request["Name"]]}}


def written(outcome: Outcome) -> set[str]:
    """S3 prefixes below which an execution has certainly written, as URIs that end in a slash."""
    found = set()
    for request in outcome.requests.values():
        for output in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
            found.add(output["S3Output"]["S3Uri"])
        if "Body" in request:
            found.add(f"s3://{request['Bucket']}/{request['Key'].rsplit('/', 1)[0]}/")
    return found
