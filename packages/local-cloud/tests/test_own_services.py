"""The cloud's own services have one shape: each has every method of the protocol, with the same parameters."""

from __future__ import annotations

import inspect

import pytest

from local_cloud.cloudformation.service import CloudFormationService
from local_cloud.functions.service import LambdaService
from local_cloud.own_services import FunctionService, JobService, OwnService
from local_cloud.sagemaker.service import SageMakerService
from local_cloud.services import SERVICES
from local_cloud.stepfunctions.service import StatesService

SHAPES = [
    (CloudFormationService, OwnService),
    (StatesService, OwnService),
    (SageMakerService, JobService),
    (LambdaService, FunctionService),
]


def methods(protocol: type) -> list[str]:
    return [name for name, member in inspect.getmembers(protocol) if callable(member) and not name.startswith("_")]


@pytest.mark.parametrize(("service", "protocol"), SHAPES, ids=lambda one: one.__name__)
def test_a_service_has_the_methods_of_its_protocol_with_the_same_parameters(service, protocol):
    assert len(methods(protocol)) >= 4
    for name in methods(protocol):
        wanted = list(inspect.signature(getattr(protocol, name)).parameters)
        assert list(inspect.signature(getattr(service, name)).parameters) == wanted, name


def test_every_service_that_the_cloud_owns_is_one_of_them():
    assert {name for name, service in SERVICES.items() if service.owner == "cloud"} == {
        "sagemaker",
        "states",
        "cloudformation",
        "lambda",
    }
