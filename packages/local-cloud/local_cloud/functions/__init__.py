"""Lambda functions whose code is a Python or Node.js package: each execution environment is a process, confined like a job.

Refused by name: layers, VPC, container images, concurrency settings, other runtimes, and whatever `refused.py` lists.
"""
