"""The pipeline as a state machine: a module per step, no Lambda function. `pipeline.py` has the order.

Calls to services are CDK's typed task. Jobs are rendered from their requests: CDK has typed tasks for neither processing nor tuning
jobs, and those for training, transform jobs and models allow every job and every model of the account.
"""
