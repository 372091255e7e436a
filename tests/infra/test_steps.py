"""A step is declared once: a new one is a class and a line in the order of the pipeline, and all else follows."""

from __future__ import annotations

import re

import pytest
from aws_cdk import aws_stepfunctions as sfn

from infra.settings import Settings
from infra.workflow import documentation, pipeline
from infra.workflow.job import ProcessingJob, folders
from infra.workflow.step import Step, read_json, run
from tests.infra.api import problems
from tests.infra.pipeline_run import SAMPLE, Account
from tests.infra.test_roles import as_list, resources_of, statements
from tests.infra.test_roles import folders as folder_names


class CountPhotos(Step):
    """As a stranger would write one."""

    @classmethod
    def jobs(cls, settings):
        return (
            ProcessingJob(
                "Count photos", "count", role="counting", image="analysis", machine="analysis", limit="analysis",
                command=("analysis_code", "count"), reads=folders("prepared"), writes=folders("counts"),
            ),
        )  # fmt: skip

    def states(self):
        (job,) = self.jobs(self.platform.settings)
        read = read_json(
            self, "Read counts", self.platform, key="counts/counts.json", result="$.counts", field="photos"
        )
        return sfn.Chain.start(run(self, job, self.platform, result="$.counting")).next(read)


@pytest.fixture(scope="module")
def grown(synthesize):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "UP_TO_THE_GATE", (*pipeline.UP_TO_THE_GATE, CountPhotos))
        return synthesize()


def test_a_new_step_is_walked_where_it_stands_in_the_order(grown):
    outcome = Account(grown.definition).run(SAMPLE)
    assert outcome.status == "SUCCEEDED", (outcome.error, outcome.cause)
    place = outcome.visited.index("Count photos")
    assert outcome.visited[place - 1] == "Measure bias"
    assert outcome.visited[place + 1 : place + 3] == ["Read counts", "Quality gate"]
    assert not problems(grown.definition["States"]["Count photos"]["Resource"], outcome.requests["Count photos"])


def test_a_new_step_has_a_role_that_reads_and_writes_what_it_declares_and_no_more(grown):
    assert folder_names(resources_of(grown, "RolesCounting", "s3:GetObject")) == {"prepared"}
    assert folder_names(resources_of(grown, "RolesCounting", "s3:PutObject")) == {"counts"}
    (passed,) = (s for s in statements(grown, "MachineRole") if as_list(s["Action"]) == ["iam:PassRole"])
    assert any("RolesCounting" in arn for arn in passed["Resource"])


def test_the_state_machine_may_read_what_a_new_step_reads_and_the_step_fails_by_itself(grown):
    readable = resources_of(grown, "MachineRole", "s3:GetObject")
    assert "arn:aws:s3:::artifacts/executions/*/counts/counts.json" in readable
    for state in ("Count photos", "Read counts"):
        assert "Catch" not in grown.definition["States"][state]  # a redrive goes on at the state that failed


def test_a_new_step_costs_nothing_that_is_already_deployed_its_place(default, grown):
    """Resources of a deployed stack keep their logical ids, so none is replaced."""
    assert set(default.templates["Pipeline"]["Resources"]) < set(grown.templates["Pipeline"]["Resources"])


def test_the_page_has_a_row_for_each_job_and_a_new_one_gets_its_own(monkeypatch):
    page = documentation.PAGE.read_text(encoding="utf-8")
    assert documentation.with_jobs(page) == page, "run `make docs`"
    row = documentation.table(CountPhotos.jobs(Settings())).splitlines()[-1]
    assert re.fullmatch(r"\| Count photos \| analysis: `count` \| counting \|.*`prepared` \| `counts` \|", row)


def test_every_job_reads_only_what_a_step_before_it_has_written():
    """On AWS an S3 input without any object fails the job that names it."""
    written = {"input", "outcome", "checkpoints", "tuning"}  # saved by the state machine, or by an earlier attempt
    for job in pipeline.jobs(Settings()):
        missing = {one.name for one in job.reads if not one.outside} - written
        assert not missing, f"{job.state} reads {missing}"
        written |= {one.name for one in job.writes}
