"""A SageMaker that really runs: jobs and endpoints are local processes, each in a folder tree of its own.

It knows AWS's contracts only. What it cannot do faithfully it refuses by name instead of pretending.
"""
