"""Who may do what: IAM policies, read and judged as AWS judges them.

`policy` reads documents, `patterns` and `conditions` match, `decision` weighs all policies that concern one request.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""
