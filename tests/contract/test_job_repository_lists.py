from collections.abc import Iterator
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.domain.errors import NotFoundError
from core.domain.request import Disposition, ItemDisposition
from core.domain.states import JobState
from core.ports import JobRepository, Page
from tests.fakes.clock import START
from tests.fakes.examples import TENANT, a_job, a_request

_tenants = count()


def pages_of_jobs(jobs: JobRepository, *, tenant: str, limit: int) -> Iterator[Page]:
    after = None
    while True:
        page = jobs.list_jobs(tenant=tenant, after=after, limit=limit)
        yield page
        if not page.has_more:
            return
        after = page.data[-1].id


# Few distinct times for many rows, so that a page's edge falls between rows of the same time.
@given(ages=st.lists(st.integers(0, 2), max_size=9), limit=st.integers(1, 4))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_hold_every_row_once_and_newest_first(jobs: JobRepository, ages: list[int], limit: int):
    tenant = f"tenant-{next(_tenants)}"  # the database outlives the example
    added = [a_job(tenant=tenant, created_at=START + timedelta(seconds=age)) for age in ages]
    for job in added:
        jobs.add(a_request(job), job, [])

    pages = list(pages_of_jobs(jobs, tenant=tenant, limit=limit))

    listed = [job for page in pages for job in page.data]
    assert listed == sorted(added, key=lambda job: (job.created_at, job.id), reverse=True)
    assert all(len(page.data) == limit for page in pages[:-1])


def test_requests_page_like_jobs_with_their_items_counted(jobs: JobRepository):
    requests = []
    for number in range(5):
        job = a_job()
        requests.append(a_request(job, num_items=number + 1))
        jobs.add(requests[-1], job, [])
    expected = [request.summary for request in sorted(requests, key=lambda request: request.id, reverse=True)]

    first = jobs.list_requests(tenant=TENANT, after=None, limit=3)
    second = jobs.list_requests(tenant=TENANT, after=first.data[-1].id, limit=3)

    assert [*first.data, *second.data] == expected
    assert (first.has_more, second.has_more) == (True, False)


def test_items_are_counted_by_what_became_of_them(jobs: JobRepository):
    job = a_job()
    jobs.add(a_request(job, num_items=4), job, [])
    forgotten = [ItemDisposition(item_id=f"item-{number}", disposition=Disposition.FORGOTTEN) for number in (0, 2, 3)]
    jobs.save(job, job.ended(JobState.CANCELLED, now=START), [], forgotten)

    (summary,) = jobs.list_requests(tenant=TENANT, after=None, limit=9).data

    assert summary.num_items == 4
    assert {key: number for key, number in summary.dispositions.items() if number} == {
        Disposition.FORGOTTEN: 3,
        Disposition.PENDING: 1,
    }
    assert set(summary.dispositions) == set(Disposition)


def test_jobs_by_id_returns_those_that_exist(jobs: JobRepository):
    stored = [a_job(), a_job(tenant="other"), a_job()]
    for job in stored:
        jobs.add(a_request(job), job, [])

    found = jobs.jobs_by_id({stored[0].id, stored[1].id, "job_none"})

    assert found == {job.id: job for job in stored[:2]}
    assert jobs.jobs_by_id(()) == {}


def test_a_row_that_arrives_between_two_pages_moves_nothing(jobs: JobRepository):
    old = [a_job(created_at=START + timedelta(seconds=number)) for number in range(4)]
    for job in old:
        jobs.add(a_request(job), job, [])
    first = jobs.list_jobs(tenant=TENANT, after=None, limit=2)
    new = a_job(created_at=START + timedelta(hours=1))
    jobs.add(a_request(new), new, [])

    second = jobs.list_jobs(tenant=TENANT, after=first.data[-1].id, limit=2)

    assert [job.id for job in (*first.data, *second.data)] == [job.id for job in reversed(old)]


def test_lists_filter(jobs: JobRepository):
    plain, other_model = a_job(), a_job(base_model="other")
    jobs.add(a_request(plain, external_id="case-7"), plain, [])
    jobs.add(a_request(other_model), other_model, [])
    jobs.save(plain, plain.ended(JobState.CANCELLED, now=START), [])

    def job_ids(**filters: str) -> list[str]:
        return [job.id for job in jobs.list_jobs(tenant=TENANT, after=None, limit=9, **filters).data]

    def request_job_ids(**filters: str) -> list[str]:
        return [request.job_id for request in jobs.list_requests(tenant=TENANT, after=None, limit=9, **filters).data]

    assert job_ids(state=JobState.CANCELLED) == [plain.id]
    assert job_ids(base_model="other") == [other_model.id]
    assert job_ids(base_model="other", state=JobState.CANCELLED) == []
    assert request_job_ids(external_id="case-7") == [plain.id]
    assert request_job_ids(base_model="other") == [other_model.id]


def test_a_cursor_need_not_match_the_filter_any_more(jobs: JobRepository):
    older, newer = a_job(), a_job(created_at=START + timedelta(seconds=1))
    for job in (older, newer):
        jobs.add(a_request(job), job, [])
    jobs.save(newer, newer.ended(JobState.CANCELLED, now=START), [])

    page = jobs.list_jobs(tenant=TENANT, after=newer.id, limit=9, state=JobState.QUEUED)

    assert [job.id for job in page.data] == [older.id]


def test_lists_show_one_tenant_only(jobs: JobRepository):
    other = a_job(tenant="other")
    jobs.add(a_request(other), other, [])

    assert jobs.list_jobs(tenant=TENANT, after=None, limit=9).data == ()
    assert jobs.list_requests(tenant=TENANT, after=None, limit=9).data == ()


@pytest.mark.parametrize("whose", ["nobody", "another tenant"])
def test_an_unknown_cursor_is_not_found(jobs: JobRepository, whose: str):
    other = a_job(tenant="other")
    request = a_request(other)
    jobs.add(request, other, [])
    job_cursor, request_cursor = ("job_none", "dr_none") if whose == "nobody" else (other.id, request.id)

    with pytest.raises(NotFoundError):
        jobs.list_jobs(tenant=TENANT, after=job_cursor, limit=9)
    with pytest.raises(NotFoundError):
        jobs.list_requests(tenant=TENANT, after=request_cursor, limit=9)
