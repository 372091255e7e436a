"""The second state machine: the same photos, many architectures, one page that says which to take.

It is made as the pipeline is: `jobs.py` declares its jobs, `candidate.py` has what is done with each candidate, `workflow.py` the order,
`stack.py` roles and state machine. What runs in its jobs: `training_code/comparison/`, `inference_code/benchmark/`,
`analysis_code/comparison/`; what all agree on: `contract/comparison_*.py`; its commands: `darkroom/comparisons.py`.
"""
