import pytest
from sqlalchemy import func, select

from bench.performance.http_table import multiply
from core.backends.sql import tables
from core.backends.sql.engine import open_engine
from core.backends.sql.item_store import SqlItemStore
from core.backends.sql.job_repository import SqlJobRepository
from core.backends.sql.measurement_repository import SqlMeasurementRepository
from core.backends.sql.migrate import upgrade
from core.domain.identifiers import new_id
from tests.fakes.examples import TENANT, a_job, a_measurement, a_request, an_event, an_item_set

TIMES = 30


@pytest.fixture
def engine(tmp_path):
    url = f"sqlite:///{tmp_path}/lethe.db"
    upgrade(url)
    engine = open_engine(url)
    for _ in range(2):
        job = a_job()
        request = a_request(job, num_items=3)
        SqlItemStore(engine).put(an_item_set(new_id("set"), owner=request.id))
        SqlJobRepository(engine).add(request, job, [an_event(), an_event()])
        SqlMeasurementRepository(engine).add(a_measurement())
    multiply(engine, times=TIMES)
    yield engine
    engine.dispose()


def test_every_row_has_as_many_copies(engine):
    expected = {"jobs": 2, "job_events": 4, "deletion_requests": 2, "deletion_request_items": 6}
    with engine.connect() as connection:
        for name, count in {**expected, "item_sets": 2, "measurements": 2}.items():
            found = connection.execute(select(func.count()).select_from(tables.metadata.tables[name])).scalar()
            assert found == TIMES * count, name


def test_a_copy_is_read_as_what_it_is_a_copy_of(engine):
    repository = SqlJobRepository(engine)
    newest_first = repository.list_requests(tenant=TENANT, after=None, limit=100).data
    original = newest_first[0]

    assert len({request.id for request in newest_first}) == 2 * TIMES
    for summary in newest_first:
        request = repository.request(summary.id, tenant=TENANT)
        job = repository.job(request.job_id, tenant=TENANT)
        assert len(request.items) == 3
        assert len(repository.events(job.id)) == 2
        assert job.created_at == request.created_at <= original.created_at
    assert len({request.created_at for request in newest_first}) >= TIMES


def test_ids_of_copies_are_spread_over_their_range(engine):
    with engine.connect() as connection:
        ids = connection.execute(select(tables.jobs.c.id)).scalars().all()

    assert len({job_id[4] for job_id in ids}) == 16  # of each first digit there are some
