from datetime import timedelta

import pytest

from core.domain.states import JobState
from core.jobs.cancel import Cancel
from core.jobs.destroy_orphans import DestroyOrphans
from core.jobs.sweep import Sweep
from tests.fakes.base_model_repository import FakeBaseModelRepository
from tests.fakes.examples import a_package, an_item_set
from tests.fakes.item_store import FakeItemStore
from worker.checkpoints import checkpoint_key
from worker.sweeper import sweep_once


@pytest.fixture
def items():
    return FakeItemStore()


@pytest.fixture
def destroy_orphans(items, jobs, clock):
    return DestroyOrphans(items, jobs, FakeBaseModelRepository(), clock)


def test_texts_without_a_request_are_destroyed(destroy_orphans, items, attempts, store, clock):
    items.put(an_item_set(owner="dr_never_stored"))
    clock.advance(timedelta(hours=2))

    sweep_once(Sweep(attempts, timedelta(seconds=20)), destroy_orphans, store)

    assert items.sets == {}


def test_job_that_the_sweep_ends_keeps_no_checkpoint(destroy_orphans, attempts, jobs, store, clock, queued):
    store.put(checkpoint_key(queued.id), b"trained on the forget set")
    sweep = Sweep(attempts, timedelta(seconds=20))
    for _ in range(3):
        attempts.claim(queued.id, owner="a worker that dies")
        clock.advance(timedelta(minutes=1))
        sweep_once(sweep, destroy_orphans, store)

    assert jobs.job(queued.id).state is JobState.FAILED
    assert store.artifacts == {}


def test_checkpoint_of_a_queued_job_that_was_cancelled_is_removed(
    destroy_orphans, attempts, jobs, store, clock, claimed
):
    store.put(checkpoint_key(claimed.id), b"trained on the forget set")
    attempts.lost(claimed, reason="its worker was killed")
    Cancel(jobs, clock)(claimed.id, tenant=claimed.tenant)

    sweep_once(Sweep(attempts, timedelta(seconds=20)), destroy_orphans, store)

    assert store.artifacts == {}


def test_checkpoint_is_removed_when_its_worker_died_right_after_the_success(destroy_orphans, attempts, store, claimed):
    store.put(checkpoint_key(claimed.id), b"trained on the forget set")
    attempts.succeed(claimed, a_package(), [])

    sweep_once(Sweep(attempts, timedelta(seconds=20)), destroy_orphans, store)

    assert store.artifacts == {}


def test_checkpoint_of_a_job_that_goes_on_is_kept_and_so_is_one_of_no_known_job(
    destroy_orphans, attempts, store, claimed
):
    for job_id in (claimed.id, "job_unknown"):
        store.put(checkpoint_key(job_id), b"trained on the forget set")

    sweep_once(Sweep(attempts, timedelta(seconds=20)), destroy_orphans, store)

    assert set(store.artifacts) == {checkpoint_key(claimed.id), checkpoint_key("job_unknown")}


def test_outage_is_survived(destroy_orphans, attempts, jobs, store, clock, claimed):
    store.away = True
    clock.advance(timedelta(minutes=1))
    sweep = Sweep(attempts, timedelta(seconds=20))
    attempts.jobs.save(jobs.job(claimed.id), jobs.job(claimed.id).cancelling(), [])

    sweep_once(sweep, destroy_orphans, store)

    assert jobs.job(claimed.id).state is JobState.CANCELLED
