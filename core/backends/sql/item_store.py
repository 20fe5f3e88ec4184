from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError

from core.backends.sql.engine import reading
from core.backends.sql.tables import item_sets
from core.domain.errors import AlreadyExistsError, NotFoundError
from core.domain.item_set import ItemSet, ProvisionalSet, dump_items, load_items

# Made once, as every submission needs them.
_NEW = item_sets.insert()
_KEPT = update(item_sets).where(item_sets.c.id == bindparam("set_id")).values(kept=True)


@dataclass(frozen=True)
class SqlItemStore:
    """See :class:`core.ports.ItemStore`. Items are one opaque payload, so no query ever reaches into a text."""

    engine: Engine

    def put(self, item_set: ItemSet) -> None:
        """See the port."""
        row = {**item_set.model_dump(exclude={"items"}), "payload": dump_items(item_set.items), "kept": False}
        try:
            with self.engine.begin() as connection:
                connection.execute(_NEW, row)
        except IntegrityError as taken:
            raise AlreadyExistsError(f"item set {item_set.id} exists") from taken

    def keep(self, set_id: str) -> None:
        """See the port."""
        with self.engine.begin() as connection:
            connection.execute(_KEPT, {"set_id": set_id})

    def provisional(self, *, stored_before: datetime, limit: int = 1000) -> tuple[ProvisionalSet, ...]:
        """See the port."""
        query = (
            select(item_sets.c.id, item_sets.c.tenant, item_sets.c.owner)
            .where(item_sets.c.kept.is_(False), item_sets.c.created_at < stored_before)
            .order_by(item_sets.c.created_at, item_sets.c.id)
            .limit(limit)
        )
        with reading(self.engine) as connection:
            return tuple(ProvisionalSet(**row) for row in connection.execute(query).mappings())

    def get(self, set_id: str) -> ItemSet:
        """See the port."""
        with reading(self.engine) as connection:
            row = connection.execute(select(item_sets).where(item_sets.c.id == set_id)).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"item set {set_id} does not exist")
        fields = {name: value for name, value in row.items() if name not in {"payload", "kept"}}
        return ItemSet(**fields, items=load_items(row["payload"]))

    def destroy(self, set_id: str) -> None:
        """See the port."""
        with self.engine.begin() as connection:
            connection.execute(delete(item_sets).where(item_sets.c.id == set_id))
