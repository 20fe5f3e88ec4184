from dataclasses import dataclass
from typing import Protocol

from core.evaluation.scored_items import ItemScores


class UndefinedScoreError(Exception):
    """A score, or what is made of a set's scores, has no value. The message says why and goes into the report."""


@dataclass(frozen=True)
class MembershipEvidence:
    """Everything a membership score may look at for one item; what was not collected is None."""

    scores: ItemScores  # with the spread
    compressed_bytes: int  # of the item's content, see compressed_loss
    reference: ItemScores | None = None  # the same tokens under a model that never saw the item


class AttackScore(Protocol):
    """A number by which an attacker sorts items: the higher, the less it looks as if the model was trained on them."""

    def of_item(self, evidence: MembershipEvidence) -> float:
        """Return the score of one item.

        Raises:
            UndefinedScoreError: the item has no such number.
        """
