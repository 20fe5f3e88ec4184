from contextlib import suppress
from dataclasses import dataclass

from pydantic import ValidationError

from core.domain.errors import NotFoundError
from core.domain.spec import ProbeSpec
from core.ports import Clock, ItemStore, JobRepository


@dataclass(frozen=True)
class DestroyProbed:
    """Destroys the texts of a probe that has ended, however it ended: a probe must not become a copy of them.

    Whoever ends a probe calls it for that one. A process that dies between the two, and an outage, leave it to the
    sweep, which asks about every set that nobody has kept: those of probes never are.
    """

    jobs: JobRepository
    items: ItemStore
    clock: Clock

    def __call__(self) -> int:
        """Return of how many ended probes texts were still there.

        The texts of unknown owners stay, and so do those of jobs whose row cannot be read: whether they have ended is
        not known.
        """
        destroyed = 0
        for found in self.items.provisional(stored_before=self.clock()):
            with suppress(NotFoundError, ValidationError):
                destroyed += self.of(found.owner)
        return destroyed

    def of(self, job_id: str) -> bool:
        """Return whether the job is a probe that has ended, after destroying its texts if it is. May be repeated."""
        job = self.jobs.job(job_id)
        if not isinstance(job.spec, ProbeSpec) or not job.state.is_terminal:
            return False
        self.items.destroy(job.spec.item_set_id)
        return True
