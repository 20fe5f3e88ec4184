from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

from core.domain.errors import AlreadyExistsError, StaleJobError
from core.domain.job import Job, Progress, Stage
from core.domain.states import JobState
from core.ports import JobRepository
from tests.fakes.clock import START
from tests.fakes.examples import a_job, a_request, an_event

SOON = START + timedelta(minutes=1)


def race(*runners: Callable[[], object]) -> list[object]:
    """Let every runner start at the same moment and return what they returned, in their order."""
    gate = Barrier(len(runners))

    def start(runner: Callable[[], object]) -> object:
        gate.wait()
        return runner()

    with ThreadPoolExecutor(len(runners)) as pool:
        return list(pool.map(start, runners))


def stored(jobs: JobRepository) -> Job:
    job = a_job()
    jobs.add(a_request(job), job, [an_event()])
    return job


def claim(jobs: JobRepository, job: Job, owner: str) -> bool:
    try:
        jobs.save(job, job.claimed(owner=owner, now=START, expires_at=SOON), [an_event(owner)])
    except StaleJobError:
        return False
    return True


def test_one_of_twenty_claims_wins(jobs: JobRepository):
    job = stored(jobs)
    owners = [f"worker-{number}" for number in range(20)]

    won = race(*[lambda owner=owner: claim(jobs, job, owner) for owner in owners])

    claimed = jobs.job(job.id)
    assert won.count(True) == 1
    assert claimed.lease is not None
    assert claimed.lease.owner == owners[won.index(True)]
    assert (claimed.fence, claimed.attempts, claimed.version) == (1, 1, 1)
    assert [event.message for event in jobs.events(job.id)] == ["waiting for a worker", claimed.lease.owner]


def test_reports_renewals_and_a_cancel_at_once_lose_nothing(jobs: JobRepository):
    job = stored(jobs)
    claim(jobs, job, "worker-1")
    running = jobs.job(job.id)
    rounds = 10

    def report() -> None:
        for step in range(1, rounds + 1):
            progress = Progress(step=step, total_steps=rounds)
            jobs.record(job.id, fence=1, stage=Stage.TRAIN, progress=progress, events=[an_event(), an_event()])

    def renew() -> None:
        for minute in range(1, rounds + 1):
            jobs.renew_lease(job.id, fence=1, expires_at=SOON + timedelta(minutes=minute))

    race(report, renew, lambda: jobs.save(running, running.cancelling(), [an_event("cancel")]))

    after = jobs.job(job.id)
    assert after.state is JobState.CANCELLING
    assert after.version == running.version + 1
    assert after.progress.step == rounds
    assert after.lease is not None
    assert after.lease.expires_at == SOON + timedelta(minutes=rounds)
    assert [event.seq for event in jobs.events(job.id)] == list(range(1, 2 + 1 + 2 * rounds + 1))


def test_event_numbers_have_no_gap_when_many_threads_append(jobs: JobRepository):
    job = stored(jobs)
    claim(jobs, job, "worker-1")

    def append(name: str) -> None:
        for number in range(5):
            event = an_event(f"{name}-{number}")
            jobs.record(job.id, fence=1, stage=Stage.TRAIN, progress=Progress(), events=[event])

    race(*[lambda name=name: append(name) for name in "abcdefgh"])

    events = jobs.events(job.id)
    assert [event.seq for event in events] == list(range(1, 2 + 8 * 5 + 1))
    assert len({event.message for event in events}) == 2 + 8 * 5


def test_one_of_two_ends_wins(jobs: JobRepository):
    job = stored(jobs)
    claim(jobs, job, "worker-1")
    running = jobs.job(job.id)

    def end(after: Job) -> bool:
        try:
            jobs.save(running, after, [an_event(after.state)])
        except StaleJobError:
            return False
        return True

    succeeded, requeued = running.ended(JobState.SUCCEEDED, now=SOON), running.requeued(count_attempt=True)
    won = race(lambda: end(succeeded), lambda: end(requeued))

    assert sorted(won) == [False, True]
    assert jobs.job(job.id) == (succeeded if won[0] else requeued)
    assert len(jobs.events(job.id)) == 3


def test_one_of_many_adds_of_the_same_job_wins(jobs: JobRepository):
    job = a_job()

    def add() -> bool:
        try:
            jobs.add(a_request(job), job, [an_event()])
        except AlreadyExistsError:
            return False
        return True

    won = race(*[add] * 8)

    assert won.count(True) == 1
    assert len(jobs.requests_of(job.id)) == 1
    assert len(jobs.events(job.id)) == 1
