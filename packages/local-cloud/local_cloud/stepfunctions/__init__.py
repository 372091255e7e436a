"""AWS Step Functions: the Amazon States Language (JSONPath), its histories and its service integrations.

An interpreter of our own: moto's is a large grammar with a stubbed evaluator that knows neither SageMaker nor a restart.
"""
