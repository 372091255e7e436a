"""Decides which files of a build context an image may see, by Docker's rules for `.dockerignore`.

The last matching pattern wins, `!` brings back, a match of a folder covers what is below it.
https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def glob_expression(pattern: str) -> str:
    """Go's filepath.Match plus `**`, as a regular expression without anchors."""
    out, index = "", 0
    while index < len(pattern):
        if pattern.startswith("**/", index):
            out, index = out + "(?:.*/)?", index + 3
        elif pattern.startswith("**", index):
            out, index = out + ".*", index + 2
        elif pattern[index] == "*":
            out, index = out + "[^/]*", index + 1
        elif pattern[index] == "?":
            out, index = out + "[^/]", index + 1
        elif pattern[index] == "[" and (end := pattern.find("]", index + 2)) > 0:
            out, index = out + pattern[index : end + 1], end + 1
        else:
            out, index = out + re.escape(pattern[index]), index + 1
    return out


class Ignore:
    """The patterns of one build: `<Dockerfile>.dockerignore` if it exists, else the context's `.dockerignore`."""

    def __init__(self, lines: list[str]):
        self._rules: list[tuple[re.Pattern[str], bool]] = []
        for line in lines:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            keep = line.startswith("!")
            pattern = str(PurePosixPath("/", line.removeprefix("!").strip())).lstrip("/")
            self._rules.append((re.compile(glob_expression(pattern) + r"(?:/.*)?\Z", re.DOTALL), keep))

    @classmethod
    def of(cls, context: Path, dockerfile: Path) -> "Ignore":
        own = dockerfile.with_name(dockerfile.name + ".dockerignore")
        chosen = own if own.is_file() else context / ".dockerignore"
        return cls(chosen.read_text(encoding="utf-8").splitlines() if chosen.is_file() else [])

    def ignores(self, path: str) -> bool:
        """Whether `path` (relative to the context, with slashes) is left out."""
        ignored = False
        for expression, keep in self._rules:
            if expression.match(path):
                ignored = not keep
        return ignored

    def files(self, context: Path, below: str = "") -> Iterator[str]:
        """Relative paths of all files and links below a folder of the context that are not ignored, sorted."""
        brings_back = any(keep for _, keep in self._rules)
        for folder, names, files in os.walk(context / below):
            relative = os.path.relpath(folder, context)
            prefix = "" if relative == "." else relative.replace(os.sep, "/") + "/"
            links = [name for name in names if os.path.islink(os.path.join(folder, name))]
            names[:] = sorted(
                name for name in names if name not in links and (brings_back or not self.ignores(prefix + name))
            )
            for name in sorted(files + links):
                if not self.ignores(prefix + name):
                    yield prefix + name
