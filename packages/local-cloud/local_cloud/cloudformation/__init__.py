"""AWS CloudFormation: templates, change sets, stacks that roll back, and the resource types that exist here.

An engine of our own: moto's skips types that it does not know, never rolls back and forgets most of what a template says.
"""
