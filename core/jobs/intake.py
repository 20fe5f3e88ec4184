"""What every request that brings texts goes through: the checks of its items, and how the texts are stored."""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from core.domain.base_model import RegisteredBaseModel
from core.domain.errors import (
    DuplicateItemError,
    HoldoutSetRequiredError,
    ItemTooLongError,
    ItemTooShortError,
    LetheError,
    NotFoundError,
    TooManyItemsError,
    UnknownBaseModelError,
)
from core.domain.identifiers import new_id
from core.domain.item_set import ItemSet, dump_items, with_ids
from core.domain.items import FactItem, PairItem, TextItem, characters, normalized, wordings
from core.domain.policy import PolicyName, current
from core.domain.sizes import SetSize
from core.ports import BaseModelRepository, ItemStore

Items = Sequence[TextItem | PairItem | FactItem]
CountTokens = Callable[[RegisteredBaseModel, TextItem | PairItem | FactItem], int]

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """How much one request may hold."""

    max_forget_items: int
    max_retain_items: int
    max_item_characters: int


@dataclass(frozen=True)
class ItemCheck:
    """Refuses items that cannot be measured: too many, too long, too short, or sent twice."""

    base_model: RegisteredBaseModel
    max_characters: int
    count_tokens: CountTokens

    def __call__(self, param: str, items: Items, *, max_items: int) -> SetSize:
        """Return how much there is to read in the items, of which there is at least one.

        Raises:
            InvalidRequestError: one of its subclasses, naming the item by its place under ``param``.
        """
        if len(items) > max_items:
            raise TooManyItemsError(f"{len(items)} items; at most {max_items} fit in one request", param=param)
        first_place: dict[str, int] = {}
        first_id: dict[str, int] = {}
        tokens: list[int] = []
        wording_tokens = 0
        for place, item in enumerate(with_ids(items)):
            where = f"{param}/{place}"
            own, *others = self._counted(item, where)
            tokens.append(own)
            wording_tokens += sum(others)
            if first_place.setdefault(normalized(item), place) != place:
                raise DuplicateItemError(
                    f"the same content as item {first_place[normalized(item)]}: send it once", param=where
                )
            if first_id.setdefault(item.id or "", place) != place:
                raise DuplicateItemError(f"the same id as item {first_id[item.id or '']}", param=f"{where}/id")
        return SetSize.of(tokens, wording_tokens=wording_tokens)

    def _counted(self, item: TextItem | PairItem | FactItem, where: str) -> list[int]:
        """Return the tokens of the item and of each of its other wordings."""
        if characters(item) > self.max_characters:
            raise ItemTooLongError(
                f"{characters(item)} characters; at most {self.max_characters}: split the item", param=where
            )
        tokens = [self.count_tokens(self.base_model, wording) for wording in (item, *wordings(item))]
        if max(tokens) > self.base_model.max_tokens:
            raise ItemTooLongError(
                f"{max(tokens)} tokens; this base model reads at most {self.base_model.max_tokens}: split the item",
                param=where,
            )
        if isinstance(item, TextItem) and tokens[0] < 2:
            raise ItemTooShortError(
                "one token has no context to be predicted from: send a longer text, or a prompt with a completion",
                param=where,
            )
        return tokens


def named_base_model(base_models: BaseModelRepository, model_id: str) -> RegisteredBaseModel:
    """Return the base model that a request names, or refuse the field by UnknownBaseModelError."""
    try:
        return base_models.get(model_id)
    except NotFoundError as missing:
        raise UnknownBaseModelError(
            "no base model is registered under this id; GET /v1/base-models lists those that are", param="/base_model"
        ) from missing


def refuse_without_holdout(policy: PolicyName, base_model: RegisteredBaseModel) -> None:
    """Refuse a policy that needs a holdout set where none is registered.

    Raises:
        HoldoutSetRequiredError: it does, and there is none.
    """
    if current(policy).needs_holdout and base_model.holdout_set_id is None:
        raise HoldoutSetRequiredError(
            f"policy {policy} compares with texts that the base model never saw, and none are registered: register the "
            "base model with a holdout set, or choose another policy",
            param="/policy",
        )


def new_item_set(items: Items, *, tenant: str, owner: str, secret: bytes, now: datetime) -> ItemSet:
    """Return the items as a set that is not stored yet, each with an id, under a commitment keyed by ``secret``."""
    named = with_ids(items)
    return ItemSet(
        id=new_id("set"),
        tenant=tenant,
        owner=owner,
        items=named,
        commitment=hmac.new(secret, dump_items(named), hashlib.sha256).hexdigest(),
        created_at=now,
    )


def stored_with_row(item_sets: Sequence[ItemSet], items: ItemStore, add_row: Callable[[], T]) -> T:
    """Store the texts, first and apart, then the row that owns them, and return what ``add_row`` does.

    Should the row be refused, the texts are destroyed again. Any other error leaves them to DestroyOrphans, which asks
    for their owner: a connection that breaks during the commit does not tell whether it happened, and a stored job must
    not lose its texts.
    """
    try:
        for item_set in item_sets:
            items.put(item_set)
    except BaseException:
        _destroy(item_sets, items)
        raise
    try:
        return add_row()
    except LetheError:
        _destroy(item_sets, items)
        raise


def _destroy(item_sets: Sequence[ItemSet], items: ItemStore) -> None:
    for item_set in item_sets:
        items.destroy(item_set.id)
