"""Darkroom's command line: speaks to AWS APIs alone, so the same commands work on the local cloud and on AWS."""

__version__ = "0.1.0"
