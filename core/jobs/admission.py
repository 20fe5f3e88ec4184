from dataclasses import dataclass
from datetime import timedelta

from core.domain.device import Device, LiveWorker
from core.domain.errors import DoesNotFitError
from core.domain.estimate import BytesRange
from core.domain.workload import Workload
from core.jobs.history import History
from core.jobs.predict import peak_memory
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
        needed = [(self.memory(workload, weights_sha256, device).low, device.memory_bytes) for device in set(known)]
        if all(low > there for low, there in needed):
            low, there = max(needed, key=lambda pair: pair[1])
            raise DoesNotFitError(
                f"the job needs at least {mebibytes(low)} of memory, and the largest worker has {mebibytes(there)}: "
                f"{REMEDY}",
                param="/method",
            )

    def memory(self, workload: Workload, weights_sha256: str, device: Device) -> BytesRange:
        """Return how much of a device's memory the job would need."""
        alike = self.history.alike(workload, weights_sha256, device.name)
        return peak_memory(workload, device.kind, alike.measurements if alike else ())

    def live(self) -> tuple[LiveWorker, ...]:
        """Return the workers that are alive."""
        return self.workers.live(since=self.clock() - ALIVE_WITHIN)


def mebibytes(num_bytes: int) -> str:
    """Return a size as it is read: 1,024 MiB."""
    return f"{num_bytes / 2**20:,.0f} MiB"
