"""Probes beside jobs in one table, on every backend."""

from datetime import timedelta

import pytest

from core.domain.errors import AlreadyExistsError, NotFoundError, StaleJobError
from core.domain.events import EventType
from core.domain.states import JobState
from core.ports import JobRepository
from tests.fakes.clock import START
from tests.fakes.examples import TENANT, a_job, a_probe, a_request, a_result, an_event

SOON = START + timedelta(minutes=1)


def listed(jobs: JobRepository, **filters: object) -> list[str]:
    page = jobs.list_probes(**({"tenant": TENANT, "after": None, "limit": 9} | filters))
    return [probe.id for probe in page.data]


def test_a_probe_is_stored_with_its_history_and_serves_no_request(jobs: JobRepository):
    probe = a_probe(external_id="case-7")

    jobs.add_probe(probe, [an_event("first")])

    assert jobs.job(probe.id, tenant=TENANT) == probe
    assert jobs.job(probe.id).external_id == "case-7"
    assert jobs.requests_of(probe.id) == ()
    assert [(event.seq, event.message) for event in jobs.events(probe.id)] == [(1, "first")]


def test_a_known_probe_is_not_stored_again(jobs: JobRepository):
    probe = a_probe()
    jobs.add_probe(probe, [an_event()])

    with pytest.raises(AlreadyExistsError):
        jobs.add_probe(probe, [an_event()])

    assert len(jobs.events(probe.id)) == 1


def test_a_result_survives_storage(jobs: JobRepository):
    probe = a_probe()
    jobs.add_probe(probe, [])
    running = probe.claimed(owner="worker-1", now=START, expires_at=SOON)
    jobs.save(probe, running, [an_event("attempt 1", EventType.STARTED)])

    ended = running.ended(JobState.SUCCEEDED, now=SOON, result=a_result())
    jobs.save(running, ended, [])

    assert jobs.job(probe.id) == ended
    with pytest.raises(StaleJobError):
        jobs.save(running, running.cancelling(), [])


def test_each_list_shows_its_own_kind(jobs: JobRepository):
    job, probe = a_job(), a_probe()
    jobs.add(a_request(job), job, [])
    jobs.add_probe(probe, [])

    assert [row.id for row in jobs.list_jobs(tenant=TENANT, after=None, limit=9).data] == [job.id]
    assert listed(jobs) == [probe.id]
    assert listed(jobs, tenant="other") == []


def test_probes_are_listed_newest_first_in_pages(jobs: JobRepository):
    probes = [a_probe(created_at=START + timedelta(seconds=number)) for number in range(5)]
    for probe in probes:
        jobs.add_probe(probe, [])

    first = jobs.list_probes(tenant=TENANT, after=None, limit=3)
    second = jobs.list_probes(tenant=TENANT, after=first.data[-1].id, limit=3)

    assert [*first.data, *second.data] == probes[::-1]
    assert (first.has_more, second.has_more) == (True, False)


def test_probes_are_filtered(jobs: JobRepository):
    plain, other, named = a_probe(), a_probe(base_model="other"), a_probe(external_id="case-7")
    for probe in (plain, other, named):
        jobs.add_probe(probe, [])
    jobs.save(plain, plain.ended(JobState.CANCELLED, now=START), [])

    assert listed(jobs, state=JobState.CANCELLED) == [plain.id]
    assert listed(jobs, base_model="other") == [other.id]
    assert listed(jobs, external_id="case-7") == [named.id]


def test_a_cursor_of_the_other_list_is_not_found(jobs: JobRepository):
    job, probe = a_job(), a_probe()
    jobs.add(a_request(job), job, [])
    jobs.add_probe(probe, [])

    with pytest.raises(NotFoundError):
        jobs.list_jobs(tenant=TENANT, after=probe.id, limit=9)
    with pytest.raises(NotFoundError):
        jobs.list_probes(tenant=TENANT, after=job.id, limit=9)


def test_the_sweep_sees_both_kinds(jobs: JobRepository):
    job, probe = a_job("job_a"), a_probe("prb_a")
    jobs.add(a_request(job), job, [])
    jobs.add_probe(probe, [])
    running = probe.claimed(owner="worker-1", now=START, expires_at=SOON)

    assert {row.id for row in jobs.unpublished(published_before=SOON)} == {job.id, probe.id}
    assert jobs.count_by_state()[JobState.QUEUED] == 2
    jobs.save(probe, running, [])
    assert [row.id for row in jobs.expired(now=SOON)] == [probe.id]
