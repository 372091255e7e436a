"""The embedded AWS: moto's services, Step Functions, CloudFormation, and a SageMaker that really runs jobs and endpoints."""
