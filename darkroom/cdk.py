"""Runs the CDK CLI: bootstrap, synth and deploy are its work. Its whole output goes to a log; a person sees the gist.

A synthesis lies in a folder of its own for each target, account, region, project and environment, is made anew by each deploy, and
is used by that deploy only. What stands is asked of CloudFormation (stacks.py), never read from here.
"""

import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from darkroom import local
from darkroom.failure import DarkroomError
from darkroom.target import INSTALLATION, Target, project_root
from darkroom.terminal import plain

# What the CDK uses where the context names no other: https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-customizing.html
QUALIFIER, QUALIFIER_CONTEXT = "hnb659fds", "@aws-cdk/core:bootstrapQualifier"
# Lines of the CDK CLI that a person wants to read: results, and what it is building.
WORTH_SAYING = re.compile(r"✅|❌|failed|Failed|error|start: Building|AccessDenied|no changes|runs on Python")


class Cdk:
    """The CDK CLI against one target."""

    def __init__(self, target: Target, console: Console):
        self.target, self.console, self.root = target, console, project_root()
        command = shutil.which("cdk", path=str(INSTALLATION / "node_modules" / ".bin"))
        if command is None:
            raise DarkroomError(f"The CDK CLI is not installed in {INSTALLATION}.", "Run: make install")
        self.command = command
        self.assembly = target.home.assembly(target.key)

    def provide(self, context: dict[str, str]) -> None:
        """Synthesize for the local cloud, and bootstrap it where that was never done."""
        if self.is_bootstrapped(context):
            self.synthesize(context)
            return
        # Both at once: neither needs the other, and each takes some ten seconds.
        failures: list[BaseException] = []

        def beside() -> None:
            try:
                self.synthesize(context, quiet=True)
            except BaseException as failure:
                failures.append(failure)

        thread = threading.Thread(target=beside)
        thread.start()
        try:
            self.bootstrap(context)
        finally:
            thread.join()
        if failures:
            raise failures[0]

    def synthesize(self, context: dict[str, str], quiet: bool = False) -> None:
        """Make the assembly; refuses an app whose stacks are not those of this deployment."""
        names = self.target.declared
        context = {**context, "project": names.project, "environment": names.environment}
        self._run("synth", ["--quiet", "--output", str(self.assembly), *_context(context)], quiet=quiet)
        foreign = [name for name in self.templates() if name not in names.stacks]
        if foreign:
            raise DarkroomError(
                f"The CDK app in {self.root} makes the stack {foreign[0]}, which is none of {names}: {', '.join(names.stacks)}.",
                "Work in Darkroom's own folder, or use the CDK CLI for another app.",
            )

    def templates(self) -> dict[str, dict[str, Any]]:
        """The synthesized templates by the names of their stacks."""
        manifest = json.loads((self.assembly / "manifest.json").read_text(encoding="utf-8"))
        return {
            artifact["properties"].get("stackName", name): json.loads(
                (self.assembly / artifact["properties"]["templateFile"]).read_text(encoding="utf-8")
            )
            for name, artifact in manifest.get("artifacts", {}).items()
            if artifact["type"] == "aws:cloudformation:stack"
        }

    def bootstrap_parameter(self, context: dict[str, str]) -> str:
        """The SSM parameter that every bootstrap with our qualifier makes, whatever its stack is called."""
        qualifier = context.get(QUALIFIER_CONTEXT)
        if qualifier is None:
            with contextlib.suppress(OSError, ValueError):
                declared = json.loads((self.root / "cdk.json").read_text(encoding="utf-8"))
                qualifier = declared.get("context", {}).get(QUALIFIER_CONTEXT)
        return f"/cdk-bootstrap/{qualifier or QUALIFIER}/version"

    def is_bootstrapped(self, context: dict[str, str]) -> bool:
        client = self.target.client("ssm")
        try:
            client.get_parameter(Name=self.bootstrap_parameter(context))
        except client.exceptions.ParameterNotFound:
            return False
        return True

    def bootstrap(self, context: dict[str, str]) -> None:
        qualifier = self.bootstrap_parameter(context).split("/")[2]
        chosen = (
            []
            if qualifier == QUALIFIER
            else ["--qualifier", qualifier, "--toolkit-stack-name", f"CDKToolkit-{qualifier}"]
        )
        place = f"aws://{self.target.account}/{self.target.region_name}"
        # Where there is no app: two CDK CLIs must not share an output folder, and bootstrap needs no app.
        self._run("bootstrap", [place, *chosen], folder=self.target.home.folder("logs"))

    def security_changes(self, stacks: list[str]) -> str:
        """What a deployment would change in IAM and in security groups, as the CDK shows it."""
        return self._run("diff", [*stacks, "--security-only", "--app", str(self.assembly)], quiet=True)

    def deploy(self, stacks: list[str]) -> dict[str, dict[str, str]]:
        """Deploy these stacks of the assembly; their outputs. What the IAM changes are was shown before, where they matter."""
        outputs = self.target.home.folder("logs") / "outputs.json"
        outputs.unlink(missing_ok=True)
        speed = ["--concurrency", "4", "--asset-parallelism", "true", "--progress", "events"]
        shown = ["--require-approval", "never"]
        self._run("deploy", [*stacks, "--app", str(self.assembly), *shown, *speed, "--outputs-file", str(outputs)])
        return json.loads(outputs.read_text(encoding="utf-8")) if outputs.exists() else {}

    def _run(self, verb: str, arguments: list[str], quiet: bool = False, folder: Path | None = None) -> str:
        log = self.target.home.folder("logs") / f"cdk-{verb}.log"
        begun = time.monotonic()
        command = [self.command, verb, *arguments, "--no-notices"]
        status = contextlib.nullcontext() if quiet else self.console.status(f"cdk {verb}")
        with log.open("w", encoding="utf-8") as out, status as shown, subprocess.Popen(
            command, cwd=folder or self.root, env=self.target.tool_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
        ) as process, self._ending_with_the_cloud(process):  # fmt: skip
            for line in process.stdout or ():
                out.write(line)
                self._say(line.strip(), shown)
        said = log.read_text(encoding="utf-8")
        if process.returncode:
            self._explain(verb, process.returncode, said, log)
        if not quiet:
            self.console.print(f"  cdk {verb} took {time.monotonic() - begun:.1f} s", style="dim")
        return said

    @contextlib.contextmanager
    def _ending_with_the_cloud(self, process: subprocess.Popen[str]) -> Iterator[None]:
        """The CDK CLI asks a local cloud that has ended again and again, for more than a minute: it is ended, too."""
        if not self.target.is_local:
            yield
            return
        over = threading.Event()

        def watch() -> None:
            while not over.wait(1):
                with contextlib.suppress(DarkroomError):
                    if local.find(self.target.home) is None:
                        process.terminate()
                        return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _explain(self, verb: str, code: int, said: str, log: Path) -> None:
        if self.target.is_local and local.find(self.target.home) is None:
            raise DarkroomError(
                f"The local cloud ended while cdk {verb} spoke to it, so the deployment is not finished.",
                f"Start it and deploy again, what is done is not done twice: darkroom up; darkroom deploy. Log: {log}",
            )
        tail = "\n".join(said.splitlines()[-25:])
        raise DarkroomError(f"cdk {verb} failed with exit code {code}:\n{tail}", f"The whole log: {log}")

    def _say(self, line: str, shown: Status | None) -> None:
        line = plain(line)
        if shown is None or not line:
            return
        if WORTH_SAYING.search(line):
            self.console.print(f"  {line}", markup=False, highlight=False)
        shown.update(line[:100].replace("[", r"\["))


def _context(values: dict[str, str]) -> list[str]:
    return [word for name, value in values.items() for word in ("-c", f"{name}={value}")]
