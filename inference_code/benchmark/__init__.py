"""Measure one trained model in the very form in which it is served: its engine, its decoder, its artifact.

A SageMaker processing job on the serving image: `python -m inference_code.benchmark`. It must be alone on its machine;
the comparison's state machine runs one at a time. It refuses to report what it could not measure: such a value is null.
"""
