"""Runs programs that somebody else wrote against a cloud of its own, unchanged, and prints what became of each.

    make compat PROGRAMS=folder SDK=path/to/python [DEADLINE=900]

A program is a `.py` file or a notebook, which nbconvert runs. Each gets a copy of its folder and the environment of
`local-cloud env --notebook`. The programs stay outside the repository.
"""

from __future__ import annotations

import argparse
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

# Ends with 1 where a cell fails, which `ipython FILE.ipynb` does not.
NOTEBOOK = (
    "-m", "nbconvert", "--to", "notebook", "--execute", "--stdout", "--ExecutePreprocessor.timeout=-1",
    "--ExecutePreprocessor.kernel_name=python3",
)  # fmt: skip
REFUSED = re.compile(r"does not support|has no service|is not offered here|nothing here stands for it")


@dataclass(frozen=True)
class Outcome:
    """What became of one program."""

    name: str
    verdict: str
    seconds: float
    said: str

    def row(self) -> str:
        return f"| {self.name} | {self.verdict} | {self.seconds:.0f} | {self.said} |"


def run(path: Path, python: str, environment: dict[str, str], deadline: float) -> Outcome:
    """Runs one program in a copy of its folder."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "program"
        shutil.copytree(path.parent, folder, symlinks=True)
        how = [python] if path.suffix == ".py" else [python, *NOTEBOOK]
        try:
            done = subprocess.run(
                [*how, path.name], cwd=folder, env=environment, timeout=deadline, text=True, errors="replace",
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
        return Outcome(path.name, "runs unchanged", seconds, "")
    if code == -1:
        return Outcome(path.name, "past its deadline", seconds, last)
    return Outcome(path.name, "refused by name" if REFUSED.search(" ".join(said.split())) else "fails", seconds, last)


def version_of_the_sdk(python: str) -> str:
    command = [python, "-c", "import importlib.metadata as m; print(m.version('sagemaker'))"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(
            f"{python} has no SageMaker SDK: {done.stderr.strip().splitlines()[-1]}. Install it there: pip install sagemaker"
        )
    return done.stdout.strip()


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
            living = process.announced(cloud.state)
            assert living is not None
            environment = cloud.environment() | process.shell_variables(living, Path(scratch) / "shell", os.environ)
            # A notebook's kernel is the `python` of the path.
            environment["PATH"] = f"{Path(options.python).absolute().parent}{os.pathsep}{environment['PATH']}"
            # Many begin with `pip install --upgrade sagemaker`, which would put version 3 in the place of 2, for which they were written.
            kept = Path(scratch) / "constraints.txt"
            kept.write_text(f"sagemaker=={version_of_the_sdk(options.python)}\n", encoding="utf-8")
            environment["PIP_CONSTRAINT"] = str(kept)
            environment |= process.notebook_variables(living) | {
                "MPLBACKEND": "agg",
                "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
            }
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
