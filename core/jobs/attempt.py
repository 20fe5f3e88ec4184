"""The life of one attempt: claim, renew, and the ways it can end. Called by the worker alone."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from core.domain.errors import LeaseLostError, StaleJobError
from core.domain.events import EventType, Level, NewEvent
from core.domain.job import Job, Package, PublicError, StoredFile
from core.domain.request import Disposition, ItemDisposition, disposition_at_end
from core.domain.states import JobState
from core.jobs.submit import publish
from core.ports import Clock, JobQueue, JobRepository

ATTEMPTS_EXHAUSTED = "attempts_exhausted"


@dataclass(frozen=True)
class Attempts:
    """Moves jobs through their attempts. ``max_attempts`` bounds what a job that kills its worker can cost."""

    jobs: JobRepository
    queue: JobQueue
    clock: Clock
    lease: timedelta
    max_attempts: int

    def claim(self, job_id: str, *, owner: str) -> Job | None:
        """Return the job as claimed by ``owner``, or None when there is nothing to do.

        Nothing to do is the normal answer to a repeated message: the job runs elsewhere or has ended.
        """
        job = self.jobs.job(job_id)
        if job.state is not JobState.QUEUED:
            return None
        now = self.clock()
        claimed = job.claimed(owner=owner, now=now, expires_at=now + self.lease)
        started = self._event(EventType.STARTED, f"attempt {claimed.attempts} of {self.max_attempts}")
        try:
            self.jobs.save(job, claimed, [started])
        except StaleJobError:
            return None
        return claimed

    def renew(self, job: Job) -> JobState:
        """Extend the lease and return the state: ``cancelling`` asks the caller to stop the run."""
        return self.jobs.renew_lease(job.id, fence=job.fence, expires_at=self.clock() + self.lease)

    def succeed(self, job: Job, package: Package, dispositions: Sequence[ItemDisposition]) -> None:
        """End the attempt with a package.

        Raises:
            LeaseLostError: the job was cancelled meanwhile or belongs to another attempt; the package is not delivered.
        """

        def ended(present: Job) -> Job:
            return present.ended(JobState.SUCCEEDED, now=self.clock(), package=package)

        self._decide(job, lambda present: self._deliver(present, ended, "adapter and report are ready", dispositions))

    def answer(self, probe: Job, result: StoredFile) -> None:
        """End the attempt at a probe with its result. Raises as :meth:`succeed`."""

        def ended(present: Job) -> Job:
            return present.ended(JobState.SUCCEEDED, now=self.clock(), result=result)

        self._decide(probe, lambda present: self._deliver(present, ended, "the result is ready", ()))

    def fail(self, job: Job, error: PublicError) -> None:
        """End the job for good: another attempt would fail the same way."""
        self._decide(job, lambda present: self._end(present, JobState.FAILED, error))

    def cancelled(self, job: Job) -> None:
        """End a cancelling job, once no process of it is left."""
        self._decide(job, lambda present: self._end(present, JobState.CANCELLED, None))

    def lost(self, job: Job, *, reason: str, count_attempt: bool = True) -> None:
        """Hand back a job whose process died or must stop: to the queue, or to ``failed`` when attempts are used up.

        Does nothing when the job has ended or moved on meanwhile.
        """
        with suppress(LeaseLostError):
            self._decide(job, lambda present: self._give_back(present, reason=reason, count_attempt=count_attempt))

    def expire(self, job: Job) -> None:
        """Hand back a job whose lease has ended. Does nothing when its worker has renewed the lease meanwhile."""

        def give_back(present: Job) -> None:
            if present.lease is not None and present.lease.expires_at <= self.clock():
                self._give_back(present, reason="its worker stopped answering", count_attempt=True)

        with suppress(LeaseLostError):
            self._decide(job, give_back)

    def _decide(self, job: Job, decision: Callable[[Job], None]) -> None:
        """Apply the decision to the job as it is now, if this attempt still owns it.

        A transition that comes in between, such as a cancel, makes the save stale; the decision is then taken anew.
        """
        while True:
            present = self.jobs.job(job.id)
            if present.fence != job.fence or present.lease is None:
                raise LeaseLostError(f"attempt {job.fence} of job {job.id} is over")
            with suppress(StaleJobError):
                return decision(present)

    def _deliver(
        self, present: Job, ended: Callable[[Job], Job], message: str, dispositions: Sequence[ItemDisposition]
    ) -> None:
        if present.state is not JobState.RUNNING:
            raise LeaseLostError(f"job {present.id} is {present.state}; what it made is not delivered")
        self.jobs.save(present, ended(present), [self._event(EventType.SUCCEEDED, message)], dispositions)

    def _give_back(self, present: Job, *, reason: str, count_attempt: bool) -> None:
        if present.state is JobState.CANCELLING:
            self._end(present, JobState.CANCELLED, None)
        elif count_attempt and present.attempts >= self.max_attempts:
            message = f"{present.attempts} attempts ended without a result; the last: {reason}"
            self._end(present, JobState.FAILED, PublicError(code=ATTEMPTS_EXHAUSTED, message=message))
        else:
            queued = present.requeued(count_attempt=count_attempt)
            self.jobs.save(present, queued, [self._event(EventType.REQUEUED, reason, level="warning")])
            publish(present.id, jobs=self.jobs, queue=self.queue, clock=self.clock)

    def _end(self, present: Job, state: JobState, error: PublicError | None) -> None:
        if state is JobState.FAILED:
            event = self._event(EventType.FAILED, error.message if error else "", level="error")
            ended = present.ended(JobState.FAILED, now=self.clock(), error=error)
        else:
            event = self._event(EventType.CANCELLED, "nothing of this job runs any more")
            ended = present.ended(JobState.CANCELLED, now=self.clock())
        self.jobs.save(present, ended, [event], end_dispositions(self.jobs, present.id, state))

    def _event(self, kind: EventType, message: str, *, level: Level = "info") -> NewEvent:
        return NewEvent(type=kind, message=message, level=level, created_at=self.clock())


def end_dispositions(jobs: JobRepository, job_id: str, state: JobState) -> tuple[ItemDisposition, ...]:
    """Return what each item of the job's requests is left with when the job ends unmeasured."""
    disposition: Disposition = disposition_at_end(state)
    return tuple(
        ItemDisposition(item_id=item.item_id, disposition=disposition)
        for request in jobs.requests_of(job_id)
        for item in request.items
    )
