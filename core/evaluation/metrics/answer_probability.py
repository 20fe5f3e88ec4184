import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from core.evaluation.metric import Evidence


@dataclass(frozen=True)
class AnswerProbability:
    """The item's probability given its prompt, per token: the geometric mean of its content tokens' probabilities."""

    shortest_continuation: ClassVar[None] = None
    is_mean: ClassVar[bool] = True

    def of_item(self, evidence: Evidence) -> float:
        """Return ``exp(1/m sum_i log p(x_i | x_<i))`` in [0, 1].

        References:
            Maini et al. (TOFU), 2024, https://arxiv.org/abs/2401.06121, section 2.2.1, there with the end of sequence
            token among the ``m``; that token is the format's, not the item's, and is left out here.
        """
        return math.exp(float(evidence.scores.log_prob.double().mean()))

    def of_set(self, values: Sequence[float], *, num_tokens: Sequence[int]) -> float:
        """Return the mean over items."""
        del num_tokens
        return fmean(values)
