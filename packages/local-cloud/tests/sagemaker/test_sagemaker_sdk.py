"""Clients that nobody here wrote: the typed resources of the SageMaker SDK (sagemaker-core) against the local cloud."""

from __future__ import annotations

import warnings

import pytest

from tests.sagemaker.platform import INSTANCE, Platform, new_name
from tests.sagemaker.test_sagemaker_tuning import BOWL

pytestmark = pytest.mark.slow


@pytest.fixture
def sdk(platform: Platform, monkeypatch: pytest.MonkeyPatch):
    for name, value in platform.cloud.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    with warnings.catch_warnings():
        # The SDK's docstrings hold invalid escape sequences, which Python 3.11 calls deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        from sagemaker.core import resources, shapes

    return resources, shapes


def training_parts(platform, shapes, program):
    request = platform.training_request(program, metrics={"accuracy": "accuracy=([0-9.-]+);"})
    algorithm = request["AlgorithmSpecification"]
    return request["HyperParameters"], {
        "algorithm_specification": shapes.AlgorithmSpecification(
            training_image=algorithm["TrainingImage"],
            training_input_mode="File",
            metric_definitions=[shapes.MetricDefinition(name="accuracy", regex="accuracy=([0-9.-]+);")],
        ),
        "role_arn": platform.role,
        "output_data_config": shapes.OutputDataConfig(s3_output_path=platform.uri("sdk")),
        "resource_config": shapes.ResourceConfig(instance_type=INSTANCE, instance_count=1, volume_size_in_gb=1),
        "stopping_condition": shapes.StoppingCondition(max_runtime_in_seconds=60),
    }


def test_a_training_job(platform, sdk):
    resources, shapes = sdk
    hyperparameters, parts = training_parts(
        platform, shapes, "say('accuracy=0.5;'); (base / 'model/m').write_text('x')"
    )
    job = resources.TrainingJob.create(training_job_name=new_name("sdk"), hyper_parameters=hyperparameters, **parts)
    job.wait(poll=1)
    assert job.training_job_status == "Completed"
    assert job.final_metric_data_list[0].value == 0.5
    assert job.training_job_name in [
        one.training_job_name for one in resources.TrainingJob.get_all(name_contains="sdk")
    ]


def test_a_tuning_job(platform, sdk):
    resources, shapes = sdk
    static, parts = training_parts(platform, shapes, BOWL)
    job = resources.HyperParameterTuningJob.create(
        hyper_parameter_tuning_job_name=new_name("sdk"),
        hyper_parameter_tuning_job_config=shapes.HyperParameterTuningJobConfig(
            strategy="Random",
            hyper_parameter_tuning_job_objective=shapes.HyperParameterTuningJobObjective(type="Maximize", metric_name="accuracy"),
            resource_limits=shapes.ResourceLimits(max_number_of_training_jobs=2, max_parallel_training_jobs=2),
            parameter_ranges=shapes.ParameterRanges(
                continuous_parameter_ranges=[
                    shapes.ContinuousParameterRange(name="rate", min_value="0.001", max_value="0.1", scaling_type="Auto")
                ]
            ),
        ),
        training_job_definition=shapes.HyperParameterTrainingJobDefinition(
            static_hyper_parameters=static,
            **{**parts, "algorithm_specification": shapes.HyperParameterAlgorithmSpecification(
                training_image=platform.trainer, training_input_mode="File",
                metric_definitions=[shapes.MetricDefinition(name="accuracy", regex="accuracy=([0-9.-]+);")])},
        ),
    )  # fmt: skip
    job.wait(poll=1)
    assert job.hyper_parameter_tuning_job_status == "Completed"
    assert 0.001 <= float(job.best_training_job.tuned_hyper_parameters["rate"]) <= 0.1


def test_an_endpoint(platform, sdk):
    resources, shapes = sdk
    name = new_name("sdk")
    url = platform.model_archive(f"models/{name}.tar.gz", "typed")
    container = shapes.ContainerDefinition(image=platform.server, model_data_url=url)
    resources.Model.create(model_name=name, primary_container=container, execution_role_arn=platform.role)
    variant = shapes.ProductionVariant(
        variant_name="AllTraffic", model_name=name, initial_instance_count=1, instance_type=INSTANCE
    )
    resources.EndpointConfig.create(endpoint_config_name=name, production_variants=[variant])
    endpoint = resources.Endpoint.create(endpoint_name=name, endpoint_config_name=name)
    endpoint.wait_for_status("InService", poll=1)
    answer = endpoint.invoke(body=b"photo", content_type="image/jpeg")
    assert answer.body.read() == b"typed:photo"
    endpoint.delete()


def test_a_missing_job_is_reported_as_the_sdk_expects(platform, sdk):
    resources, _ = sdk
    with pytest.raises(Exception, match=r"not found|Requested resource"):
        resources.TrainingJob.get("nobody")
