from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from core.domain.job import Job
from core.domain.workload import Workload
from core.jobs.history import Alike, History
from core.jobs.predict import stage_seconds, start


@dataclass(frozen=True)
class Outlook:
    """How long jobs would take on the devices that are at work, for one answer: what was read is kept."""

    history: History
    devices: AbstractSet[str]  # names; empty: what is at work has not told, so where the base model ran last counts
    _found: dict[tuple[str, ...], Alike | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def slowest(self, workload: Workload, weights_sha256: str) -> Alike | None:
        """Return the measurements of jobs like this one on the device on which it would take longest, if any."""
        last = None if self.devices else self.history.last_device(weights_sha256)
        names = self.devices or ({last} if last else set())
        found = (self._alike(workload, weights_sha256, name) for name in sorted(names))
        return max(
            (alike for alike in found if alike is not None),
            key=lambda alike: likely_seconds(workload, alike),
            default=None,
        )

    def seconds(self, job: Job) -> float | None:
        """Return the likely duration of a job that waits or runs; None where it is not known."""
        if job.workload is None:
            return None
        alike = self.slowest(job.workload, job.spec.weights_sha256)
        return None if alike is None else likely_seconds(job.workload, alike)

    def _alike(self, workload: Workload, weights_sha256: str, device: str) -> Alike | None:
        key = (workload.method, workload.policy, weights_sha256, device)
        if key not in self._found:
            self._found[key] = self.history.alike(workload, weights_sha256, device)
        return self._found[key]


def likely_seconds(workload: Workload, alike: Alike) -> float:
    """Return how long a worker likely has the job: its stages, and what is on top of them."""
    stages = stage_seconds(workload, alike.measurements).values()
    return start(alike.measurements).likely + sum(stage.likely for stage in stages)
