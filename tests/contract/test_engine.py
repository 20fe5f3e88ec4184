from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import Engine, make_url

from core.backends.sql.engine import open_engine
from core.backends.sql.migrate import _LOCK, upgrade

LEASE_SECONDS = 30


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = open_engine(postgres_url)
    yield engine
    engine.dispose()


def shown(engine: Engine, setting: str) -> str:
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"SHOW {setting}").scalar_one()


def test_a_statement_on_postgres_ends_within_a_lease(engine: Engine):
    assert shown(engine, "statement_timeout") == "10s"


def test_a_dead_connection_to_postgres_is_noticed_within_a_lease(engine: Engine):
    with engine.connect() as connection:
        used = connection.connection.driver_connection.info.get_parameters()

    idle, interval, count = (int(used[f"keepalives_{name}"]) for name in ("idle", "interval", "count"))
    assert used["keepalives"] == "1"
    assert idle + interval * count < LEASE_SECONDS / 2
    assert 0 < int(used["tcp_user_timeout"]) < 1000 * LEASE_SECONDS / 2


def test_what_the_url_sets_counts(postgres_url: str):
    own = {"options": "-c statement_timeout=7s -c search_path=elsewhere", "keepalives_idle": "3"}
    engine = open_engine(make_url(postgres_url).update_query_dict(own).render_as_string(hide_password=False))

    with engine.connect() as connection:
        used = connection.connection.driver_connection.info.get_parameters()

    assert (shown(engine, "statement_timeout"), shown(engine, "search_path")) == ("7s", "elsewhere")
    assert used["keepalives_idle"] == "3"
    engine.dispose()


def test_an_upgrade_waits_for_another_one_beyond_the_limit_of_a_statement(postgres_url: str):
    limited = make_url(postgres_url).update_query_dict({"options": "-c statement_timeout=200ms"})
    with ThreadPoolExecutor(1) as pool, psycopg.connect(postgres_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        waiting = pool.submit(upgrade, limited.render_as_string(hide_password=False))

        with pytest.raises(TimeoutError):
            waiting.result(timeout=1.0)
        other.rollback()

        waiting.result(timeout=60)
