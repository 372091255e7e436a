"""Darkroom's command line: speaks to AWS APIs alone, so the same commands work on the local cloud and on AWS."""

# The one place of the number; pyproject.toml and `darkroom --version` read it here, CHANGELOG.md has a section for it.
__version__ = "0.1.0"
