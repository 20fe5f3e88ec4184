from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from core.evaluation.metric import Evidence, UndefinedMetricError

# Tokens of a long text that are given, and as many that are then asked for.
PASSAGE = 50


@dataclass(frozen=True)
class VerbatimCompletion:
    """Whether the model writes an item's rest word for word: a completion given its prompt, a text given its start."""

    shortest_continuation: ClassVar[None] = None
    is_mean: ClassVar[bool] = True

    def of_item(self, evidence: Evidence) -> float:
        """Return 1 if greedy decoding reproduces what is asked for exactly, else 0.

        Of a pair that is the completion, of a text the ``PASSAGE`` content tokens after the first ``PASSAGE``, or the
        second half of a shorter one. One forward pass decides it: while all tokens are right, what the model was shown
        and what it would have written are the same.

        Raises:
            UndefinedMetricError: a text of one content token has no half to begin from.

        References:
            Carlini et al., ICLR 2023, https://arxiv.org/abs/2202.07646; lengths of the Training Data Extraction
            Challenge, https://github.com/google-research/lm-extraction-benchmark.
        """
        scores = evidence.scores
        if scores.prompted:
            return float(scores.correct.all())
        given = min(PASSAGE, len(scores) // 2)
        if not given:
            raise UndefinedMetricError("the text is too short to be begun")
        return float(scores.correct[given : given + PASSAGE].all())

    def of_set(self, values: Sequence[float], *, num_tokens: Sequence[int]) -> float:
        """Return the share of items that can be extracted so."""
        del num_tokens
        return fmean(values)
