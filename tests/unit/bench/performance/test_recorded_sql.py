import pytest
from sqlalchemy import select

from bench.performance.recorded_sql import Recorded, ids_in, recording
from core.backends.sql import tables
from core.backends.sql.engine import open_engine
from core.backends.sql.item_store import SqlItemStore
from core.backends.sql.job_repository import SqlJobRepository
from core.backends.sql.migrate import upgrade
from core.domain.identifiers import new_id
from tests.fakes.clock import START
from tests.fakes.examples import TENANT, a_job, a_request, an_event, an_item_set


@pytest.fixture
def engine(tmp_path):
    url = f"sqlite:///{tmp_path}/lethe.db"
    upgrade(url)
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def job():
    return a_job()


@pytest.fixture
def recorded(engine, job, tmp_path):
    """What filing a request and reading its job send, as another process reads it."""
    request = a_request(job, num_items=3)
    item_set = an_item_set(new_id("set"), owner=request.id)
    repository, items = SqlJobRepository(engine), SqlItemStore(engine)
    with recording() as post:
        items.put(item_set)
        repository.add(request, job, [an_event()])
        items.keep(item_set.id)
        repository.mark_published(job.id, at=START)
    with recording() as get:
        repository.job(job.id, tenant=TENANT)
    Recorded(get, post, {"id": request.id, "job_id": job.id}).write(tmp_path / "recorded")
    return Recorded.read(tmp_path / "recorded")


def rows_of(engine, table, ids):
    """Return the table's rows that hold one of the ids, with a word in place of each id."""
    with engine.connect() as connection:
        rows = connection.execute(select(table)).mappings().all()
    return [
        {
            name: value.replace(own, "ID") if isinstance(value, str) and (own := _held(value, ids)) else value
            for name, value in row.items()
        }
        for row in rows
        if any(isinstance(value, str) and _held(value, ids) for value in row.values())
    ]


def _held(value, ids):
    return next((own for own in ids if own in value), "")


def test_a_repeated_request_leaves_the_rows_of_the_recorded_one_under_other_ids(engine, recorded):
    known = ids_in(recorded.post)
    fresh = {own: new_id(own.partition("_")[0]) for own in known}

    for transaction in recorded.post:
        transaction.repeat(engine, fresh)

    assert len(known) == 3  # of the request, the job and the set
    for name in ("jobs", "job_events", "deletion_requests", "deletion_request_items", "item_sets"):
        table = tables.metadata.tables[name]
        first, again = rows_of(engine, table, known), rows_of(engine, table, fresh.values())
        assert first, name
        assert again == first, name


def test_a_repeated_query_returns_the_row_of_the_id_that_is_asked_for(engine, recorded, job):
    other = a_job()
    SqlJobRepository(engine).add(a_request(other), other, [an_event()])

    (transaction,) = recorded.get

    assert transaction.repeat(engine, {})[0]["id"] == job.id
    assert transaction.repeat(engine, {job.id: other.id})[0]["id"] == other.id


def test_transactions_begin_and_end_where_the_recorded_ones_did(recorded):
    assert [transaction.reads_only for transaction in recorded.get] == [True]
    assert [transaction.reads_only for transaction in recorded.post] == [False] * 4
    assert [len(transaction.statements) for transaction in recorded.post] == [1, 4, 1, 1]


def test_nothing_is_recorded_afterwards(engine, job):
    with recording() as transactions:
        pass

    SqlJobRepository(engine).jobs_by_id([job.id])

    assert transactions == []
