from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from core.domain.device import Device, LiveWorker
from core.domain.errors import DoesNotFitError
from core.domain.estimate import BytesRange
from core.domain.measurement import Measurement
from core.domain.workload import Workload
from core.jobs.history import History
from core.jobs.predict import fits, peak_memory
from core.ports import Clock, WorkerRepository

# Workers are heard of four times as often.
ALIVE_WITHIN = timedelta(seconds=60)
REMEDY = "lower batch_size or r, split long items, or run a worker with more memory"


@dataclass(frozen=True)
class Admission:
    """Refuses a job that no worker has the memory for."""

    history: History
    workers: WorkerRepository
    clock: Clock

    def __call__(self, workload: Workload, weights_sha256: str) -> None:
        """Return if some worker may have the memory. Where one is alive whose memory is not known, it may.

        Raises:
            DoesNotFitError: what the job surely needs is more than any living worker has; the message has the numbers.
        """
        devices = [worker.device for worker in self.live()]
        known = [device for device in devices if device is not None]
        if not known or len(known) < len(devices):
            return
        if any(fits(workload, device, self._measured(workload, weights_sha256, device)) for device in set(known)):
            return
        largest = max(known, key=lambda device: device.memory_bytes)
        low = self.memory(workload, weights_sha256, largest).low
        raise DoesNotFitError(
            f"the job needs at least {mebibytes(low)} of memory, and the largest worker has "
            f"{mebibytes(largest.memory_bytes)}: {REMEDY}",
            param="/method",
        )

    def memory(self, workload: Workload, weights_sha256: str, device: Device) -> BytesRange:
        """Return how much of a device's memory the job would need."""
        return peak_memory(workload, device.kind, self._measured(workload, weights_sha256, device))

    def live(self) -> tuple[LiveWorker, ...]:
        """Return the workers that are alive."""
        return self.workers.live(since=self.clock() - ALIVE_WITHIN)

    def _measured(self, workload: Workload, weights_sha256: str, device: Device) -> Sequence[Measurement]:
        alike = self.history.alike(workload, weights_sha256, device.name)
        return alike.measurements if alike else ()


def mebibytes(num_bytes: int) -> str:
    """Return a size as it is read: 1,024 MiB."""
    return f"{num_bytes / 2**20:,.0f} MiB"
