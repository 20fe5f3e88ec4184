from datetime import datetime, timedelta

import pytest

from core.domain.job import Job
from core.domain.states import JobState
from core.jobs.attempt import Attempts
from core.jobs.cancel import Cancel
from core.jobs.submit import publish
from core.jobs.sweep import Sweep, Swept
from tests.fakes.clock import FakeClock
from tests.fakes.examples import TENANT, a_job, a_request
from tests.fakes.job_queue import FakeJobQueue
from tests.fakes.job_repository import FakeJobRepository

LOST_AFTER = timedelta(minutes=5)


class RenewedMeanwhile(FakeJobRepository):
    """A repository in which a slow worker renews its lease right after the sweep has listed it."""

    def expired(self, *, now: datetime, limit: int = 1000) -> tuple[Job, ...]:
        listed = super().expired(now=now, limit=limit)
        for job in listed:
            self.renew_lease(job.id, fence=job.fence, expires_at=now + timedelta(minutes=1))
        return listed


@pytest.fixture
def sweep(attempts: Attempts) -> Sweep:
    return Sweep(attempts=attempts, lost_after=LOST_AFTER)


def stored(attempts: Attempts, *, published: bool = True) -> str:
    job = a_job()
    attempts.jobs.add(a_request(job), job, [])
    if published:
        publish(job.id, jobs=attempts.jobs, queue=attempts.queue, clock=attempts.clock)
    return job.id


def test_a_sweep_of_a_healthy_house_does_nothing(sweep: Sweep, attempts: Attempts, queue: FakeJobQueue):
    stored(attempts)
    attempts.claim(stored(attempts), owner="worker-1")

    assert sweep() == Swept(expired=0, republished=0)
    assert len(queue.published) == 2


def test_a_job_whose_worker_died_is_queued_again(sweep: Sweep, attempts: Attempts, clock: FakeClock):
    job_id = stored(attempts)
    attempts.claim(attempts.queue.take(), owner="worker-1")
    clock.advance(timedelta(minutes=1))

    swept = sweep()

    assert swept == Swept(expired=1, republished=0)
    assert attempts.jobs.job(job_id).state is JobState.QUEUED
    assert attempts.queue.published == [job_id]


def test_a_cancelling_job_whose_worker_died_is_cancelled(sweep: Sweep, attempts: Attempts, clock: FakeClock):
    job_id = stored(attempts)
    attempts.claim(job_id, owner="worker-1")
    Cancel(attempts.jobs, clock)(job_id, tenant=TENANT)
    clock.advance(timedelta(minutes=1))

    sweep()

    assert attempts.jobs.job(job_id).state is JobState.CANCELLED


def test_a_lease_that_was_renewed_meanwhile_is_left_alone(queue: FakeJobQueue, clock: FakeClock):
    attempts = Attempts(jobs=RenewedMeanwhile(), queue=queue, clock=clock, lease=timedelta(minutes=1), max_attempts=2)
    job_id = stored(attempts)
    attempts.claim(job_id, owner="worker-1")
    clock.advance(timedelta(minutes=1))

    Sweep(attempts=attempts, lost_after=LOST_AFTER)()

    assert attempts.jobs.job(job_id).state is JobState.RUNNING


def test_a_job_that_was_never_published_is_published(sweep: Sweep, attempts: Attempts, queue: FakeJobQueue):
    stored(attempts)
    unheard = stored(attempts, published=False)

    assert sweep().republished == 1
    assert queue.published[-1] == unheard


def test_a_message_that_was_lost_is_published_again_only_after_a_while(
    sweep: Sweep, attempts: Attempts, queue: FakeJobQueue, clock: FakeClock
):
    job_id = stored(attempts)
    queue.take()  # the broker forgot it

    early = sweep().republished
    clock.advance(LOST_AFTER + timedelta(seconds=1))
    late = sweep().republished

    assert (early, late) == (0, 1)
    assert queue.published == [job_id]


def test_a_message_that_may_still_wait_is_not_doubled(
    sweep: Sweep, attempts: Attempts, queue: FakeJobQueue, clock: FakeClock
):
    job_id = stored(attempts)
    clock.advance(LOST_AFTER + timedelta(seconds=1))

    assert sweep().republished == 0
    assert queue.published == [job_id]


def test_nothing_is_published_while_the_broker_is_away(sweep: Sweep, attempts: Attempts, queue: FakeJobQueue):
    job_id = stored(attempts, published=False)
    queue.away = True
    assert sweep().republished == 0
    queue.away = False

    assert sweep().republished == 1
    assert queue.published == [job_id]


def test_a_lost_message_is_published_again_while_another_one_waits(
    sweep: Sweep, attempts: Attempts, queue: FakeJobQueue, clock: FakeClock
):
    lost = stored(attempts)
    queue.take()  # the broker forgot it
    waiting = stored(attempts)
    clock.advance(LOST_AFTER + timedelta(seconds=1))

    sweep()

    assert set(queue.published) == {lost, waiting}


def test_a_job_that_was_never_published_does_not_count_as_lost(
    sweep: Sweep, attempts: Attempts, queue: FakeJobQueue, clock: FakeClock
):
    waiting, unheard = stored(attempts), stored(attempts, published=False)
    clock.advance(LOST_AFTER + timedelta(seconds=1))

    sweep()

    assert queue.published == [waiting, unheard]
