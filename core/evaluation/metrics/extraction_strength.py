from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from core.evaluation.metric import Evidence


@dataclass(frozen=True)
class ExtractionStrength:
    """Share of an item that the model completes without a mistake from the shortest prefix that suffices (ES)."""

    shortest_continuation: ClassVar[None] = None
    is_mean: ClassVar[bool] = True

    def of_item(self, evidence: Evidence) -> float:
        """Return ``1 - k/m`` in [0, 1], ``k`` the least index from which every predicted token is right.

        Under greedy decoding one forward pass decides this: while all tokens are right, what the model was shown and
        what it would have written are the same. Where the last token is wrong nothing is extracted and ``k = m``. The
        published code leaves ``k = m - 1`` there, so it never returns less than ``1/m``; the definition says 0.

        References:
            Wang et al., ICLR 2025, https://arxiv.org/abs/2406.09179; code in locuslab/open-unlearning.
        """
        correct = evidence.scores.correct
        wrong = (~correct).nonzero().flatten()  # (number of wrong predictions,), ascending
        k = int(wrong[-1]) + 1 if len(wrong) else 0
        return 1.0 - k / len(correct)

    def of_set(self, values: Sequence[float], *, num_tokens: Sequence[int]) -> float:
        """Return the mean over items."""
        del num_tokens
        return fmean(values)
