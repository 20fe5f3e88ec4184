from dataclasses import dataclass

from sqlalchemy import Engine, bindparam, select
from sqlalchemy.exc import IntegrityError

from core.backends.sql.engine import reading
from core.backends.sql.tables import base_models
from core.domain.base_model import RegisteredBaseModel
from core.domain.errors import AlreadyExistsError, NotFoundError
from core.ports import Page

_BY_ID = select(base_models).where(base_models.c.id == bindparam("model_id"))  # made once: every submission asks


@dataclass(frozen=True)
class SqlBaseModelRepository:
    """See :class:`core.ports.BaseModelRepository`. The columns are the fields."""

    engine: Engine

    def add(self, model: RegisteredBaseModel) -> None:
        """See the port."""
        try:
            with self.engine.begin() as connection:
                connection.execute(base_models.insert(), [model.model_dump()])
        except IntegrityError as taken:
            raise AlreadyExistsError(f"base model {model.id} exists") from taken

    def get(self, model_id: str) -> RegisteredBaseModel:
        """See the port."""
        with reading(self.engine) as connection:
            row = connection.execute(_BY_ID, {"model_id": model_id}).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"base model {model_id} does not exist")
        return RegisteredBaseModel.model_validate(dict(row))

    def list(self, *, after: str | None = None, limit: int = 100) -> Page[RegisteredBaseModel]:
        """See the port."""
        query = select(base_models).order_by(base_models.c.id).limit(limit + 1)
        with reading(self.engine) as connection:
            following = query if after is None else query.where(base_models.c.id > after)
            rows = connection.execute(following).mappings().all()
        models = tuple(RegisteredBaseModel.model_validate(dict(row)) for row in rows[:limit])
        return Page(data=models, has_more=len(rows) > limit)
