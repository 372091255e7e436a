"""Runs programs that somebody else wrote against a cloud of its own, unchanged, and prints what became of each.

    make compat PROGRAMS=folder SDK=path/to/python [DEADLINE=900]

A program is a `.py` file, or a notebook whose code cells are run as one script (lines of the shell and of IPython are left out and
counted). Each runs in a folder of its own, in the environment of `local-cloud env`, with a role for SageMaker in ROLE and, for
`sagemaker.get_execution_role()`, in the configuration that the SDK reads. The programs stay outside the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from local_cloud import process
from local_cloud.testing import RunningCloud

REFUSED = re.compile(r"does not support|has no service|is not offered here|nothing here stands for it")
TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}


@dataclass(frozen=True)
class Outcome:
    """What became of one program."""

    name: str
    verdict: str
    seconds: float
    said: str
    left_out: int

    def row(self) -> str:
        note = f"{self.left_out} lines of IPython left out. " if self.left_out else ""
        return f"| {self.name} | {self.verdict} | {self.seconds:.0f} | {note}{self.said} |"


def script_of(path: Path) -> tuple[str, int]:
    """A program as Python, and how many lines were for IPython only."""
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8"), 0
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code").splitlines()
    kept = [line for line in lines if not re.match(r"\s*[!%]", line)]
    return "\n".join(kept), len(lines) - len(kept)


def run(path: Path, python: str, environment: dict[str, str], deadline: float) -> Outcome:
    """Runs one program in a copy of its folder."""
    text, left_out = script_of(path)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "program"
        shutil.copytree(path.parent, folder, symlinks=True)
        script = folder / "_program.py"
        script.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run(
                [python, script.name], cwd=folder, env=environment, timeout=deadline, text=True, errors="replace",
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            said, code = done.stdout, done.returncode
        except subprocess.TimeoutExpired as late:
            said, code = (late.stdout or b"").decode(errors="replace") if isinstance(late.stdout, bytes) else "", -1
    (Path("build") / "compat").mkdir(parents=True, exist_ok=True)
    (Path("build") / "compat" / f"{path.stem}.log").write_text(said, encoding="utf-8")
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")[:110].replace("|", "/")
    seconds = time.monotonic() - began
    if code == 0:
        return Outcome(path.name, "runs unchanged" if not left_out else "runs", seconds, "", left_out)
    if code == -1:
        return Outcome(path.name, "past its deadline", seconds, last, left_out)
    return Outcome(
        path.name, "refused by name" if REFUSED.search(" ".join(said.split())) else "fails", seconds, last, left_out
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make compat", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--programs", type=Path, required=True, help="folder with programs")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the SDK")
    parser.add_argument("--deadline", type=float, default=900, help="seconds for each program")
    options = parser.parse_args()
    programs = sorted(path for path in options.programs.iterdir() if path.suffix in (".py", ".ipynb"))
    if not programs:
        sys.exit(f"There is no .py and no .ipynb in {options.programs}.")
    with tempfile.TemporaryDirectory() as scratch:
        cloud = RunningCloud(Path(scratch) / "cloud")
        cloud.start()
        try:
            iam = cloud.client("iam")
            document = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
            role = iam.create_role(RoleName="AmazonSageMaker-ExecutionRole", AssumeRolePolicyDocument=document)["Role"][
                "Arn"
            ]
            iam.attach_role_policy(
                RoleName="AmazonSageMaker-ExecutionRole", PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
            )
            living = process.announced(cloud.state)
            assert living is not None
            environment = cloud.environment() | process.shell_variables(living, Path(scratch) / "shell", os.environ)
            environment |= {"ROLE": role, "MPLBACKEND": "agg", "SAGEMAKER_SUPPRESS_V2_WARNING": "1"}
            print("| program | what became of it | seconds | said last |\n| --- | --- | ---: | --- |", flush=True)
            outcomes = []
            for path in programs:
                outcomes.append(run(path, options.python, environment, options.deadline))
                print(outcomes[-1].row(), flush=True)
        finally:
            cloud.stop()
    unchanged = sum(outcome.verdict == "runs unchanged" for outcome in outcomes)
    print(f"\n{unchanged} of {len(outcomes)} run unchanged. Logs: build/compat/")


if __name__ == "__main__":
    main()
