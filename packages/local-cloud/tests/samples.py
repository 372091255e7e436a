"""Two sample projects of AWS's Step Functions guide, "Train a machine learning model" and "Tune a machine learning model".

The states, their names, resources and fields are the guide's, written anew; the guide names everything that changes here: the ARNs of
its functions and its role, its bucket, and XGBoost's image. Its functions' code is not in the guide: what they hand on, the states say.
https://docs.aws.amazon.com/step-functions/latest/dg/sample-train-model.html
https://docs.aws.amazon.com/step-functions/latest/dg/sample-hyper-tuning.html
"""

from __future__ import annotations

from typing import Any

# Seeds the bucket: y = x1 + 2 x2, with the label in the first column, as XGBoost wants it.
GENERATE = """
import os, random
import boto3
def rows(seed, count, labelled):
    draw = random.Random(seed)
    for _ in range(count):
        a, b = draw.random(), draw.random()
        yield ",".join(f"{value:.4f}" for value in ([(a + 2 * b) / 3] if labelled else []) + [a, b])
def handler(event, context):
    s3 = boto3.client("s3")
    for name, seed, count, labelled in (("train", 1, 200, True), ("validation", 2, 50, True), ("test", 3, 20, False)):
        body = "\\n".join(rows(seed, count, labelled)) + "\\n"
        s3.put_object(Bucket=os.environ["BUCKET"], Key=f"csv/{name}.csv", Body=body)
    return {"statusCode": 200, "body": {"jobName": "tune-" + context.aws_request_id[:20]}}
"""
EXTRACT_PATH = """
import boto3
def handler(event, context):
    name = event["BestTrainingJob"]["TrainingJobName"]
    job = boto3.client("sagemaker").describe_training_job(TrainingJobName=name)
    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    return {"statusCode": 200, "body": {"modelDataUrl": artifact, "bestTrainingJobName": name}}
"""
EXTRACT_NAME = """
def handler(event, context):
    return {"statusCode": 200, "body": {"jobName": event["ModelArn"].rsplit("/", 1)[1]}}
"""
# Learns and serves as XGBoost's container does: CSV with the label first, metrics in its words, text/csv in and out.
IMAGE = """
import json, os, pathlib, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
base = pathlib.Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
def read(channel):
    files = sorted((base / "input/data" / channel).glob("*")) if (base / "input/data" / channel).is_dir() else []
    return [[float(word) for word in line.split(",")] for file in files for line in file.read_text().split()]
def predict(weights, row):
    return sum(w * x for w, x in zip(weights, [1.0, *row]))
def rmse(weights, rows):
    return (sum((predict(weights, row[1:]) - row[0]) ** 2 for row in rows) / len(rows)) ** 0.5
def train():
    chosen = json.loads((base / "input/config/hyperparameters.json").read_text())
    rows, held = read("train"), read("validation")
    weights = [0.0] * len(rows[0])
    shrink = 1 - float(chosen.get("alpha", 0)) / 2000
    for number in range(int(chosen["num_round"])):
        for row in rows * 20:
            error = predict(weights, row[1:]) - row[0]
            weights = [w * (shrink if i else 1) - 0.1 * error * x for i, (w, x) in enumerate(zip(weights, [1.0, *row[1:]]))]
        said = f"[{number}]\\ttrain-rmse:{rmse(weights, rows):.6f}"
        print(said + (f"\\tvalidation-rmse:{rmse(weights, held):.6f}" if held else ""), flush=True)
    (base / "model/model.json").write_text(json.dumps(weights))
class Server(BaseHTTPRequestHandler):
    def do_GET(self): self.answer(b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        rows = [[float(word) for word in line.split(",")] for line in body.split()]
        self.answer("\\n".join(f"{predict(weights, row):.6f}" for row in rows).encode() + b"\\n")
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
if sys.argv[1] == "train":
    train()
else:
    weights = json.loads((base / "model/model.json").read_text())
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Server).serve_forever()
"""


def _channel(bucket: str, name: str, distribution: str) -> dict[str, Any]:
    source = {
        "S3DataDistributionType": distribution,
        "S3DataType": "S3Prefix",
        "S3Uri": f"s3://{bucket}/csv/{name}.csv",
    }
    return {"DataSource": {"S3DataSource": source}, "ChannelName": name, "ContentType": "text/csv"}


def _training(bucket: str, role: str, image: str) -> dict[str, Any]:
    return {
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m4.xlarge", "VolumeSizeInGB": 30},
        "RoleArn": role,
    }


def _model(role: str, image: str, data: str, name: str, following: str) -> dict[str, Any]:
    container = {"Image": image, "Environment": {}, "ModelDataUrl.$": data}
    parameters = {"PrimaryContainer": container, "ExecutionRoleArn": role, "ModelName.$": name}
    return {
        "Parameters": parameters,
        "Resource": "arn:aws:states:::sagemaker:createModel",
        "Type": "Task",
        "Next": following,
    }


def _transform(bucket: str, name: str) -> dict[str, Any]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/csv/test.csv"}}
    parameters = {
        "ModelName.$": name,
        "TransformInput": {"CompressionType": "None", "ContentType": "text/csv", "DataSource": source},
        "TransformOutput": {"S3OutputPath": f"s3://{bucket}/output"},
        "TransformResources": {"InstanceCount": 1, "InstanceType": "ml.m4.xlarge"},
        "TransformJobName.$": name,
    }
    return {
        "Type": "Task", "Resource": "arn:aws:states:::sagemaker:createTransformJob.sync", "Parameters": parameters, "End": True,
    }  # fmt: skip


def train(bucket: str, role: str, image: str, generate: str) -> dict[str, Any]:
    """Train a machine learning model."""
    job = {
        **_training(bucket, role, image),
        "InputDataConfig": [_channel(bucket, "train", "ShardedByS3Key")],
        "HyperParameters": {"objective": "reg:logistic", "eval_metric": "rmse", "num_round": "5"},
        "TrainingJobName.$": "$$.Execution.Name",
    }
    states = {
        "Generate dataset": {"Resource": generate, "Type": "Task", "Next": "Train model (XGBoost)"},
        "Train model (XGBoost)": {
            "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync", "Parameters": job, "Type": "Task", "Next": "Save Model",
        },
        "Save Model": _model(role, image, "$.ModelArtifacts.S3ModelArtifacts", "$.TrainingJobName", "Batch transform"),
        "Batch transform": _transform(bucket, "$$.Execution.Name"),
    }  # fmt: skip
    return {"StartAt": "Generate dataset", "States": states}


def tune(bucket: str, role: str, image: str, generate: str, extract_path: str, extract_name: str) -> dict[str, Any]:
    """Tune a machine learning model."""

    def ranges(**limits: str) -> list[dict[str, str]]:
        return [
            {"Name": name, "MinValue": "0", "MaxValue": most, "ScalingType": "Auto"} for name, most in limits.items()
        ]

    tuning = {
        "HyperParameterTuningJobName.$": "$.body.jobName",
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "validation:rmse"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {
                "ContinuousParameterRanges": ranges(alpha="1000", gamma="5"),
                "IntegerParameterRanges": ranges(max_delta_step="10", max_depth="10"),
            },
        },
        "TrainingJobDefinition": {
            **_training(bucket, role, image),
            "InputDataConfig": [_channel(bucket, name, "FullyReplicated") for name in ("train", "validation")],
            "StaticHyperParameters": {"precision_dtype": "float32", "num_round": "2"},
        },
    }
    states = {
        "Generate Training Dataset": {"Resource": generate, "Type": "Task", "Next": "HyperparameterTuning (XGBoost)"},
        "HyperparameterTuning (XGBoost)": {
            "Resource": "arn:aws:states:::sagemaker:createHyperParameterTuningJob.sync", "Parameters": tuning, "Type": "Task",
            "Next": "Extract Model Path",
        },
        "Extract Model Path": {"Resource": extract_path, "Type": "Task", "Next": "HyperparameterTuning - Save Model"},
        "HyperparameterTuning - Save Model": _model(
            role, image, "$.body.modelDataUrl", "$.body.bestTrainingJobName", "Extract Model Name"
        ),
        "Extract Model Name": {"Resource": extract_name, "Type": "Task", "Next": "Batch transform"},
        "Batch transform": _transform(bucket, "$.body.jobName"),
    }  # fmt: skip
    return {"StartAt": "Generate Training Dataset", "States": states}
