import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from core.evaluation.metric import Evidence, UndefinedMetricError

# exp overflows a double above this.
_LARGEST_EXPONENT = 709.0


@dataclass(frozen=True)
class Perplexity:
    """The number of equally likely tokens that would puzzle the model as much as this item does (PPL)."""

    shortest_continuation: ClassVar[None] = None
    is_mean: ClassVar[bool] = False

    def of_item(self, evidence: Evidence) -> float:
        """Return ``exp(-1/m sum_i log p(x_i | x_<i))`` in [1, inf).

        Raises:
            UndefinedMetricError: it is too large to be a number, as with a destroyed model.

        References:
            Jelinek et al., JASA 62 (S1), 1977, https://doi.org/10.1121/1.2016299.
        """
        nll = -float(evidence.scores.log_prob.double().mean())
        if nll > _LARGEST_EXPONENT:
            raise UndefinedMetricError("perplexity exceeds the range of a double")
        return math.exp(nll)

    def of_set(self, values: Sequence[float], *, num_tokens: Sequence[int]) -> float:
        """Return ``exp`` of the mean loss over all tokens of all items, as perplexity is defined over a corpus.

        A mean over items would be ruled by the one item that the model finds most absurd.
        """
        loss = math.fsum(count * math.log(value) for value, count in zip(values, num_tokens, strict=True))
        return math.exp(loss / sum(num_tokens))
