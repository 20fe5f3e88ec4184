from collections.abc import Sequence

import pytest

from core.domain.errors import IllegalTransitionError, NotFoundError
from core.domain.events import NewEvent
from core.domain.job import Job
from core.domain.request import Disposition, ItemDisposition
from core.domain.states import JobState
from core.jobs.attempt import Attempts
from core.jobs.cancel import Cancel
from tests.fakes.clock import START, FakeClock
from tests.fakes.examples import TENANT, a_job, a_package, a_request
from tests.fakes.job_repository import FakeJobRepository


class ClaimComesFirst(FakeJobRepository):
    """A repository in which a worker claims the job between the cancel's reading and its saving."""

    def save(
        self,
        before: Job,
        after: Job,
        events: Sequence[NewEvent],
        dispositions: Sequence[ItemDisposition] | None = None,
    ) -> None:
        if before.state is JobState.QUEUED:
            super().save(before, before.claimed(owner="worker-1", now=START, expires_at=START), [])
        super().save(before, after, events, dispositions)


def stored(jobs: FakeJobRepository) -> Job:
    job = a_job()
    jobs.add(a_request(job), job, [])
    return job


def test_a_queued_job_is_cancelled_at_once(jobs: FakeJobRepository, clock: FakeClock):
    job = stored(jobs)

    cancelled = Cancel(jobs, clock)(job.id, tenant=TENANT)

    assert cancelled == jobs.job(job.id)
    assert (cancelled.state, cancelled.finished_at) == (JobState.CANCELLED, clock.now)
    assert {item.disposition for item in jobs.requests_of(job.id)[0].items} == {Disposition.CANCELLED}
    assert [event.type for event in jobs.events(job.id)] == ["job.cancelled"]


def test_a_running_job_is_asked_to_stop_and_keeps_its_lease(attempts: Attempts, clock: FakeClock):
    job = attempts.claim(stored(attempts.jobs).id, owner="worker-1")
    assert job is not None

    cancelling = Cancel(attempts.jobs, clock)(job.id, tenant=TENANT)

    assert (cancelling.state, cancelling.lease) == (JobState.CANCELLING, job.lease)
    assert {item.disposition for item in attempts.jobs.requests_of(job.id)[0].items} == {Disposition.PENDING}
    assert attempts.jobs.events(job.id)[-1].type == "job.cancel_requested"


def test_cancelling_twice_is_cancelling_once(attempts: Attempts, clock: FakeClock):
    cancel = Cancel(attempts.jobs, clock)
    queued, running = stored(attempts.jobs), stored(attempts.jobs)
    attempts.claim(running.id, owner="worker-1")

    for job in (queued, running):
        assert cancel(job.id, tenant=TENANT) == cancel(job.id, tenant=TENANT)

    assert len(attempts.jobs.events(queued.id)) == 1


def test_a_job_that_has_ended_cannot_be_cancelled(attempts: Attempts, clock: FakeClock):
    job = attempts.claim(stored(attempts.jobs).id, owner="worker-1")
    assert job is not None
    attempts.succeed(job, a_package(), [])

    with pytest.raises(IllegalTransitionError, match="succeeded"):
        Cancel(attempts.jobs, clock)(job.id, tenant=TENANT)


def test_anothers_job_is_not_found(jobs: FakeJobRepository, clock: FakeClock):
    job = stored(jobs)

    with pytest.raises(NotFoundError):
        Cancel(jobs, clock)(job.id, tenant="other")

    assert jobs.job(job.id) == job


def test_the_decision_is_taken_anew_when_a_worker_claims_the_job_in_between(clock: FakeClock):
    jobs = ClaimComesFirst()
    job = stored(jobs)

    assert Cancel(jobs, clock)(job.id, tenant=TENANT).state is JobState.CANCELLING
