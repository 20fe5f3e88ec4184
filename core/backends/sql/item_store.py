from dataclasses import dataclass

from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import IntegrityError

from core.backends.sql.engine import reading
from core.backends.sql.tables import item_sets
from core.domain.errors import AlreadyExistsError, NotFoundError
from core.domain.item_set import ItemSet, dump_items, load_items


@dataclass(frozen=True)
class SqlItemStore:
    """See :class:`core.ports.ItemStore`. Items are one opaque payload, so no query ever reaches into a text."""

    engine: Engine

    def put(self, item_set: ItemSet) -> None:
        """See the port."""
        row = {**item_set.model_dump(exclude={"items"}), "payload": dump_items(item_set.items)}
        try:
            with self.engine.begin() as connection:
                connection.execute(item_sets.insert(), [row])
        except IntegrityError as taken:
            raise AlreadyExistsError(f"item set {item_set.id} exists") from taken

    def get(self, set_id: str) -> ItemSet:
        """See the port."""
        with reading(self.engine) as connection:
            row = connection.execute(select(item_sets).where(item_sets.c.id == set_id)).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"item set {set_id} does not exist")
        fields = {name: value for name, value in row.items() if name != "payload"}
        return ItemSet(**fields, items=load_items(row["payload"]))

    def destroy(self, set_id: str) -> None:
        """See the port."""
        with self.engine.begin() as connection:
            connection.execute(delete(item_sets).where(item_sets.c.id == set_id))
