from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from core.backends.sql.engine import reading
from core.backends.sql.tables import workers
from core.domain.device import LiveWorker

_FORGOTTEN_AFTER = timedelta(days=1)
# Made once, as every submission asks.
_LIVE = select(workers).where(workers.c.seen_at >= bindparam("since")).order_by(workers.c.owner)


@dataclass(frozen=True)
class SqlWorkerRepository:
    """See :class:`core.ports.WorkerRepository`."""

    engine: Engine

    def seen(self, worker: LiveWorker) -> None:
        """See the port."""
        row = worker.model_dump(exclude_none=True)
        insert = sqlite.insert if self.engine.dialect.name == "sqlite" else postgresql.insert
        known = insert(workers).values(row).on_conflict_do_update(index_elements=["owner"], set_=row)
        with self.engine.begin() as connection:
            connection.execute(known)
            connection.execute(delete(workers).where(workers.c.seen_at < worker.seen_at - _FORGOTTEN_AFTER))

    def live(self, *, since: datetime) -> tuple[LiveWorker, ...]:
        """See the port."""
        with reading(self.engine) as connection:
            rows = connection.execute(_LIVE, {"since": since}).mappings().all()
        return tuple(LiveWorker.model_validate(dict(row)) for row in rows)
