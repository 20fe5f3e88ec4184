from datetime import datetime

from core.domain.errors import AlreadyExistsError, NotFoundError
from core.domain.item_set import ItemSet, ProvisionalSet


class FakeItemStore:
    """Item sets in a dict, open to a test that asks whether a text is still there."""

    def __init__(self) -> None:
        self.sets: dict[str, ItemSet] = {}
        self.kept: set[str] = set()

    def put(self, item_set: ItemSet) -> None:
        if self.sets.setdefault(item_set.id, item_set) is not item_set:
            raise AlreadyExistsError(f"item set {item_set.id} exists")

    def keep(self, set_id: str) -> None:
        self.kept.add(set_id)

    def provisional(self, *, stored_before: datetime, limit: int = 1000) -> tuple[ProvisionalSet, ...]:
        found = [one for one in self.sets.values() if one.id not in self.kept and one.created_at < stored_before]
        oldest = sorted(found, key=lambda one: (one.created_at, one.id))[:limit]
        return tuple(ProvisionalSet(id=one.id, tenant=one.tenant, owner=one.owner) for one in oldest)

    def get(self, set_id: str) -> ItemSet:
        try:
            return self.sets[set_id]
        except KeyError as missing:
            raise NotFoundError(f"no item set {set_id}") from missing

    def destroy(self, set_id: str) -> None:
        self.sets.pop(set_id, None)
