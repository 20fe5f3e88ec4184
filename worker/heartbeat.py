import time

from core.domain.errors import LeaseLostError, LetheError
from core.domain.job import Job
from core.domain.states import JobState
from core.jobs.attempt import Attempts
from worker.logs import get_logger

log = get_logger(__name__)


class Heartbeat:
    """Keeps one attempt's lease, and hears with it whether the job is to be stopped."""

    def __init__(self, attempts: Attempts, job: Job, *, every_seconds: float) -> None:
        """Begin with the lease that the claim has just taken."""
        self._attempts = attempts
        self._job = job
        self._every = every_seconds
        self._due = time.monotonic()
        self._ends = self._due + attempts.lease.total_seconds()

    def beat(self) -> JobState:
        """Renew the lease when it is time to, and return the job's state as far as it is known.

        A database that is away for a moment costs nothing: the lease still holds, and the next beat tries again.

        Raises:
            LeaseLostError: the job belongs to somebody else, or the lease ended before the database came back.
        """
        now = time.monotonic()
        if now < self._due:
            return JobState.RUNNING
        self._due = now + self._every
        try:
            state = self._attempts.renew(self._job)
        except LetheError:
            raise
        except Exception as away:
            log.warning("the lease could not be renewed", exc_info=True)
            if time.monotonic() >= self._ends:
                raise LeaseLostError(f"attempt {self._job.fence} of job {self._job.id} outlived its lease") from away
            return JobState.RUNNING
        self._ends = now + self._attempts.lease.total_seconds()
        return state
