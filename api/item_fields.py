"""The fields that an item may have in a body, read off the domain so that a new one is never forgotten here."""

from core.domain.items import FactItem, PairItem, TextItem

ITEM_FIELDS = frozenset(name for item in (TextItem, PairItem, FactItem) for name in item.model_fields)
TEXT_FIELDS = ITEM_FIELDS - {"id"}  # each holds one text or a list of them
