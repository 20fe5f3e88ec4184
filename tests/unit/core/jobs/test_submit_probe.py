import dataclasses
from collections.abc import Sequence
from datetime import timedelta

import pytest

from core.domain.errors import (
    AlreadyExistsError,
    BaseModelMismatchError,
    DuplicateItemError,
    HoldoutSetRequiredError,
    InvalidRequestError,
    ItemTooLongError,
    ItemTooShortError,
    JobNotSucceededError,
    JobWithoutAdapterError,
    TooManyItemsError,
    UnknownBaseModelError,
    UnknownJobError,
)
from core.domain.events import NewEvent
from core.domain.items import PairItem, TextItem
from core.domain.job import Job
from core.domain.policy import current
from core.domain.states import JobState
from core.jobs.destroy_orphans import DestroyOrphans
from core.jobs.destroy_probed import DestroyProbed
from core.jobs.intake import Limits
from core.jobs.submit_probe import ProbeSubmission, SubmitProbe
from tests.fakes.base_model_repository import FakeBaseModelRepository
from tests.fakes.clock import START, FakeClock
from tests.fakes.examples import BASE_MODEL, TENANT, a_base_model, a_job, a_package, a_probe, a_request
from tests.fakes.item_store import FakeItemStore
from tests.fakes.job_queue import FakeJobQueue
from tests.fakes.job_repository import FakeJobRepository

ASKED = ProbeSubmission(
    tenant=TENANT,
    base_model=BASE_MODEL,
    items=(PairItem(prompt="Who?", completion="Zoë."), TextItem(id="own", text="a secret")),
    job_id=None,
    external_id="case-7",
    metadata={"ticket": "42"},
)


class RowRefused(FakeJobRepository):
    """A database that refuses the row."""

    def add_probe(self, *_: object) -> None:
        raise AlreadyExistsError


class CommitInDoubt(FakeJobRepository):
    """A database whose connection breaks during the commit, before or after it happened."""

    def __init__(self, *, happened: bool) -> None:
        super().__init__()
        self.happened = happened

    def add_probe(self, probe: Job, events: Sequence[NewEvent]) -> None:
        if self.happened:
            super().add_probe(probe, events)
        raise ConnectionError


@pytest.fixture
def submit(jobs: FakeJobRepository, queue: FakeJobQueue, clock: FakeClock) -> SubmitProbe:
    base_models = FakeBaseModelRepository()
    base_models.add(a_base_model().model_copy(update={"holdout_set_id": "set_holdout"}))
    base_models.add(a_base_model("bare", retain_set_id=None))
    return SubmitProbe(
        jobs=jobs,
        base_models=base_models,
        items=FakeItemStore(),
        queue=queue,
        clock=clock,
        limits=Limits(max_forget_items=3, max_retain_items=4, max_item_characters=40),
        count_tokens=lambda _model, item: {"many tokens": 300, "one": 1}.get(getattr(item, "text", ""), 5),
        secret=b"a deployment's secret",
    )


def asked(**changes: object) -> ProbeSubmission:
    return dataclasses.replace(ASKED, **changes)


def test_probe_is_stored_and_published(submit: SubmitProbe, jobs: FakeJobRepository, queue: FakeJobQueue):
    probe = submit(ASKED)

    assert probe.id.startswith("prb_")
    assert jobs.job(probe.id, tenant=TENANT).state is JobState.QUEUED
    assert (probe.probe.num_items, probe.external_id, probe.probe.metadata) == (2, "case-7", {"ticket": "42"})
    assert probe.probe.holdout_set_id == "set_holdout"
    assert [event.type for event in jobs.events(probe.id)] == ["job.queued"]
    assert queue.published == [probe.id]


def test_texts_are_in_the_item_store_alone_and_not_for_good(submit: SubmitProbe):
    probe = submit(ASKED)

    stored = submit.items.get(probe.probe.item_set_id)
    assert (stored.owner, stored.tenant, len(stored.items)) == (probe.id, TENANT, 2)
    assert submit.items.kept == set()
    assert not {"Zoë.", "a secret"} & set(probe.model_dump_json().split('"'))


def test_base_model_without_any_set_can_be_probed(submit: SubmitProbe):
    assert submit(asked(base_model="bare")).probe.holdout_set_id is None


def test_policy_is_stored_with_its_version(submit: SubmitProbe):
    assert submit(ASKED).probe.policy == current("standard").name
    assert submit(asked(policy="strict")).probe.policy == current("strict").name


def test_policy_that_compares_with_unseen_texts_needs_some(submit: SubmitProbe):
    with pytest.raises(HoldoutSetRequiredError) as refused:
        submit(asked(base_model="bare", policy="strict"))

    assert refused.value.param == "/policy"
    assert submit.items.sets == {}


def test_texts_are_destroyed_when_the_row_is_refused(submit: SubmitProbe, queue: FakeJobQueue):
    with pytest.raises(AlreadyExistsError):
        dataclasses.replace(submit, jobs=RowRefused())(ASKED)

    assert submit.items.sets == {}
    assert queue.published == []


@pytest.mark.parametrize("happened", [True, False])
def test_texts_are_left_to_the_sweep_when_nobody_knows_whether_the_row_is_stored(
    submit: SubmitProbe, clock: FakeClock, *, happened: bool
):
    in_doubt = dataclasses.replace(submit, jobs=CommitInDoubt(happened=happened))

    with pytest.raises(ConnectionError):
        in_doubt(ASKED)

    assert len(submit.items.sets) == 1
    clock.advance(timedelta(hours=2))
    DestroyOrphans(submit.items, in_doubt.jobs, submit.base_models, clock)()
    DestroyProbed(in_doubt.jobs, submit.items, clock)()
    assert len(submit.items.sets) == (1 if happened else 0)


@pytest.mark.parametrize(
    ("changes", "error", "param"),
    [
        ({"base_model": "nobody"}, UnknownBaseModelError, "/base_model"),
        ({"items": [TextItem(text=f"text {number}") for number in range(4)]}, TooManyItemsError, "/items"),
        ({"items": [TextItem(text="x" * 41)]}, ItemTooLongError, "/items/0"),
        ({"items": [TextItem(text="many tokens")]}, ItemTooLongError, "/items/0"),
        ({"items": [TextItem(text="one")]}, ItemTooShortError, "/items/0"),
        ({"items": [TextItem(text="a b"), TextItem(text=" a  b")]}, DuplicateItemError, "/items/1"),
    ],
)
def test_items_are_checked_as_those_of_a_deletion_request(
    submit: SubmitProbe,
    jobs: FakeJobRepository,
    changes: dict[str, object],
    error: type[InvalidRequestError],
    param: str,
):
    with pytest.raises(error) as refused:
        submit(asked(**changes))

    assert refused.value.param == param
    assert submit.items.sets == {}
    assert sum(jobs.count_by_state().values()) == 0


def succeeded(jobs: FakeJobRepository, *, tenant: str = TENANT, base_model: str = BASE_MODEL, adapter: bool = True):
    job = a_job(tenant=tenant, base_model=base_model)
    jobs.add(a_request(job), job, [])
    running = job.claimed(owner="worker-1", now=START, expires_at=START)
    jobs.save(job, running, [])
    package = a_package() if adapter else a_package().model_copy(update={"adapter": None})
    jobs.save(running, running.ended(JobState.SUCCEEDED, now=START, package=package), [])
    return job


def test_adapter_of_a_succeeded_job_is_named_in_the_spec(submit: SubmitProbe, jobs: FakeJobRepository):
    job = succeeded(jobs)

    assert submit(asked(job_id=job.id)).probe.job_id == job.id


@pytest.mark.parametrize("whose", ["nobody", "another tenant", "a probe"])
def test_job_that_is_not_ones_own_is_refused_as_one_that_is_not_there(
    submit: SubmitProbe, jobs: FakeJobRepository, whose: str
):
    jobs.add_probe(a_probe("prb_1"), [])
    others = succeeded(jobs, tenant="other").id
    job_id = {"nobody": "job_none", "another tenant": others, "a probe": "prb_1"}[whose]
    refusals = []

    for named in (job_id, "job_of_nobody"):
        with pytest.raises(UnknownJobError) as refused:
            submit(asked(job_id=named))
        refusals.append((refused.value.param, str(refused.value)))

    assert refusals[0] == refusals[1]
    assert refusals[0][0] == "/job_id"
    assert submit.items.sets == {}


@pytest.mark.parametrize(
    ("states", "advice"),
    [
        ([], "wait"),
        ([JobState.RUNNING], "wait"),
        ([JobState.RUNNING, JobState.CANCELLING], "never"),
        ([JobState.RUNNING, JobState.FAILED], "never"),
        ([JobState.CANCELLED], "never"),
    ],
)
def test_job_that_has_not_succeeded_is_refused_with_what_will_become_of_it(
    submit: SubmitProbe, jobs: FakeJobRepository, states: Sequence[JobState], advice: str
):
    job = brought_to(jobs, states)

    with pytest.raises(JobNotSucceededError, match=advice) as refused:
        submit(asked(job_id=job.id))

    assert refused.value.param == "/job_id"
    assert f"the job is {job.state}" in str(refused.value)


def brought_to(jobs: FakeJobRepository, states: Sequence[JobState]) -> Job:
    job = a_job()
    jobs.add(a_request(job), job, [])
    for state in states:
        after = moved(job, state)
        jobs.save(job, after, [])
        job = after
    return job


def moved(job: Job, state: JobState) -> Job:
    if state is JobState.RUNNING:
        return job.claimed(owner="worker-1", now=START, expires_at=START)
    return job.cancelling() if state is JobState.CANCELLING else job.ended(state, now=START)


def test_job_that_needed_no_adapter_has_none_to_put_on(submit: SubmitProbe, jobs: FakeJobRepository):
    job = succeeded(jobs, adapter=False)

    with pytest.raises(JobWithoutAdapterError) as refused:
        submit(asked(job_id=job.id))

    assert refused.value.param == "/job_id"


def test_adapter_of_another_base_model_is_refused(submit: SubmitProbe, jobs: FakeJobRepository):
    job = succeeded(jobs, base_model="bare")

    with pytest.raises(BaseModelMismatchError) as refused:
        submit(asked(job_id=job.id))

    assert refused.value.param == "/job_id"
