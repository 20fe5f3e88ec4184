"""How SQLite answers what is asked often: from an index, in its order, without a look at rows that are not returned."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, event

from core.backends.sql.api_key_repository import SqlApiKeyRepository
from core.backends.sql.engine import open_engine
from core.backends.sql.job_repository import SqlJobRepository
from core.backends.sql.measurement_repository import SqlMeasurementRepository
from core.backends.sql.migrate import upgrade
from core.domain.errors import NotFoundError
from core.domain.states import JobState
from tests.fakes.examples import CPU, TENANT

PAGE: dict[str, Any] = {"tenant": TENANT, "after": None, "limit": 20}
ON_MODEL = {"device": CPU.name, "weights_sha256": "ab" * 32}

ASKED: dict[str, Callable[[Engine], object]] = {
    "a key": lambda engine: SqlApiKeyRepository(engine).get("key_1"),
    "a job": lambda engine: SqlJobRepository(engine).job("job_1", tenant=TENANT),
    "a request": lambda engine: SqlJobRepository(engine).request("dr_1", tenant=TENANT),
    "jobs": lambda engine: SqlJobRepository(engine).list_jobs(**PAGE),
    "jobs in a state": lambda engine: SqlJobRepository(engine).list_jobs(**PAGE, state=JobState.RUNNING),
    "probes": lambda engine: SqlJobRepository(engine).list_probes(**PAGE),
    "probes by name": lambda engine: SqlJobRepository(engine).list_probes(**PAGE, external_id="case"),
    "requests": lambda engine: SqlJobRepository(engine).list_requests(**PAGE),
    "requests by name": lambda engine: SqlJobRepository(engine).list_requests(**PAGE, external_id="case"),
    "events": lambda engine: SqlJobRepository(engine).events("job_1"),
    "measurements alike": lambda engine: SqlMeasurementRepository(engine).newest(
        **ON_MODEL, method="loku", policy="standard-2"
    ),
    "measurements on a model": lambda engine: SqlMeasurementRepository(engine).newest(**ON_MODEL),
    "measurements on a device": lambda engine: SqlMeasurementRepository(engine).newest(device=CPU.name),
    "measurements of a model": lambda engine: SqlMeasurementRepository(engine).newest(weights_sha256="ab" * 32),
}

# Every column that a query compares must be in its index, or rows are read to be thrown away.
COMPARED = {
    "jobs in a state": "(tenant=? AND kind=? AND state=?)",
    "probes by name": "(tenant=? AND kind=? AND external_id=?)",
    "requests by name": "(tenant=? AND external_id=?)",
    "measurements alike": "(weights_sha256=? AND device_name=? AND method=? AND policy=?)",
    "measurements on a model": "(weights_sha256=? AND device_name=?)",
}


@pytest.fixture
def engine(tmp_path):
    url = f"sqlite:///{tmp_path}/lethe.db"
    upgrade(url)
    engine = open_engine(url)
    yield engine
    engine.dispose()


def plan_of(engine: Engine, ask: Callable[[Engine], object]) -> list[str]:
    """Return what SQLite does for the first query of a method."""
    sent: list[tuple[str, Any]] = []

    def note(_connection, _cursor, statement, parameters, _context, _executemany):
        if statement.startswith("SELECT"):
            sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    with suppress(NotFoundError):
        ask(engine)
    event.remove(engine, "before_cursor_execute", note)
    statement, parameters = sent[0]
    with engine.connect() as connection:
        return [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]


@pytest.mark.parametrize("what", ASKED)
def test_what_is_asked_often_is_found_by_an_index_in_its_order(engine, what):
    (step,) = plan_of(engine, ASKED[what])  # a sort would be a second step

    assert step.startswith("SEARCH ")
    assert " USING INDEX " in step
    assert step.endswith(COMPARED.get(what, ""))
