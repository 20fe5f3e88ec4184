from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from core.domain.errors import LeaseLostError, NotFoundError
from core.domain.events import NewEvent
from core.domain.job import Job, PublicError
from core.domain.request import Disposition, ItemDisposition
from core.domain.states import JobState
from core.jobs.attempt import ATTEMPTS_EXHAUSTED, Attempts
from core.jobs.cancel import Cancel
from tests.fakes.clock import FakeClock
from tests.fakes.examples import TENANT, a_job, a_package, a_probe, a_request, a_result, an_event
from tests.fakes.job_queue import FakeJobQueue
from tests.fakes.job_repository import FakeJobRepository

DIVERGED = PublicError(code="diverged", message="the loss is not a number")


class CancelComesFirst(FakeJobRepository):
    """A repository in which a cancel is saved between any attempt's reading and its saving, once."""

    def save(
        self,
        before: Job,
        after: Job,
        events: Sequence[NewEvent],
        dispositions: Sequence[ItemDisposition] | None = None,
    ) -> None:
        if before.state is JobState.RUNNING and after.state is not JobState.CANCELLING:
            super().save(before, before.cancelling(), [])
        super().save(before, after, events, dispositions)


def stored(jobs: FakeJobRepository) -> str:
    job = a_job()
    jobs.add(a_request(job), job, [an_event()])
    return job.id


def claimed(attempts: Attempts) -> Job:
    job = attempts.claim(stored(attempts.jobs), owner="worker-1")
    assert job is not None
    return job


def dispositions(attempts: Attempts, job: Job) -> set[Disposition]:
    return {item.disposition for request in attempts.jobs.requests_of(job.id) for item in request.items}


def last_event(attempts: Attempts, job: Job) -> str:
    return attempts.jobs.events(job.id)[-1].type


def test_claim_takes_a_lease_and_counts_the_attempt(attempts: Attempts, clock: FakeClock):
    job = claimed(attempts)

    assert attempts.jobs.job(job.id) == job
    assert job.lease is not None
    assert (job.lease.owner, job.lease.expires_at) == ("worker-1", clock.now + timedelta(minutes=1))
    assert (job.state, job.attempts, job.fence, job.started_at) == (JobState.RUNNING, 1, 1, clock.now)
    assert last_event(attempts, job) == "job.started"


def test_claim_returns_none_when_the_message_is_repeated(attempts: Attempts):
    job = claimed(attempts)

    assert [attempts.claim(job.id, owner="worker-2") for _ in range(4)] == [None] * 4
    assert attempts.jobs.job(job.id) == job


def test_claim_returns_none_when_another_worker_is_faster(attempts: Attempts, monkeypatch: pytest.MonkeyPatch):
    queued = attempts.jobs.job(stored(attempts.jobs))
    attempts.claim(queued.id, owner="worker-1")
    monkeypatch.setattr(attempts.jobs, "job", lambda *_, **__: queued)  # read before the other one saved

    assert attempts.claim(queued.id, owner="worker-2") is None


def test_claim_raises_when_the_job_is_unknown(attempts: Attempts):
    with pytest.raises(NotFoundError):
        attempts.claim("job_none", owner="worker-1")


def test_renew_extends_the_lease_and_tells_of_a_cancel(attempts: Attempts, clock: FakeClock):
    job = claimed(attempts)
    clock.advance(timedelta(seconds=30))

    assert attempts.renew(job) is JobState.RUNNING

    Cancel(attempts.jobs, clock)(job.id, tenant=TENANT)
    lease = attempts.jobs.job(job.id).lease
    assert lease is not None
    assert lease.expires_at == clock.now + timedelta(minutes=1)
    assert attempts.renew(job) is JobState.CANCELLING


def test_succeed_ends_the_job_with_its_package(attempts: Attempts, clock: FakeClock):
    job = claimed(attempts)
    measured = [ItemDisposition(item_id=f"item-{n}", disposition=Disposition.FORGOTTEN) for n in range(2)]

    attempts.succeed(job, a_package(), measured)

    ended = attempts.jobs.job(job.id)
    assert (ended.state, ended.package, ended.lease, ended.finished_at) == (
        JobState.SUCCEEDED,
        a_package(),
        None,
        clock.now,
    )
    assert dispositions(attempts, job) == {Disposition.FORGOTTEN}
    assert last_event(attempts, job) == "job.succeeded"


def test_succeed_is_refused_when_the_job_is_cancelling(attempts: Attempts, clock: FakeClock):
    job = claimed(attempts)
    Cancel(attempts.jobs, clock)(job.id, tenant=TENANT)

    with pytest.raises(LeaseLostError):
        attempts.succeed(job, a_package(), [])

    assert attempts.jobs.job(job.id).package is None


def claimed_probe(attempts: Attempts) -> Job:
    probe = a_probe()
    attempts.jobs.add_probe(probe, [an_event()])
    claimed = attempts.claim(probe.id, owner="worker-1")
    assert claimed is not None
    return claimed


def test_answer_ends_a_probe_with_its_result(attempts: Attempts, clock: FakeClock):
    probe = claimed_probe(attempts)

    attempts.answer(probe, a_result())

    ended = attempts.jobs.job(probe.id)
    assert (ended.state, ended.result, ended.package, ended.lease) == (JobState.SUCCEEDED, a_result(), None, None)
    assert last_event(attempts, probe) == "job.succeeded"


def test_answer_is_refused_when_the_probe_is_cancelling(attempts: Attempts, clock: FakeClock):
    probe = claimed_probe(attempts)
    Cancel(attempts.jobs, clock)(probe.id, tenant=TENANT)

    with pytest.raises(LeaseLostError):
        attempts.answer(probe, a_result())

    assert attempts.jobs.job(probe.id).result is None


def test_fail_ends_the_job_with_a_public_reason(attempts: Attempts):
    job = claimed(attempts)

    attempts.fail(job, DIVERGED)

    ended = attempts.jobs.job(job.id)
    assert (ended.state, ended.error, ended.lease) == (JobState.FAILED, DIVERGED, None)
    assert dispositions(attempts, job) == {Disposition.FAILED}
    assert last_event(attempts, job) == "job.failed"


def test_cancelled_ends_a_cancelling_job(attempts: Attempts, clock: FakeClock):
    job = claimed(attempts)
    Cancel(attempts.jobs, clock)(job.id, tenant=TENANT)

    attempts.cancelled(job)

    assert attempts.jobs.job(job.id).state is JobState.CANCELLED
    assert dispositions(attempts, job) == {Disposition.CANCELLED}
    assert last_event(attempts, job) == "job.cancelled"


def test_lost_gives_the_job_back_to_the_queue(attempts: Attempts, queue: FakeJobQueue, clock: FakeClock):
    job = claimed(attempts)

    attempts.lost(job, reason="the runner died")

    waiting = attempts.jobs.job(job.id)
    assert (waiting.state, waiting.attempts, waiting.lease) == (JobState.QUEUED, 1, None)
    assert waiting.published_at == clock.now
    assert queue.published == [job.id]
    assert last_event(attempts, job) == "job.requeued"
    assert dispositions(attempts, job) == {Disposition.PENDING}


def test_an_orderly_return_costs_no_attempt(attempts: Attempts):
    for _ in range(5):
        job = claimed(attempts)
        attempts.lost(job, reason="the worker stops", count_attempt=False)

        assert attempts.jobs.job(job.id).attempts == 0


def test_lost_fails_the_job_when_its_attempts_are_used_up(attempts: Attempts, queue: FakeJobQueue):
    first = claimed(attempts)
    attempts.lost(first, reason="killed")
    second = attempts.claim(first.id, owner="worker-2")
    assert second is not None

    attempts.lost(second, reason="killed")

    ended = attempts.jobs.job(first.id)
    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert ended.error.code == ATTEMPTS_EXHAUSTED
    assert dispositions(attempts, first) == {Disposition.FAILED}
    assert queue.published == [first.id]


def test_lost_cancels_a_cancelling_job(attempts: Attempts, clock: FakeClock):
    job = claimed(attempts)
    Cancel(attempts.jobs, clock)(job.id, tenant=TENANT)

    attempts.lost(job, reason="the runner died")

    assert attempts.jobs.job(job.id).state is JobState.CANCELLED


def test_lost_does_nothing_when_another_attempt_owns_the_job(attempts: Attempts):
    first = claimed(attempts)
    attempts.lost(first, reason="the lease ended")
    second = attempts.claim(first.id, owner="worker-2")

    attempts.lost(first, reason="late news")

    assert attempts.jobs.job(first.id) == second


def test_lost_waits_for_the_sweep_when_the_broker_is_away(attempts: Attempts, queue: FakeJobQueue):
    job = claimed(attempts)
    queue.away = True

    attempts.lost(job, reason="the runner died")

    assert attempts.jobs.job(job.id).state is JobState.QUEUED
    assert attempts.jobs.job(job.id).published_at is None


@pytest.mark.parametrize(
    "ending",
    [
        lambda attempts, job: attempts.succeed(job, a_package(), []),
        lambda attempts, job: attempts.fail(job, DIVERGED),
        lambda attempts, job: attempts.cancelled(job),
        lambda attempts, job: attempts.renew(job),
    ],
    ids=["succeed", "fail", "cancelled", "renew"],
)
def test_an_old_attempt_changes_nothing(attempts: Attempts, ending: Callable[[Attempts, Job], None]):
    first = claimed(attempts)
    attempts.lost(first, reason="the lease ended")
    second = attempts.claim(first.id, owner="worker-2")

    with pytest.raises(LeaseLostError):
        ending(attempts, first)

    assert attempts.jobs.job(first.id) == second


@pytest.fixture
def interrupted(queue: FakeJobQueue, clock: FakeClock) -> Attempts:
    return Attempts(jobs=CancelComesFirst(), queue=queue, clock=clock, lease=timedelta(minutes=1), max_attempts=2)


def test_succeed_loses_its_lease_when_a_cancel_comes_between_reading_and_saving(interrupted: Attempts):
    job = claimed(interrupted)

    with pytest.raises(LeaseLostError):
        interrupted.succeed(job, a_package(), [])

    assert interrupted.jobs.job(job.id).state is JobState.CANCELLING


def test_lost_cancels_when_a_cancel_comes_between_reading_and_saving(interrupted: Attempts):
    job = claimed(interrupted)

    interrupted.lost(job, reason="the runner died")

    assert interrupted.jobs.job(job.id).state is JobState.CANCELLED


def test_fail_stands_when_a_cancel_comes_between_reading_and_saving(interrupted: Attempts):
    job = claimed(interrupted)

    interrupted.fail(job, DIVERGED)

    assert interrupted.jobs.job(job.id).error == DIVERGED
