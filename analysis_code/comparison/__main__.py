"""`python -m analysis_code.comparison`: the job that ends a comparison. A failure leaves one message for a person."""

import os
import sys
import traceback
from pathlib import Path

from analysis_code.comparison.command import main

try:
    main()
except Exception as error:
    traceback.print_exc()
    message = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")) / "output" / "message"
    message.parent.mkdir(parents=True, exist_ok=True)
    message.write_text(f"{type(error).__name__}: {error}")
    sys.exit(1)
