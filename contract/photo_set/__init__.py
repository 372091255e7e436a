"""Reads a set of photos as people have them: which file is a photo, which class and which split it has, and what is left out.

One piece of code for the command line before an upload and for `prepare` in the job. It needs nothing beyond the standard
library, charset-normalizer and openpyxl. This page imports nothing, like `contract` itself.
"""
