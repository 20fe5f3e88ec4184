from datetime import timedelta

import pytest

from core.jobs.destroy_orphans import DestroyOrphans
from tests.fakes.base_model_repository import FakeBaseModelRepository
from tests.fakes.clock import FakeClock
from tests.fakes.examples import a_base_model, a_job, a_request, an_item_set
from tests.fakes.item_store import FakeItemStore
from tests.fakes.job_repository import FakeJobRepository


@pytest.fixture
def items() -> FakeItemStore:
    return FakeItemStore()


@pytest.fixture
def base_models() -> FakeBaseModelRepository:
    return FakeBaseModelRepository()


@pytest.fixture
def destroy_orphans(
    items: FakeItemStore, jobs: FakeJobRepository, base_models: FakeBaseModelRepository, clock: FakeClock
) -> DestroyOrphans:
    return DestroyOrphans(items, jobs, base_models, clock)


def test_texts_of_a_request_that_was_never_stored_are_destroyed(
    destroy_orphans: DestroyOrphans, items: FakeItemStore, clock: FakeClock
):
    items.put(an_item_set(owner="dr_never_stored"))
    clock.advance(timedelta(hours=2))

    assert destroy_orphans() == 1
    assert items.sets == {}


def test_texts_that_were_sent_just_now_are_left_alone(
    destroy_orphans: DestroyOrphans, items: FakeItemStore, clock: FakeClock
):
    items.put(an_item_set(owner="dr_under_way"))
    clock.advance(timedelta(minutes=30))

    assert destroy_orphans() == 0
    assert len(items.sets) == 1


def test_texts_whose_request_was_stored_are_kept_for_good(
    destroy_orphans: DestroyOrphans, items: FakeItemStore, jobs: FakeJobRepository, clock: FakeClock
):
    request = a_request(job := a_job())
    jobs.add(request, job, [])
    items.put(an_item_set("set_1", owner=request.id))
    clock.advance(timedelta(hours=2))

    assert destroy_orphans() == 0
    assert set(items.sets) == items.kept == {"set_1"}


def test_texts_of_a_base_model_are_kept_for_good(
    destroy_orphans: DestroyOrphans, items: FakeItemStore, base_models: FakeBaseModelRepository, clock: FakeClock
):
    base_models.add(a_base_model("people/neo"))
    items.put(an_item_set("set_1", owner="people/neo"))
    clock.advance(timedelta(hours=2))

    assert destroy_orphans() == 0
    assert set(items.sets) == items.kept == {"set_1"}
