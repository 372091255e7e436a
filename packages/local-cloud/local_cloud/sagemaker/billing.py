"""What a training job is billed for: the time on its instances, from the download of its data to the end of its containers.

AWS: "Billable time refers to the absolute wall-clock time. Multiply BillableTimeInSeconds by the number of instances"
(https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html), so the instances are not in it. The
time between two spot instances is not billed: `1 - BillableTimeInSeconds / TrainingTimeInSeconds` is what spot saved.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from local_cloud.clock import Clock


class Bill:
    """Adds up the time on instances of one job."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """While instances are held."""
        began = self._clock.ticks()
        try:
            yield
        finally:
            self.seconds += self._clock.ticks() - began

    @property
    def billable(self) -> int:
        """BillableTimeInSeconds: whole seconds, at least one."""
        return max(1, round(self.seconds))
