"""Script mode: a user's script runs in the place where AWS's framework images run it, by the same contract.

`train` follows github.com/aws/sagemaker-training-toolkit (ENVIRONMENT_VARIABLES.md), `serve` follows
github.com/aws/sagemaker-inference-toolkit and the handlers of AWS's PyTorch, scikit-learn and XGBoost containers. It is
written anew and small: AWS's training toolkit needs a C compiler to install, its serving toolkits need Java.
Not here: MPI, SMDDP and parameter servers (`distribution=`), which are refused by name.
"""

import os
from pathlib import Path

# Where SageMaker's folders lie: literally /opt/ml wherever the machine can give it.
BASE = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
CODE = BASE / "code"
MODEL = BASE / "model"
MANY = os.environ.get("SAGEMAKER_MULTI_MODEL", "").lower() == "true"
FRAMEWORK = os.environ.get("SCRIPT_MODE_FRAMEWORK", "")


class UserError(Exception):
    """A fault of what the user gave: the script, its requirements, its settings. Its text is the failure reason."""


class NoScript(UserError):
    """No entry point was named."""
