import sqlite3
import time
from contextlib import AbstractContextManager

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.pool import ConnectionPoolEntry

BUSY_TIMEOUT_MS = 30_000  # a writer waits for its turn; our transactions take milliseconds
READS_ONLY = "reads_only"  # an option of a connection
_RETRY_SECONDS = 0.01

# A connection whose packets vanish must fail well within a lease of 30 s, or the worker that waits on it loses its
# job: about 11 s for one that waits for an answer, 10 s for one that sends.
_POSTGRES_LIMITS = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_STATEMENT_TIMEOUT_MS = 10_000  # our statements take milliseconds; migrations lift this limit


def open_engine(url: str) -> Engine:
    """Return an engine for ``sqlite:////file`` or ``postgresql://...``; nothing is connected yet.

    Parameters never enter an exception's text, because some of them are the texts to be forgotten.

    Raises:
        ValueError: the URL names another kind of database, or SQLite without a file.
    """
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _open_sqlite(parsed)
        case "postgresql" | "postgres":
            return _open_postgres(parsed)
        case other:
            raise ValueError(f"no backend for a {other} database: use sqlite:///FILE or postgresql://...")


def reading(engine: Engine) -> AbstractContextManager[Connection]:
    """Return a transaction that only reads, so that on SQLite it waits for no writer."""
    return engine.connect().execution_options(**{READS_ONLY: True})


def _open_postgres(url: URL) -> Engine:
    """Return an engine with limits on waiting; one that the URL sets itself counts instead."""
    own = url.query.get("options", "")
    options = own if isinstance(own, str) else " ".join(own)
    limits = {name: value for name, value in _POSTGRES_LIMITS.items() if name not in url.query}
    # FastAPI's thread pool has 40 threads, hence 40 connections; the ping notices a server that restarted.
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=32,
        connect_args={**limits, "options": f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} {options}"},
    )


def _open_sqlite(url: URL) -> Engine:
    if url.database in {None, "", ":memory:"}:
        raise ValueError("SQLite needs a file that several processes can open: use sqlite:////absolute/path")
    engine = create_engine(url, hide_parameters=True, pool_size=8, max_overflow=32)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver would begin transactions by itself, deferred and not before DDL; _begin_sqlite does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    _write_ahead(cursor)
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _write_ahead(cursor: DBAPICursor) -> None:
    """Switch the file to a write-ahead log. SQLite does not wait its turn for this as it does for a transaction."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once, busy timeout or not, when another one
    # wrote in between. A writer therefore takes its place at the start.
    reads_only = connection.get_execution_options().get(READS_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
