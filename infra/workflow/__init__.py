"""The pipeline as a state machine: one file per step, verbs as names, no Lambda function.

States are rendered from Python dicts (`sfn.CustomState`): CDK has typed tasks for neither processing nor tuning jobs,
and none of its SageMaker tasks takes tags, checkpoints or debugger settings.
"""
