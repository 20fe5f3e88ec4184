from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from torch import Tensor

from core.evaluation.metric import Evidence, UndefinedMetricError


@dataclass(frozen=True)
class ExtractionLikelihood:
    """How much of an item's rest the model reproduces in pieces of ``n`` tokens, over all its prefixes (EL_n)."""

    is_mean: ClassVar[bool] = True
    n: int = 10

    @property
    def shortest_continuation(self) -> int:
        """A shorter one has no n-gram."""
        return self.n

    def of_item(self, evidence: Evidence) -> float:
        """Return the mean over prefixes of the overlap between what the model writes and what is true, in [0, 1].

        With ``l_1..l_m`` the content tokens and ``f_i`` the ``m - i + 1`` greedy tokens after the prefix that ends
        before ``l_i``::

            EL_n = 1/(m - n + 1) * sum_{i=1}^{m-n+1} OVERLAP_n(f_i, l_i..l_m)
            OVERLAP_n(a, b) = 1/|ng(a)| * sum_{c in ng(a)} [c in ng(b)]    ng: the list of n-grams

        For a text of ``T`` tokens, whose first has no prefix, these are the published ``T - n`` prefixes. The published
        code divides by the n-grams of the true rest, which differs only where decoding stops early; here it never does.

        Raises:
            UndefinedMetricError: the item has fewer than ``n`` content tokens.

        References:
            Jang et al., ACL 2023, https://arxiv.org/abs/2210.01504, equations 1 and 2.
        """
        target: list[int] = evidence.scores.target.tolist()
        if len(target) < self.n:
            raise UndefinedMetricError(f"the item has fewer than {self.n} content tokens")
        if evidence.continuations is None:
            raise UndefinedMetricError("not in the sample of items that the bound on decoded tokens is enough for")
        # An n-gram occurs in the rest from i on exactly if its last occurrence starts there: one table for all i.
        last_start = {gram: start for start, gram in enumerate(_ngrams(target, self.n))}
        wanted = evidence.continuations[: len(target) - self.n + 1]  # another metric may have asked for shorter ones
        return fmean(self._overlap(tokens, last_start, start=i) for i, tokens in enumerate(wanted))

    def of_set(self, values: Sequence[float], *, num_tokens: Sequence[int]) -> float:
        """Return the mean over items, which is what the published stopping rule uses."""
        del num_tokens
        return fmean(values)

    def _overlap(self, continuation: Tensor, last_start: dict[tuple[int, ...], int], *, start: int) -> float:
        grams = _ngrams(continuation.tolist(), self.n)
        return sum(last_start.get(gram, -1) >= start for gram in grams) / len(grams)


def _ngrams(tokens: list[int], n: int) -> list[tuple[int, ...]]:
    return list(zip(*(tokens[offset:] for offset in range(n)), strict=False))
