from core.domain.errors import AlreadyExistsError, NotFoundError
from core.domain.item_set import ItemSet


class FakeItemStore:
    """Item sets in a dict, open to a test that asks whether a text is still there."""

    def __init__(self) -> None:
        self.sets: dict[str, ItemSet] = {}

    def put(self, item_set: ItemSet) -> None:
        if self.sets.setdefault(item_set.id, item_set) is not item_set:
            raise AlreadyExistsError(f"item set {item_set.id} exists")

    def get(self, set_id: str) -> ItemSet:
        try:
            return self.sets[set_id]
        except KeyError as missing:
            raise NotFoundError(f"no item set {set_id}") from missing

    def destroy(self, set_id: str) -> None:
        self.sets.pop(set_id, None)
