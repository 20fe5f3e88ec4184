from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from core.evaluation.metric import Evidence


@dataclass(frozen=True)
class ExactMemorization:
    """Share of an item's content tokens that the model predicts, the format's trailing tokens left out (EM)."""

    shortest_continuation: ClassVar[None] = None
    is_mean: ClassVar[bool] = True

    def of_item(self, evidence: Evidence) -> float:
        """Return ``1/m sum_i [argmax p(. | x_<i) = x_i]`` in [0, 1].

        The published code drops the last label on the belief that it is the end of sequence, which is wrong where a
        text was cut and has none; here exactly the tokens that the format added are dropped.

        References:
            Tirumala et al., NeurIPS 2022, https://arxiv.org/abs/2205.10770; code in locuslab/open-unlearning.
        """
        return int(evidence.scores.correct.sum()) / len(evidence.scores)

    def of_set(self, values: Sequence[float], *, num_tokens: Sequence[int]) -> float:
        """Return the mean over items."""
        del num_tokens
        return fmean(values)
