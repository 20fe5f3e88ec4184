from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from core.evaluation.metric import Evidence


@dataclass(frozen=True)
class MemorizationAccuracy:
    """Share of all of an item's label tokens, the format's trailing ones included, that the model predicts (MA)."""

    shortest_continuation: ClassVar[None] = None
    is_mean: ClassVar[bool] = True

    def of_item(self, evidence: Evidence) -> float:
        """Return ``1/(m + t) sum_i [argmax p(. | x_<i) = x_i]`` in [0, 1] over ``m`` content and ``t`` trailing tokens.

        The published definition runs over every token that has a predecessor. A text has no trailing token, so there
        this is that definition, and equals exact memorization; a completion also counts the token that ends it.

        References:
            Jang et al., ACL 2023, https://arxiv.org/abs/2210.01504, equation 3.
        """
        scores = evidence.scores
        hits = int(scores.correct.sum()) + int(scores.trailing_correct.sum())
        return hits / (len(scores) + len(scores.trailing_correct))

    def of_set(self, values: Sequence[float], *, num_tokens: Sequence[int]) -> float:
        """Return the mean over items, which is what the published stopping rule uses."""
        del num_tokens
        return fmean(values)
