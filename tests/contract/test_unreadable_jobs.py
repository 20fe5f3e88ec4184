from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, update
from structlog.testing import capture_logs

from core.backends.sql.engine import open_engine
from core.backends.sql.job_repository import SqlJobRepository
from core.backends.sql.tables import jobs as rows
from core.domain.job import Job
from tests.fakes.clock import START
from tests.fakes.examples import a_job, a_request

LATER = START + timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = open_engine(request.getfixturevalue(f"{request.param}_url"))
    yield engine
    engine.dispose()


@pytest.fixture
def jobs(engine: Engine) -> SqlJobRepository:
    return SqlJobRepository(engine)


def stored(jobs: SqlJobRepository, job_id: str) -> Job:
    job = a_job(job_id)
    jobs.add(a_request(job), job, [])
    return job


def ask_for_a_foreign_option(engine: Engine, job: Job) -> None:
    """Store what another release may have stored: an option of a method that this one does not know."""
    with engine.begin() as connection:
        spec = connection.execute(select(rows.c.spec).where(rows.c.id == job.id)).scalar_one()
        spec = {**spec, "method": {**spec["method"], "foreign_option": "my secret"}}
        connection.execute(update(rows).where(rows.c.id == job.id).values(spec=spec))


def test_an_unreadable_job_does_not_hide_others_that_wait(jobs: SqlJobRepository, engine: Engine):
    unreadable, other = stored(jobs, "job_a"), stored(jobs, "job_b")
    ask_for_a_foreign_option(engine, unreadable)

    assert jobs.unpublished(published_before=LATER) == (other,)


def test_an_unreadable_job_does_not_hide_others_whose_lease_has_ended(jobs: SqlJobRepository, engine: Engine):
    claimed = [stored(jobs, name).claimed(owner="worker-1", now=START, expires_at=START) for name in ("job_a", "job_b")]
    for job in claimed:
        jobs.save(jobs.job(job.id), job, [])
    ask_for_a_foreign_option(engine, claimed[0])

    assert jobs.expired(now=LATER) == (claimed[1],)


def test_the_log_names_an_unreadable_job_and_none_of_its_values(jobs: SqlJobRepository, engine: Engine):
    ask_for_a_foreign_option(engine, stored(jobs, "job_a"))

    with capture_logs() as lines:
        jobs.unpublished(published_before=LATER)

    assert [line["job_id"] for line in lines] == ["job_a"]
    assert "secret" not in str(lines)
