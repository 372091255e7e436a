"""A stand-in for the docker command: turns a Dockerfile into an isolated Python environment plus files.

It exists so that `cdk deploy` and SageMaker jobs run from real Dockerfiles on a machine without a container engine. It
isolates Python packages and files, not users, kernels or the network, and refuses by name what it cannot honour.
"""
