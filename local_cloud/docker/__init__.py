"""A stand-in for the docker command: turns an image's own Dockerfile into an isolated Python environment plus its files.

It exists so that `cdk deploy` and SageMaker jobs run from real Dockerfiles on a machine without a container engine. It
isolates Python packages and files, not users, kernels or the network, and refuses by name what it cannot honour.
"""
