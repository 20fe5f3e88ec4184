from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from core.evaluation.scored_items import ItemScores


class UndefinedMetricError(Exception):
    """The metric has no value for this item or set. The message says why and goes into the report."""


@dataclass(frozen=True)
class Texts:
    """What the model writes after an item's prompt, up to its end of sequence, and what is true."""

    predicted: str
    true: str


@dataclass(frozen=True)
class Evidence:
    """Everything a metric may look at for one item; what was not collected is None."""

    scores: ItemScores
    # The greedy continuation of the prefix before content token i, as long as the true rest, for i = 0, 1, ...
    continuations: Sequence[Tensor] | None = None
    texts: Texts | None = None


class Metric(Protocol):
    """A number about one item, and how the numbers of a set's items become one."""

    @property
    def shortest_continuation(self) -> int | Literal["texts"] | None:
        """The shortest greedy continuation it reads, in tokens; None when teacher forcing is all it needs.

        A metric of words and not of tokens says ``"texts"``: it gets what is written after the prompt, as text.
        """

    @property
    def is_mean(self) -> bool:
        """Whether a set's metric is the mean over its items, each counting the same."""

    def of_item(self, evidence: Evidence) -> float:
        """Return the metric of one item.

        Raises:
            UndefinedMetricError: the item has no such number.
        """

    def of_set(self, values: Sequence[float], *, num_tokens: Sequence[int]) -> float:
        """Return the metric of a set from its items' values and their numbers of content tokens; never empty."""
