from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from core.backends.sql.engine import open_engine, reading

_LOCK = 0x1E74E  # the number of PostgreSQL's advisory lock; any that nothing else in the database uses


def upgrade(url: str) -> None:
    """Bring the database to the newest schema; nothing happens when it is there.

    Everything is one transaction behind one lock (SQLite's write lock, an advisory lock on PostgreSQL), so any number
    of processes may start at once, and a migration that fails leaves what was there before.
    """
    engine = open_engine(url)
    if engine.dialect.name == "sqlite":
        # Batch mode replaces a table by a copy; with foreign keys on, dropping the original deletes its rows first.
        event.listen(engine, "connect", _ignore_foreign_keys)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                # A migration may rewrite a large table, and waits here for one that does.
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def is_current(engine: Engine) -> bool:
    """Whether the database answers and has the newest schema. For readiness."""
    with reading(engine) as connection:
        present = MigrationContext.configure(connection).get_current_heads()
    return set(present) == set(ScriptDirectory.from_config(_config()).get_heads())


def _ignore_foreign_keys(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = OFF")
    cursor.close()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "core.backends.sql:migrations")
    return config
