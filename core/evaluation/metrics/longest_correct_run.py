from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import ClassVar

from core.evaluation.metric import Evidence


@dataclass(frozen=True)
class LongestCorrectRun:
    """Length of the longest passage of an item that the model predicts without a mistake, in tokens."""

    shortest_continuation: ClassVar[None] = None
    is_mean: ClassVar[bool] = True

    def of_item(self, evidence: Evidence) -> float:
        """Return the most consecutive content tokens that are all predicted right, 0 to ``m``.

        Once such a passage has begun, greedy decoding writes it to its end by itself. A passage in the middle of a long
        text shows here and in no metric that asks for the whole or for the end of it.
        """
        runs = groupby(evidence.scores.correct.tolist())
        return float(max((len(list(run)) for right, run in runs if right), default=0))

    def of_set(self, values: Sequence[float], *, num_tokens: Sequence[int]) -> float:
        """Return the mean over items."""
        del num_tokens
        return fmean(values)
