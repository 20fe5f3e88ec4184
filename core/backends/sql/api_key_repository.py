from dataclasses import dataclass

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError

from core.backends.sql.engine import reading
from core.backends.sql.tables import api_keys
from core.domain.api_key import ApiKey
from core.domain.errors import AlreadyExistsError, NotFoundError


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
            row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).mappings().one_or_none()
        if row is None:
            raise NotFoundError("no such key")
        return ApiKey.model_validate(dict(row))
