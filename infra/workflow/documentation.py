"""The table of jobs in docs/architecture.md, made from what the steps declare.

`python -m infra.workflow.documentation` writes it; a test holds the page to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from infra.settings import Settings
from infra.workflow.job import Job
from infra.workflow.pipeline import jobs

PAGE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
BEGIN, END = "<!-- jobs: made by `make docs` from what the steps declare -->", "<!-- end of jobs -->"
HEAD = "| state | image: command | role | machine | time limit | reads below `S` | writes below `S` |\n|---|---|---|---|---|---|---|"


def table(declared: Sequence[Job]) -> str:
    return "\n".join([HEAD, *(_row(job) for job in declared)])


def _row(job: Job) -> str:
    image = " or ".join(job.images)
    command = f"{image}: `{' '.join(job.command[1:])}`" if job.command else image
    reads = ", ".join(dict.fromkeys(f"`{one.name}`" if not one.outside else "the data set" for one in job.reads))
    writes = ", ".join(dict.fromkeys(f"`{one.name}`" for one in job.writes))
    return f"| {job.state} | {command} | {job.role} | `{job.machine}` | `{job.limit}` | {reads} | {writes} |"


def with_jobs(page: str) -> str:
    """The page with its table as it should be; ValueError where it has no place for one."""
    before, begins, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begins or not ended:
        raise ValueError(f"docs/architecture.md lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n\n{table(jobs(Settings()))}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_jobs(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
