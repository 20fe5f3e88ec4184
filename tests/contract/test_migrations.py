import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, column, inspect, table

from core.backends.sql.base_model_repository import SqlBaseModelRepository
from core.backends.sql.engine import open_engine
from core.backends.sql.job_repository import SqlJobRepository
from core.backends.sql.job_row import job_row
from core.backends.sql.measurement_repository import SqlMeasurementRepository
from core.backends.sql.migrate import is_current, upgrade
from core.backends.sql.tables import base_models, jobs, measurements, metadata
from tests.fakes.examples import TENANT, a_base_model, a_job, a_measurement


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    new_database: Callable[[], str] = request.getfixturevalue("new_postgres_database")
    return new_database()


def differences(url: str) -> list[object]:
    engine = open_engine(url)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)
    engine.dispose()
    return found


def upgrade_to(revision: str, connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "core.backends.sql:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def test_the_newest_schema_is_that_of_the_tables(empty_url: str):
    assert differences(empty_url)

    upgrade(empty_url)

    assert differences(empty_url) == []


def test_upgrade_changes_nothing_when_repeated(empty_url: str):
    upgrade(empty_url)
    upgrade(empty_url)

    assert differences(empty_url) == []


def test_is_current_only_after_the_upgrade(empty_url: str):
    engine = open_engine(empty_url)
    before = is_current(engine)

    upgrade(empty_url)

    assert (before, is_current(engine)) == (False, True)
    engine.dispose()


def test_threads_may_upgrade_at_once(empty_url: str):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [empty_url] * 4))

    assert differences(empty_url) == []


def test_processes_may_upgrade_at_once(empty_url: str):
    program = "import sys; from core.backends.sql.migrate import upgrade; upgrade(sys.argv[1])"
    command = [sys.executable, "-c", program, empty_url]
    root = Path(__file__).parents[2]

    running = [subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [process.communicate(timeout=60)[1] for process in running]

    assert errors == [""] * 4
    assert [process.returncode for process in running] == [0] * 4
    assert differences(empty_url) == []


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str):
    engine = open_engine(empty_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE jobs (id INTEGER)")  # in the way of the first version

    with pytest.raises(Exception, match="jobs"):
        upgrade(empty_url)

    assert inspect(engine).get_table_names() == ["jobs"]
    engine.dispose()


def test_a_base_model_of_an_earlier_schema_stays_and_its_layers_are_not_known(empty_url: str):
    registered = a_base_model().model_copy(update={"num_layers": None, "linear_names": (), "sizes": None})
    engine = open_engine(empty_url)
    with engine.begin() as connection:
        upgrade_to("0002", connection)
        connection.execute(
            base_models.insert(), [registered.model_dump(exclude={"num_layers", "linear_names", "reference", "sizes"})]
        )

    upgrade(empty_url)

    assert SqlBaseModelRepository(engine).get(registered.id) == registered
    engine.dispose()


def test_a_job_of_an_earlier_schema_stays_and_is_an_unlearning_run(empty_url: str):
    job = a_job().model_copy(update={"workload": None})
    later = {"kind", "external_id", "result", "workload"}
    row = {name: value for name, value in job_row(job).items() if name not in later}
    row["spec"] = {name: value for name, value in row["spec"].items() if name != "kind"}
    engine = open_engine(empty_url)
    with engine.begin() as connection:
        upgrade_to("0004", connection)
        connection.execute(jobs.insert(), [row | {"last_seq": 0}])

    upgrade(empty_url)

    assert SqlJobRepository(engine).list_jobs(tenant=TENANT, after=None, limit=9).data == (job,)
    engine.dispose()


def test_a_measurement_of_an_earlier_schema_stays_and_is_found_by_its_method(empty_url: str):
    measurement = a_measurement()
    row = {
        "weights_sha256": measurement.weights_sha256,
        "device_name": measurement.device.name,
        "measured_at": measurement.measured_at,
        "measurement": measurement.model_dump(mode="json"),
    }
    engine = open_engine(empty_url)
    with engine.begin() as connection:
        upgrade_to("0006", connection)
        earlier = table("measurements", *(column(name, measurements.c[name].type) for name in row))
        connection.execute(earlier.insert(), [row])

    upgrade(empty_url)

    found = SqlMeasurementRepository(engine)
    assert found.newest(method=measurement.workload.method, policy=measurement.workload.policy) == (measurement,)
    assert found.newest(method="another") == ()
    engine.dispose()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/name"])
def test_open_engine_refuses_a_database_without_backend(url: str):
    with pytest.raises(ValueError, match=r"sqlite:///"):
        open_engine(url)
