import json
from collections.abc import Sequence

from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter

from core.domain.items import FactItem, Item, PairItem, TextItem


class ItemSet(BaseModel):
    """Items stored together and destroyed together, apart from any job row.

    ``commitment`` is a keyed digest of the content: it proves later which texts a job was about without
    being a hash that short texts could be guessed from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    tenant: str
    owner: str  # the id of the deletion request or base model that the texts were sent for
    items: tuple[Item, ...]
    commitment: str
    created_at: AwareDatetime


class ProvisionalSet(BaseModel):
    """A stored set of which nobody has said yet that its owner is stored too."""

    model_config = ConfigDict(frozen=True)
    id: str
    tenant: str
    owner: str


_ITEMS = TypeAdapter(tuple[Item, ...])


def with_ids(items: Sequence[TextItem | PairItem | FactItem]) -> tuple[TextItem | PairItem | FactItem, ...]:
    """Return the items, those without an id named by their place: ``item-0``, ``item-1``, ..."""
    return tuple(
        item if item.id is not None else item.model_copy(update={"id": f"item-{place}"})
        for place, item in enumerate(items)
    )


def dump_items(items: Sequence[TextItem | PairItem | FactItem]) -> bytes:
    """Return the items as canonical JSON: the bytes that are stored, and that the commitment is made over."""
    rows = [item.model_dump(exclude_none=True) for item in items]
    return json.dumps(rows, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def load_items(payload: bytes) -> tuple[TextItem | PairItem | FactItem, ...]:
    """Return what :func:`dump_items` stored."""
    return _ITEMS.validate_json(payload)
