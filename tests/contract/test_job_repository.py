from datetime import UTC, datetime, timedelta, timezone

import pytest

from core.domain.errors import AlreadyExistsError, LeaseLostError, NotFoundError, StaleJobError
from core.domain.events import EventType
from core.domain.job import Job, Progress, PublicError, Stage
from core.domain.request import Disposition, ItemDisposition
from core.domain.states import JobState
from core.ports import JobRepository
from tests.fakes.clock import START
from tests.fakes.examples import TENANT, a_job, a_package, a_probe, a_request, an_event

SOON = START + timedelta(minutes=1)
LATER = START + timedelta(hours=1)


def stored(jobs: JobRepository, job: Job | None = None) -> Job:
    job = job or a_job()
    jobs.add(a_request(job), job, [an_event()])
    return job


def claimed(jobs: JobRepository, *, owner: str = "worker-1") -> Job:
    job = stored(jobs)
    running = job.claimed(owner=owner, now=START, expires_at=SOON)
    jobs.save(job, running, [an_event("attempt 1", EventType.STARTED)])
    return running


def test_add_stores_job_request_and_first_event(jobs: JobRepository):
    job = a_job()
    request = a_request(job, external_id="case-7", num_items=12)

    jobs.add(request, job, [an_event("first"), an_event("second")])

    assert jobs.job(job.id) == job
    assert jobs.request(request.id, tenant=TENANT) == request
    assert [(event.seq, event.message) for event in jobs.events(job.id)] == [(1, "first"), (2, "second")]


def test_add_stores_nothing_when_the_job_exists(jobs: JobRepository):
    job = stored(jobs)
    second = a_request(job)

    with pytest.raises(AlreadyExistsError):
        jobs.add(second, job, [an_event()])

    with pytest.raises(NotFoundError):
        jobs.request(second.id, tenant=TENANT)
    assert len(jobs.events(job.id)) == 1


def test_add_stores_nothing_when_the_request_exists(jobs: JobRepository):
    first = stored(jobs)
    other = a_job()
    request = jobs.requests_of(first.id)[0].model_copy(update={"job_id": other.id})

    with pytest.raises(AlreadyExistsError):
        jobs.add(request, other, [an_event()])

    with pytest.raises(NotFoundError):
        jobs.job(other.id)


def test_every_field_of_a_job_survives_storage(jobs: JobRepository):
    running = claimed(jobs)
    progress = Progress(step=3, total_steps=9, eta_seconds=12.5)
    jobs.record(running.id, fence=1, stage=Stage.TRAIN, progress=progress, events=[])
    recorded = jobs.job(running.id)
    ended = recorded.ended(
        JobState.FAILED, now=LATER, package=a_package(), error=PublicError(code="odd", message="both at once")
    )

    jobs.save(recorded, ended, [])

    assert jobs.job(running.id) == ended
    assert ended.progress == progress


def test_times_come_back_in_utc_whatever_zone_they_came_in(jobs: JobRepository):
    local = datetime(2026, 3, 1, 1, 30, 0, 123456, tzinfo=timezone(timedelta(hours=-7)))
    job = stored(jobs, a_job(created_at=local))

    created_at = jobs.job(job.id).created_at

    assert created_at == local
    assert created_at.utcoffset() == timedelta(0) or created_at is local  # the fake keeps the very value


def test_an_unknown_id_is_not_found(jobs: JobRepository):
    with pytest.raises(NotFoundError):
        jobs.job("job_none")
    with pytest.raises(NotFoundError):
        jobs.request("dr_none", tenant=TENANT)
    assert jobs.requests_of("job_none") == ()
    assert jobs.events("job_none") == ()


def test_anothers_job_and_request_are_not_found(jobs: JobRepository):
    job = stored(jobs)
    request = jobs.requests_of(job.id)[0]

    assert jobs.job(job.id, tenant=TENANT) == job
    with pytest.raises(NotFoundError):
        jobs.job(job.id, tenant="other")
    with pytest.raises(NotFoundError):
        jobs.request(request.id, tenant="other")


def test_save_swaps_the_job_and_continues_the_history(jobs: JobRepository):
    job = stored(jobs)
    running = job.claimed(owner="worker-1", now=START, expires_at=SOON)

    jobs.save(job, running, [an_event("a"), an_event("b")])

    assert jobs.job(job.id) == running
    assert [event.seq for event in jobs.events(job.id)] == [1, 2, 3]


def test_save_writes_nothing_when_the_version_moved(jobs: JobRepository):
    job = stored(jobs)
    jobs.save(job, job.claimed(owner="first", now=START, expires_at=SOON), [])

    with pytest.raises(StaleJobError):
        jobs.save(
            job,
            job.ended(JobState.CANCELLED, now=START),
            [an_event()],
            [ItemDisposition(item_id="item-0", disposition=Disposition.CANCELLED)],
        )

    assert jobs.job(job.id).state is JobState.RUNNING
    assert len(jobs.events(job.id)) == 1
    assert jobs.requests_of(job.id)[0].items[0].disposition is Disposition.PENDING


def test_save_is_stale_when_only_the_state_differs(jobs: JobRepository):
    job = stored(jobs)
    impostor = job.model_copy(update={"state": JobState.CANCELLING})

    with pytest.raises(StaleJobError):
        jobs.save(impostor, impostor.ended(JobState.CANCELLED, now=START), [])


def test_save_is_stale_when_the_job_is_unknown(jobs: JobRepository):
    job = a_job()

    with pytest.raises(StaleJobError):
        jobs.save(job, job.ended(JobState.CANCELLED, now=START), [])


def test_save_keeps_a_renewal_and_a_report_that_came_in_between(jobs: JobRepository):
    before = claimed(jobs)
    progress = Progress(step=1, total_steps=2)
    jobs.renew_lease(before.id, fence=1, expires_at=LATER)
    jobs.record(before.id, fence=1, stage=Stage.FISHER, progress=progress, events=[])

    jobs.save(before, before.cancelling(), [an_event()])

    after = jobs.job(before.id)
    assert after.state is JobState.CANCELLING
    assert after.lease is not None
    assert after.lease.expires_at == LATER
    assert (after.stage, after.progress) == (Stage.FISHER, progress)


def test_save_keeps_a_publication_that_came_in_between(jobs: JobRepository):
    before = stored(jobs)
    jobs.mark_published(before.id, at=SOON)

    jobs.save(before, before.claimed(owner="worker-1", now=START, expires_at=LATER), [])

    assert jobs.job(before.id).published_at == SOON


def test_save_writes_dispositions_to_the_items_they_name(jobs: JobRepository):
    running = claimed(jobs)
    given = [
        ItemDisposition(item_id="item-1", disposition=Disposition.FORGOTTEN),
        ItemDisposition(item_id="item-of-nobody", disposition=Disposition.FAILED),
    ]

    jobs.save(running, running.ended(JobState.SUCCEEDED, now=LATER), [], given)

    items = jobs.requests_of(running.id)[0].items
    assert [(item.item_id, item.disposition) for item in items] == [
        ("item-0", Disposition.PENDING),
        ("item-1", Disposition.FORGOTTEN),
    ]


def test_save_leaves_the_items_of_other_jobs_alone(jobs: JobRepository):
    other, running = stored(jobs), claimed(jobs)
    given = [ItemDisposition(item_id="item-0", disposition=Disposition.FAILED)]

    jobs.save(running, running.ended(JobState.FAILED, now=LATER), [], given)

    assert jobs.requests_of(other.id)[0].items[0].disposition is Disposition.PENDING


def test_items_keep_the_order_of_the_request(jobs: JobRepository):
    job = a_job()
    names = ["zeta", "alpha", "item-10", "item-9"]
    request = a_request(job).model_copy(update={"items": tuple(ItemDisposition(item_id=name) for name in names)})

    jobs.add(request, job, [])

    assert [item.item_id for item in jobs.requests_of(job.id)[0].items] == names


def test_renew_lease_moves_its_end_and_keeps_the_version(jobs: JobRepository):
    running = claimed(jobs)

    state = jobs.renew_lease(running.id, fence=1, expires_at=LATER)

    renewed = jobs.job(running.id)
    assert state is JobState.RUNNING
    assert renewed.lease is not None
    assert renewed.lease.expires_at == LATER
    assert renewed.version == running.version


def test_record_writes_stage_progress_and_events_and_keeps_the_version(jobs: JobRepository):
    running = claimed(jobs)
    progress = Progress(step=2, total_steps=8, eta_seconds=3.0)

    state = jobs.record(
        running.id, fence=1, stage=Stage.TRAIN, progress=progress, events=[an_event("a"), an_event("b")]
    )

    recorded = jobs.job(running.id)
    assert state is JobState.RUNNING
    assert (recorded.stage, recorded.progress, recorded.version) == (Stage.TRAIN, progress, running.version)
    assert [event.seq for event in jobs.events(running.id)] == [1, 2, 3, 4]


def test_renew_and_record_tell_that_the_job_is_cancelling(jobs: JobRepository):
    running = claimed(jobs)
    jobs.save(running, running.cancelling(), [])

    assert jobs.renew_lease(running.id, fence=1, expires_at=LATER) is JobState.CANCELLING
    assert jobs.record(running.id, fence=1, stage=Stage.TRAIN, progress=Progress(), events=[]) is JobState.CANCELLING


@pytest.mark.parametrize("case", ["unknown", "older fence", "newer fence", "queued", "ended"])
def test_renew_and_record_raise_when_the_attempt_does_not_own_the_job(jobs: JobRepository, case: str):
    running = claimed(jobs)
    job_id = "job_none" if case == "unknown" else running.id
    fence = {"older fence": 0, "newer fence": 2}.get(case, 1)
    if case == "queued":
        jobs.save(running, running.requeued(count_attempt=True), [])
    if case == "ended":
        jobs.save(running, running.ended(JobState.SUCCEEDED, now=LATER), [])
    history = jobs.events(running.id)

    with pytest.raises(LeaseLostError):
        jobs.renew_lease(job_id, fence=fence, expires_at=LATER)
    with pytest.raises(LeaseLostError):
        jobs.record(job_id, fence=fence, stage=Stage.TRAIN, progress=Progress(), events=[an_event()])

    assert jobs.events(running.id) == history


def test_mark_published_notes_the_time_only_while_queued(jobs: JobRepository):
    queued, running = stored(jobs), claimed(jobs)

    jobs.mark_published(queued.id, at=SOON)
    jobs.mark_published(running.id, at=SOON)
    jobs.mark_published("job_none", at=SOON)

    assert jobs.job(queued.id) == queued.model_copy(update={"published_at": SOON})
    assert jobs.job(running.id).published_at is None


def test_a_requeued_job_is_unpublished_again(jobs: JobRepository):
    job = stored(jobs)
    jobs.mark_published(job.id, at=START)
    queued = jobs.job(job.id)
    running = queued.claimed(owner="worker-1", now=START, expires_at=SOON)
    jobs.save(queued, running, [])

    jobs.save(running, running.requeued(count_attempt=True), [])

    assert [waiting.id for waiting in jobs.unpublished(published_before=START)] == [job.id]


def test_unpublished_returns_queued_jobs_oldest_first(jobs: JobRepository):
    ages = {"never": 3, "long ago": 1, "just now": 2, "running": 0}
    by_name = {name: stored(jobs, a_job(created_at=START + timedelta(seconds=age))) for name, age in ages.items()}
    jobs.mark_published(by_name["long ago"].id, at=START)
    jobs.mark_published(by_name["just now"].id, at=SOON)
    running = by_name["running"]
    jobs.save(running, running.claimed(owner="worker-1", now=START, expires_at=SOON), [])

    found = jobs.unpublished(published_before=SOON)

    assert [job.id for job in found] == [by_name["long ago"].id, by_name["never"].id]
    assert [job.id for job in jobs.unpublished(published_before=SOON, limit=1)] == [by_name["long ago"].id]


def test_expired_returns_active_jobs_whose_lease_has_ended(jobs: JobRepository):
    stored(jobs)
    running, cancelling, ended = claimed(jobs), claimed(jobs), claimed(jobs)
    jobs.save(cancelling, cancelling.cancelling(), [])
    jobs.save(ended, ended.ended(JobState.SUCCEEDED, now=START), [])

    assert jobs.expired(now=SOON - timedelta(microseconds=1)) == ()
    assert {job.id for job in jobs.expired(now=SOON)} == {running.id, cancelling.id}
    assert len(jobs.expired(now=SOON, limit=1)) == 1

    jobs.renew_lease(running.id, fence=1, expires_at=LATER)

    assert {job.id for job in jobs.expired(now=SOON)} == {cancelling.id}


def test_events_resume_after_a_sequence_number(jobs: JobRepository):
    job = a_job()
    jobs.add(a_request(job), job, [an_event(str(number)) for number in range(1, 6)])

    assert [event.seq for event in jobs.events(job.id, after_seq=2)] == [3, 4, 5]
    assert [event.seq for event in jobs.events(job.id, after_seq=1, limit=2)] == [2, 3]
    assert jobs.events(job.id, after_seq=5) == ()


def test_an_event_keeps_its_data_types(jobs: JobRepository):
    job = a_job()
    data = {"text": "é ✓", "whole": 3, "part": 0.25, "yes": True, "nothing": None}
    event = an_event().model_copy(update={"data": data, "level": "warning"})

    jobs.add(a_request(job), job, [event])

    found = jobs.events(job.id)[0]
    assert found.data == data
    assert found.level == "warning"
    assert found.created_at == START.astimezone(UTC)


def test_an_event_with_a_number_that_json_lacks_is_stored_without_it(jobs: JobRepository):
    job = a_job()
    diverged = type(an_event())(
        type=EventType.METRICS, message="step 3", data={"loss": float("nan"), "norm": float("inf")}, created_at=START
    )

    jobs.add(a_request(job), job, [diverged])

    assert jobs.events(job.id)[0].data == {"loss": None, "norm": None}


def test_count_by_state_names_every_state(jobs: JobRepository):
    stored(jobs)
    stored(jobs, a_job(tenant="other"))
    claimed(jobs)

    counts = jobs.count_by_state()

    assert counts == {**dict.fromkeys(JobState, 0), JobState.QUEUED: 2, JobState.RUNNING: 1}


def test_unfinished_returns_what_waits_and_runs_oldest_first(jobs: JobRepository):
    second, first = stored(jobs, a_job(created_at=SOON)), stored(jobs, a_job(tenant="other"))
    running, ended = claimed(jobs), claimed(jobs)
    jobs.save(ended, ended.ended(JobState.SUCCEEDED, now=START), [])
    jobs.add_probe(a_probe(created_at=LATER), [])

    found = jobs.unfinished()

    assert {job.id for job in found[:2]} == {first.id, running.id}
    assert found[2] == second
    assert [job.spec.kind for job in found] == ["unlearning"] * 3 + ["probe"]
    assert jobs.unfinished(limit=3) == found[:3]
