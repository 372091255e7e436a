"""`train`: one training job, whether a trial of a search, the final training or a search of its own.

Reads `/opt/ml`, prints metrics for SageMaker's regular expressions, leaves the model in `/opt/ml/model`, the course of the
training in `/opt/ml/output/data` and, when it fails, one message for a person in `/opt/ml/output/failure`.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from contract.failure import JobFailure, leave_message


def main(argv: Sequence[str] = ()) -> int:
    """The command `train`; 0 when the training finished or was stopped in order, 1 with a message when it failed."""
    from training_code.train.failures import explained
    from training_code.train.job import Job
    from training_code.train.run import run
    from training_code.train.stopping import Stopped, StopRequest

    stop = StopRequest().listen()
    job = None
    try:
        if argv:
            raise JobFailure(f"train: received {' '.join(argv)}; it takes no arguments. Settings are hyperparameters.")
        job = Job.read()
        run(job, stop)
    except Stopped:
        print(
            "stopped as asked: the step was finished and a checkpoint written; no epoch had ended that could be exported.",
            flush=True,
        )
    except Exception as error:
        failure = explained(error, job.settings if job else None)
        if not isinstance(failure, JobFailure):
            traceback.print_exc()
        print(f"training failed: {failure}", file=sys.stderr, flush=True)
        leave_message("failure", failure)
        return 1
    return 0
