"""Images that stand for those of AWS's framework accounts: `pytorch-training`, `sagemaker-scikit-learn`, `sagemaker-xgboost`.

A program names AWS's image; nothing of AWS's is here or fetched. The open image of `images/` is built when it is first asked
for, and each job's log says what served it. Names that no image here stands for: `local-cloud-docker alias PATTERN IMAGE`.
"""
