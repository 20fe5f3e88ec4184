from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, select, update
from sqlalchemy.exc import IntegrityError

from core.backends.sql.engine import reading
from core.backends.sql.tables import api_keys
from core.domain.api_key import ApiKey
from core.domain.errors import AlreadyExistsError, NotFoundError
from core.ports import Page

# Made once: every request asks for its key, and to make the query takes longer than SQLite takes to answer it.
_BY_ID = select(api_keys).where(api_keys.c.id == bindparam("key_id"))


@dataclass(frozen=True)
class SqlApiKeyRepository:
    """See :class:`core.ports.ApiKeyRepository`. The columns are the fields."""

    engine: Engine

    def add(self, key: ApiKey) -> None:
        """See the port."""
        try:
            with self.engine.begin() as connection:
                connection.execute(api_keys.insert(), [key.model_dump()])
        except IntegrityError as taken:
            raise AlreadyExistsError(f"key {key.id} exists") from taken

    def get(self, key_id: str) -> ApiKey:
        """See the port."""
        with reading(self.engine) as connection:
            return _require(connection, key_id)

    def list(self, *, after: str | None = None, limit: int = 100) -> Page[ApiKey]:
        """See the port."""
        query = select(api_keys).order_by(api_keys.c.id).limit(limit + 1)
        with reading(self.engine) as connection:
            following = query if after is None else query.where(api_keys.c.id > after)
            rows = connection.execute(following).mappings().all()
        keys = tuple(ApiKey.model_validate(dict(row)) for row in rows[:limit])
        return Page(data=keys, has_more=len(rows) > limit)

    def revoke(self, key_id: str, *, at: datetime) -> ApiKey:
        """See the port."""
        unrevoked = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        with self.engine.begin() as connection:
            connection.execute(unrevoked.values(revoked_at=at))
            return _require(connection, key_id)


def _require(connection: Connection, key_id: str) -> ApiKey:
    row = connection.execute(_BY_ID, {"key_id": key_id}).mappings().one_or_none()
    if row is None:
        raise NotFoundError("no such key")
    return ApiKey.model_validate(dict(row))
