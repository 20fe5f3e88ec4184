from dataclasses import replace
from datetime import timedelta

import pytest

from core.domain.job import Job
from core.domain.states import JobState
from core.jobs.cancel import Cancel
from core.jobs.destroy_orphans import DestroyOrphans
from core.jobs.destroy_probed import DestroyProbed
from core.jobs.sweep import Sweep
from tests.fakes.base_model_repository import FakeBaseModelRepository
from tests.fakes.examples import TENANT, a_job, a_package, a_probe, a_request, an_item_set
from tests.fakes.item_store import FakeItemStore
from tests.fakes.job_repository import FakeJobRepository
from worker.checkpoints import checkpoint_key
from worker.sweeper import sweep_once


class Unlisted(FakeJobRepository):
    """A repository that fails whenever it is asked for expired jobs."""

    def expired(self, **_):
        raise ConnectionError("the database is away")


class OneUnreadable(FakeJobRepository):
    """A repository in which the row of one job is that of another release."""

    def job(self, job_id, **_):
        return Job.model_validate({"id": job_id}) if job_id == "job_a" else super().job(job_id)


@pytest.fixture
def items():
    return FakeItemStore()


@pytest.fixture
def destroy_probed(items, jobs, clock):
    return DestroyProbed(jobs, items, clock)


@pytest.fixture
def destroy_orphans(items, jobs, clock):
    return DestroyOrphans(items, jobs, FakeBaseModelRepository(), clock)


def test_texts_without_a_request_are_destroyed(destroy_orphans, destroy_probed, items, attempts, store, clock):
    items.put(an_item_set(owner="dr_never_stored"))
    clock.advance(timedelta(hours=2))

    sweep_once(Sweep(attempts, timedelta(seconds=20)), destroy_orphans, destroy_probed, store)

    assert items.sets == {}


def test_texts_of_a_probe_that_the_sweep_ends_are_destroyed(
    destroy_orphans, destroy_probed, items, attempts, jobs, store, clock
):
    probe = a_probe(item_set_id="set_probed")
    jobs.add_probe(probe, [])
    items.put(an_item_set("set_probed", owner=probe.id))
    sweep = Sweep(attempts, timedelta(seconds=20))
    for attempt in range(3):
        assert len(items.sets) == 1, attempt
        attempts.claim(probe.id, owner="a worker that dies")
        clock.advance(timedelta(hours=2))
        sweep_once(sweep, destroy_orphans, destroy_probed, store)

    assert jobs.job(probe.id).state is JobState.FAILED
    assert items.sets == {}


def test_job_that_the_sweep_ends_keeps_no_checkpoint(
    destroy_orphans, destroy_probed, attempts, jobs, store, clock, queued
):
    store.put(checkpoint_key(queued.id), b"trained on the forget set")
    sweep = Sweep(attempts, timedelta(seconds=20))
    for _ in range(3):
        attempts.claim(queued.id, owner="a worker that dies")
        clock.advance(timedelta(minutes=1))
        sweep_once(sweep, destroy_orphans, destroy_probed, store)

    assert jobs.job(queued.id).state is JobState.FAILED
    assert store.artifacts == {}


def test_checkpoint_of_a_queued_job_that_was_cancelled_is_removed(
    destroy_orphans, destroy_probed, attempts, jobs, store, clock, claimed
):
    store.put(checkpoint_key(claimed.id), b"trained on the forget set")
    attempts.lost(claimed, reason="its worker was killed")
    Cancel(jobs, clock)(claimed.id, tenant=claimed.tenant)

    sweep_once(Sweep(attempts, timedelta(seconds=20)), destroy_orphans, destroy_probed, store)

    assert store.artifacts == {}


def test_checkpoint_is_removed_when_its_worker_died_right_after_the_success(
    destroy_orphans, destroy_probed, attempts, store, claimed
):
    store.put(checkpoint_key(claimed.id), b"trained on the forget set")
    attempts.succeed(claimed, a_package(), [])

    sweep_once(Sweep(attempts, timedelta(seconds=20)), destroy_orphans, destroy_probed, store)

    assert store.artifacts == {}


def test_checkpoint_of_a_job_that_goes_on_is_kept_and_so_is_one_of_no_known_job(
    destroy_orphans, destroy_probed, attempts, store, claimed
):
    for job_id in (claimed.id, "job_unknown"):
        store.put(checkpoint_key(job_id), b"trained on the forget set")

    sweep_once(Sweep(attempts, timedelta(seconds=20)), destroy_orphans, destroy_probed, store)

    assert set(store.artifacts) == {checkpoint_key(claimed.id), checkpoint_key("job_unknown")}


def test_outage_is_survived(destroy_orphans, destroy_probed, attempts, jobs, store, clock, claimed):
    store.away = True
    clock.advance(timedelta(minutes=1))
    sweep = Sweep(attempts, timedelta(seconds=20))
    attempts.jobs.save(jobs.job(claimed.id), jobs.job(claimed.id).cancelling(), [])

    sweep_once(sweep, destroy_orphans, destroy_probed, store)

    assert jobs.job(claimed.id).state is JobState.CANCELLED


def test_step_that_fails_does_not_stop_those_that_follow(items, attempts, store, clock):
    jobs = Unlisted()
    job = a_job()
    jobs.add(a_request(job), job, [])
    Cancel(jobs, clock)(job.id, tenant=job.tenant)
    store.put(checkpoint_key(job.id), b"trained on the forget set")
    items.put(an_item_set(owner="dr_never_stored"))
    clock.advance(timedelta(hours=2))

    sweep_once(
        Sweep(replace(attempts, jobs=jobs), timedelta(seconds=20)),
        DestroyOrphans(items, jobs, FakeBaseModelRepository(), clock),
        DestroyProbed(jobs, items, clock),
        store,
    )

    assert (items.sets, store.artifacts) == ({}, {})


def test_checkpoint_of_an_unreadable_job_does_not_keep_those_of_others(
    destroy_orphans, destroy_probed, attempts, store, clock
):
    jobs = OneUnreadable()
    for job in (a_job("job_a"), a_job("job_b")):
        jobs.add(a_request(job), job, [])
        store.put(checkpoint_key(job.id), b"trained on the forget set")
    Cancel(jobs, clock)("job_b", tenant=TENANT)

    sweep_once(Sweep(replace(attempts, jobs=jobs), timedelta(seconds=20)), destroy_orphans, destroy_probed, store)

    assert set(store.artifacts) == {checkpoint_key("job_a")}
