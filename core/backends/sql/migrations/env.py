"""Run by Alembic within the transaction that :func:`core.backends.sql.migrate.upgrade` has begun."""

from alembic import context

from core.backends.sql.tables import metadata

# SQLite cannot alter a column in place; batch mode copies the table instead.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
