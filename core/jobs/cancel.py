from dataclasses import dataclass

from core.domain.errors import StaleJobError
from core.domain.events import EventType, NewEvent
from core.domain.job import Job
from core.domain.states import JobState
from core.jobs.attempt import end_dispositions
from core.ports import Clock, JobRepository


@dataclass(frozen=True)
class Cancel:
    """Asks a job to stop. A queued job is cancelled at once; a running one when its processes are gone."""

    jobs: JobRepository
    clock: Clock

    def __call__(self, job_id: str, *, tenant: str) -> Job:
        """Return the job as it is after the request. Asking twice is the same as asking once.

        Raises:
            NotFoundError: no such job for this tenant.
            IllegalTransitionError: the job has succeeded or failed, so there is nothing to stop.
        """
        while True:
            job = self.jobs.job(job_id, tenant=tenant)
            if job.state in {JobState.CANCELLING, JobState.CANCELLED}:
                return job
            try:
                return self._cancel(job)
            except StaleJobError:
                continue  # it moved between reading and saving: decide anew on what it is now

    def _cancel(self, job: Job) -> Job:
        now = self.clock()
        if job.state is JobState.QUEUED:
            after = job.ended(JobState.CANCELLED, now=now)
            event = NewEvent(type=EventType.CANCELLED, message="cancelled before it started", created_at=now)
            self.jobs.save(job, after, [event], end_dispositions(self.jobs, job.id, JobState.CANCELLED))
        else:
            after = job.cancelling()
            event = NewEvent(type=EventType.CANCEL_REQUESTED, message="stopping its processes", created_at=now)
            self.jobs.save(job, after, [event])
        return after
