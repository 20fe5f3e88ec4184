from datetime import timedelta

import pytest

from core.domain.job import Job
from core.domain.states import JobState
from core.jobs.attempt import Attempts
from core.jobs.cancel import Cancel
from core.jobs.destroy_orphans import DestroyOrphans
from core.jobs.destroy_probed import DestroyProbed
from tests.fakes.base_model_repository import FakeBaseModelRepository
from tests.fakes.clock import START, FakeClock
from tests.fakes.examples import TENANT, a_job, a_probe, a_request, a_result, an_item_set
from tests.fakes.item_store import FakeItemStore
from tests.fakes.job_repository import FakeJobRepository

LATER = timedelta(hours=2)


class OneUnreadable(FakeJobRepository):
    """A repository in which the row of one probe is that of another release."""

    def job(self, job_id: str, *, tenant: str | None = None) -> Job:
        return Job.model_validate({"id": job_id}) if job_id == "prb_a" else super().job(job_id, tenant=tenant)


@pytest.fixture
def items() -> FakeItemStore:
    return FakeItemStore()


@pytest.fixture
def destroy(jobs: FakeJobRepository, items: FakeItemStore, clock: FakeClock) -> DestroyProbed:
    return DestroyProbed(jobs, items, clock)


def stored(jobs: FakeJobRepository, items: FakeItemStore, probe_id: str = "prb_1") -> Job:
    probe = a_probe(probe_id, item_set_id=f"set_{probe_id}")
    jobs.add_probe(probe, [])
    items.put(an_item_set(f"set_{probe_id}", owner=probe_id, created_at=START - timedelta(seconds=1)))
    return probe


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
def test_texts_go_however_the_probe_ended(
    destroy: DestroyProbed, attempts: Attempts, items: FakeItemStore, clock: FakeClock, state: JobState
):
    stored(attempts.jobs, items)
    probe = attempts.claim("prb_1", owner="worker-1")
    assert probe is not None
    match state:
        case JobState.SUCCEEDED:
            attempts.answer(probe, a_result())
        case JobState.FAILED:
            for _ in range(2):
                attempts.lost(attempts.jobs.job("prb_1"), reason="killed")
                attempts.claim("prb_1", owner="worker-2")
        case _:
            Cancel(attempts.jobs, clock)("prb_1", tenant=TENANT)
            attempts.cancelled(probe)

    assert attempts.jobs.job("prb_1").state is state
    assert destroy.of("prb_1")
    assert items.sets == {}
    assert destroy.of("prb_1")  # once more is harmless


def test_texts_of_a_probe_that_goes_on_stay(
    destroy: DestroyProbed, attempts: Attempts, items: FakeItemStore, clock: FakeClock
):
    stored(attempts.jobs, items)

    assert not destroy.of("prb_1")
    probe = attempts.claim("prb_1", owner="worker-1")
    assert probe is not None
    Cancel(attempts.jobs, clock)("prb_1", tenant=TENANT)

    assert not destroy.of("prb_1")  # its process may still read them
    assert destroy() == 0
    assert len(items.sets) == 1


def test_sweep_destroys_what_a_process_that_died_left(
    destroy: DestroyProbed, jobs: FakeJobRepository, items: FakeItemStore, clock: FakeClock
):
    for name in ("prb_1", "prb_2"):
        stored(jobs, items, name)
    Cancel(jobs, clock)("prb_2", tenant=TENANT)

    assert destroy() == 1
    assert set(items.sets) == {"set_prb_1"}


def test_texts_of_requests_and_of_nobody_are_left_alone(
    destroy: DestroyProbed, jobs: FakeJobRepository, items: FakeItemStore, clock: FakeClock
):
    request = a_request(job := a_job())
    jobs.add(request, job, [])
    Cancel(jobs, clock)(job.id, tenant=TENANT)
    items.put(an_item_set(owner=request.id, created_at=START - LATER))
    items.put(an_item_set(owner="prb_never_stored", created_at=START - LATER))

    assert destroy() == 0
    assert not destroy.of(job.id)
    assert len(items.sets) == 2


def test_probe_that_cannot_be_read_does_not_keep_the_texts_of_others(items: FakeItemStore, clock: FakeClock):
    jobs = OneUnreadable()
    for name in ("prb_a", "prb_b"):
        stored(jobs, items, name)
    Cancel(jobs, clock)("prb_b", tenant=TENANT)

    assert DestroyProbed(jobs, items, clock)() == 1
    assert set(items.sets) == {"set_prb_a"}


@pytest.mark.parametrize("repository", [FakeJobRepository, OneUnreadable])
def test_texts_of_a_probe_that_waits_for_hours_are_no_orphans(
    items: FakeItemStore, clock: FakeClock, repository: type[FakeJobRepository]
):
    jobs = repository()
    stored(jobs, items, "prb_a")
    clock.advance(LATER)

    assert DestroyOrphans(items, jobs, FakeBaseModelRepository(), clock)() == 0
    assert set(items.sets) == {"set_prb_a"}
    assert items.kept == set()


def test_texts_of_a_probe_that_was_never_stored_are_orphans(
    jobs: FakeJobRepository, items: FakeItemStore, clock: FakeClock
):
    items.put(an_item_set(owner="prb_never_stored"))
    clock.advance(LATER)

    assert DestroyOrphans(items, jobs, FakeBaseModelRepository(), clock)() == 1
    assert items.sets == {}
