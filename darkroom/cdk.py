"""Runs the CDK CLI: bootstrap, deploy and destroy are its work. Its whole output goes to a log; a person sees the gist."""

import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

from rich.console import Console

from contract.names import ENDPOINTS
from darkroom.failure import DarkroomError
from darkroom.target import INSTALLATION, Target, project_root

BOOTSTRAP_STACK = "CDKToolkit"
# Lines of the CDK CLI that a person wants to read: results, and what it is building.
WORTH_SAYING = re.compile(r"✅|❌|failed|Failed|error|start: Building|AccessDenied|no changes")


class Cdk:
    """The CDK CLI against one target."""

    def __init__(self, target: Target, console: Console):
        self.target, self.console, self.root = target, console, project_root()
        self.command = shutil.which("cdk", path=str(INSTALLATION / "node_modules" / ".bin"))
        if self.command is None:
            raise DarkroomError(f"The CDK CLI is not installed in {INSTALLATION}.", "Run: make install")

    def deploy(self, stacks: list[str], context: dict[str, str]) -> dict[str, dict[str, str]]:
        """Bootstrap where needed, deploy the stacks (all when none is named); their outputs by stack."""
        if self._is_bootstrapped():
            app = ["--output", str(self.target.home.assembly), *_context(context)]
        else:
            self._bootstrap_and_synthesize(context)
            app = ["--app", str(self.target.home.assembly)]
        return self._deploy([*(stacks or ["--all"]), *app])

    def deploy_again(self, suffix: str) -> dict[str, dict[str, str]]:
        """Deploy the stack whose name ends with `suffix` from what was synthesized last, or from a new synthesis."""
        name = self.stack(suffix)
        app = ["--app", str(self.target.home.assembly)] if name else []
        # From now on this stack serves what is approved; CloudFormation remembers it.
        served = self.target.names.served if suffix == ENDPOINTS else {}
        given = [word for key, value in served.items() for word in ("--parameters", f"{key}={value}")]
        return self._deploy([name or f"*-{suffix}", "--exclusively", *given, *app])

    def destroy(self) -> None:
        """Delete all stacks of the app."""
        app = ["--app", str(self.target.home.assembly)] if self.stack("Storage") else []
        self._run("destroy", ["--all", "--force", *app])

    def stack(self, suffix: str) -> str | None:
        """The full name of a stack of the last synthesis."""
        return next((name for name in self.stacks() if name.endswith(f"-{suffix}")), None)

    def stacks(self) -> list[str]:
        """The stacks of the last synthesis, in its order; none before the first deploy."""
        try:
            manifest = json.loads((self.target.home.assembly / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        artifacts = manifest.get("artifacts", {}).items()
        kind = "aws:cloudformation:stack"
        return [made["properties"].get("stackName", name) for name, made in artifacts if made["type"] == kind]

    def _is_bootstrapped(self) -> bool:
        from botocore.exceptions import ClientError

        try:
            self.target.client("cloudformation").describe_stacks(StackName=BOOTSTRAP_STACK)
        except ClientError as error:
            if "does not exist" in str(error):
                return False
            raise
        return True

    def _bootstrap_and_synthesize(self, context: dict[str, str]) -> None:
        """Both at once: neither needs the other, and each takes some ten seconds."""
        place = f"aws://{self.target.account}/{self.target.region_name}"
        failures: list[BaseException] = []

        def synthesize() -> None:
            try:
                self._run(
                    "synth", ["--quiet", "--output", str(self.target.home.assembly), *_context(context)], quiet=True
                )
            except BaseException as failure:
                failures.append(failure)

        beside = threading.Thread(target=synthesize)
        beside.start()
        try:
            # Where there is no app: two CDK CLIs must not share an output folder, and bootstrap needs no app.
            self._run("bootstrap", [place], folder=self.target.home.folder("logs"))
        finally:
            beside.join()
        if failures:
            raise failures[0]

    def _deploy(self, arguments: list[str]) -> dict[str, dict[str, str]]:
        outputs = self.target.home.folder("logs") / "outputs.json"
        outputs.unlink(missing_ok=True)
        speed = ["--concurrency", "4", "--asset-parallelism", "true", "--progress", "events"]
        self._run("deploy", [*arguments, "--require-approval", "never", *speed, "--outputs-file", str(outputs)])
        return json.loads(outputs.read_text(encoding="utf-8")) if outputs.exists() else {}

    def _run(self, verb: str, arguments: list[str], quiet: bool = False, folder: Path | None = None) -> None:
        log = self.target.home.folder("logs") / f"cdk-{verb}.log"
        begun = time.monotonic()
        command = [self.command, verb, *arguments, "--no-notices"]
        status = contextlib.nullcontext() if quiet else self.console.status(f"cdk {verb}")
        with log.open("w", encoding="utf-8") as out, status as shown, subprocess.Popen(
            command, cwd=folder or self.root, env=self.target.tool_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
        ) as process:  # fmt: skip
            for line in process.stdout:
                out.write(line)
                self._say(line.strip(), shown)
        if process.returncode:
            tail = "\n".join(log.read_text(encoding="utf-8").splitlines()[-25:])
            raise DarkroomError(
                f"cdk {verb} failed with exit code {process.returncode}:\n{tail}", f"The whole log: {log}"
            )
        if not quiet:
            self.console.print(f"  cdk {verb} took {time.monotonic() - begun:.1f} s", style="dim")

    def _say(self, line: str, shown) -> None:
        if shown is None or not line:
            return
        if WORTH_SAYING.search(line):
            self.console.print(f"  {line}", markup=False, highlight=False)
        shown.update(line[:100].replace("[", r"\["))


def _context(values: dict[str, str]) -> list[str]:
    return [word for name, value in values.items() for word in ("-c", f"{name}={value}")]
