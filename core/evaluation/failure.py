from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """What keeps a forget set from being forgotten, in words, and the items that carry it, by id.

    No item where nothing tells them apart.
    """

    reason: str
    items: frozenset[str] = frozenset()
