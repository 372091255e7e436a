"""`train`: fetches the user's code, runs it, and says in /opt/ml/output/failure why it failed."""

import os
import re
import signal
import subprocess
import sys
import traceback
from collections import deque
from pathlib import Path

from script_mode import BASE, FRAMEWORK, MODEL, NoScript, UserError
from script_mode.code import fetch, install_requirements, python_path
from script_mode.surroundings import Surroundings

# Ways of starting a script that need a cluster's own launcher.
REFUSED = re.compile(
    r"sagemaker_(mpi|parameter_server|distributed_dataparallel|pytorch_xla|multi_worker|modelparallel)\w*"
)
TRACEBACK = "Traceback (most recent call last):"


def train() -> int:
    """The exit code of the container."""
    try:
        told = Surroundings()
        if FRAMEWORK == "xgboost" and not told.program:
            from script_mode.xgboost_algorithm import run

            run(told)
            return 0
        return _run(told)
    except UserError as error:
        return _failed(str(error))
    except Exception:
        return _failed(f"Framework Error: \n{traceback.format_exc()}")


def _failed(reason: str) -> int:
    print(f"Reporting training FAILURE\n{reason}", file=sys.stderr, flush=True)
    (BASE / "output").mkdir(parents=True, exist_ok=True)
    (BASE / "output" / "failure").write_text(reason, encoding="utf-8")
    return 1


def _run(told: Surroundings) -> int:
    asked = [name for name, value in told.framework_parameters.items() if REFUSED.fullmatch(name) and value is True]
    if asked:
        raise UserError(
            f"{', '.join(asked)}: this image starts a script as a process or by torchrun, not by the launchers of MPI, SMDDP, "
            "parameter servers or Neuron. Leave distribution= out, or give {'torch_distributed': {'enabled': True}}."
        )
    if not told.program:
        raise NoScript("No entry point is named: SAGEMAKER_PROGRAM and sagemaker_program are empty. Give entry_point=.")
    folder = fetch(told.submitted, told.program)
    install_requirements(folder)
    for kept in (MODEL, BASE / "output" / "data"):
        kept.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **told.variables(), "PYTHONPATH": python_path(folder)}
    # How processes of torch.distributed find one another: AWS's PyTorch container says so, too.
    environment |= {"MASTER_ADDR": told.hosts[0], "MASTER_PORT": "7777"} if FRAMEWORK == "pytorch" else {}
    command = _command(told, folder)
    print(f"Invoking script with the following command:\n\n{' '.join(command)}\n", flush=True)
    code, said = _follow(command, folder, environment)
    if code == 0:
        print("Reporting training SUCCESS", flush=True)
        return 0
    reason = f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{said}"\nCommand "{" ".join(command)}"'
    return _failed(reason)


def _command(told: Surroundings, folder: Path) -> list[str]:
    """https://github.com/aws/sagemaker-training-toolkit: a script, a package with setup.py, or any other command."""
    arguments = told.arguments()
    if told.framework_parameters.get("sagemaker_torch_distributed_enabled") is True:
        where = [f"--nnodes={len(told.hosts)}", f"--node_rank={told.hosts.index(told.host)}", "--nproc_per_node=1"]
        where += [f"--master_addr={told.hosts[0]}", "--master_port=7777"]
        return [sys.executable, "-m", "torch.distributed.run", *where, told.program, *arguments]
    if (folder / "setup.py").is_file():
        return [sys.executable, "-m", told.program.removesuffix(".py"), *arguments]
    if told.program.endswith(".py"):
        return [sys.executable, told.program, *arguments]
    (folder / told.program).chmod(0o777)
    return ["/bin/sh", "-c", f'./{told.program} "$@"', told.program, *arguments]


def _follow(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Runs the script; its output is the log, its last traceback the reason."""
    last: deque[str] = deque(maxlen=200)
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        errors="replace",
        bufsize=1,
    )
    # SageMaker stops a job with SIGTERM; the script has 120 seconds to save its work.
    signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(number))
    for line in process.stdout or ():
        sys.stdout.write(line)
        sys.stdout.flush()
        last.append(line.rstrip("\n"))
    code = process.wait()
    lines = list(last)
    if TRACEBACK in lines:
        lines = lines[len(lines) - 1 - lines[::-1].index(TRACEBACK) :]
    return (128 - code if code < 0 else code), "\n".join(lines[-40:])
