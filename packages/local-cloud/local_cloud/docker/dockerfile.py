"""Reads a Dockerfile into instructions with line numbers, one chain of instructions for the stage that is asked for.

A strict reader of its own: the parsers on PyPI drop heredocs, escapes and line numbers or evaluate variables leniently,
and here a misread instruction would become an image that differs from Docker's. Refused: heredocs, the `escape`
directive, stages that copy from one another. Reference: https://docs.docker.com/reference/dockerfile/
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

KNOWN = frozenset(
    [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ]
)


class BuildError(Exception):
    """An image that cannot be built here: says which line, why, and what to do."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: `name` upper case, `flags` such as --chown, `value` the rest, `line` where it starts."""

    line: int
    name: str
    value: str
    flags: dict[str, str] = field(default_factory=dict)
    source: str = "Dockerfile"

    def refuse(self, reason: str, advice: str) -> BuildError:
        """The error for this instruction, with the reason and what to do instead."""
        text = self.value if len(self.value) <= 160 else self.value[:157] + "..."
        return BuildError(f"{self.source}, line {self.line}: {self.name} {text}\n  {reason}\n  What to do: {advice}")

    def exec_form(self) -> list[str] | None:
        """The JSON array of an exec form, or None where the value is in shell form."""
        if not self.value.startswith("["):
            return None
        try:
            words = json.loads(self.value)
        except json.JSONDecodeError:
            return None  # Docker reads a malformed array as a shell command, too.
        return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


def read_dockerfile(path: Path) -> list[Instruction]:
    """All instructions of a Dockerfile in their order. Raises BuildError for what is not a Dockerfile."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise BuildError(f"There is no Dockerfile at {path}. What to do: name it with --file.") from None
    except UnicodeDecodeError as error:
        raise BuildError(f"{path} is not UTF-8 text: {error}.") from None
    instructions, number = [], 0
    while number < len(lines):
        start, text = number + 1, lines[number].strip()
        number += 1
        if not text or text.startswith("#"):
            if re.match(r"#\s*escape\s*=\s*`", text):
                raise BuildError(f"{path.name}, line {start}: the escape directive is not supported; use \\.")
            continue
        while text.endswith("\\"):
            text = text[:-1]
            # Docker drops comment lines and empty lines inside a continued instruction.
            while number < len(lines) and (not lines[number].strip() or lines[number].lstrip().startswith("#")):
                number += 1
            if number == len(lines):
                break
            text += lines[number].rstrip()
            number += 1
        instructions.append(_instruction(path.name, start, text.strip()))
    if not any(instruction.name == "FROM" for instruction in instructions):
        raise BuildError(f"{path} has no FROM instruction. What to do: start it with FROM python:X.Y-slim.")
    return instructions


def _instruction(source: str, line: int, text: str) -> Instruction:
    name, _, rest = text.partition(" ")
    name, rest, flags = name.upper(), rest.strip(), {}
    while match := re.match(r"--([a-z-]+)(?:=(\S*))?\s*", rest):
        flags[match[1]] = match[2] or ""
        rest = rest[match.end() :]
    instruction = Instruction(line, name, rest, flags, source)
    if name not in KNOWN:
        raise instruction.refuse("This is no Dockerfile instruction.", f"use one of {', '.join(sorted(KNOWN))}.")
    if name in ("RUN", "COPY", "ADD") and re.search(r"<<-?['\"]?[A-Za-z]", rest):
        raise instruction.refuse("Heredocs are not supported.", "put the lines into a file and COPY it.")
    return instruction


def substitute(instruction: Instruction, text: str, variables: dict[str, str]) -> str:
    r"""Replace $NAME, ${NAME}, ${NAME:-default} and ${NAME:+other}; `\$` is a dollar sign."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "\\$":
            return "$"
        name, operator, word = match[1] or match[2], match[3], match[4] or ""
        current = variables.get(name, "")
        if operator == ":-":
            return current or substitute(instruction, word, variables)
        if operator == ":+":
            return substitute(instruction, word, variables) if current else ""
        return current

    replaced = re.sub(r"\\\$|\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:[-+])([^}]*))?\})", value, text)
    forms = re.findall(r"(?<!\\)\$\{\w+([^}]*)\}", text)
    if any(form and not form.startswith((":-", ":+")) for form in forms):
        raise instruction.refuse("This form of variable is not supported.", "use $NAME, ${NAME:-x} or ${NAME:+x}.")
    return replaced


def stage_chain(instructions: list[Instruction], target: str | None, arguments: dict[str, str]) -> list[Instruction]:
    """The instructions that make `target` (default: the last stage), its base stages first and FROM python on top."""
    global_arguments: dict[str, str] = {}
    stages: list[list[Instruction]] = []
    for instruction in instructions:
        if instruction.name == "FROM":
            stages.append([])
        if stages:
            stages[-1].append(instruction)
        elif instruction.name == "ARG":
            name, _, default = instruction.value.partition("=")
            global_arguments[name] = arguments.get(name, substitute(instruction, default, global_arguments))
        else:
            raise instruction.refuse("Only ARG may stand before the first FROM.", "move it below FROM.")
    named: dict[str, list[Instruction]] = {}
    chain: list[Instruction] = []
    for stage in stages:
        first = stage[0]
        words = substitute(first, first.value, global_arguments).split()
        base = words[0] if words else ""
        alias = words[2] if len(words) == 3 and words[1].upper() == "AS" else None
        if len(words) not in (1, 3) or (len(words) == 3 and alias is None):
            raise first.refuse("FROM takes IMAGE or IMAGE AS NAME.", "write FROM python:X.Y-slim.")
        resolved = Instruction(first.line, "FROM", base, first.flags, first.source)
        chain = [*named[base.lower()], *stage[1:]] if base.lower() in named else [resolved, *stage[1:]]
        if alias:
            named[alias.lower()] = chain
    if target is None:
        return chain
    if target.lower() not in named:
        raise BuildError(
            f"--target {target}: there is no such stage. Stages with a name: {', '.join(named) or 'none'}."
        )
    return named[target.lower()]
