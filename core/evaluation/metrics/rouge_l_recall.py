import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar, Literal

from rouge_score.rouge_scorer import RougeScorer

from core.evaluation.metric import Evidence, UndefinedMetricError

_SCORER = RougeScorer(["rougeL"], use_stemmer=True)
# What a word of ROUGE is made of, after lower-casing.
_WORD = re.compile("[a-z0-9]")


@dataclass(frozen=True)
class RougeLRecall:
    """Share of a completion's words that the model writes after the prompt, in their order (ROUGE-L recall)."""

    shortest_continuation: ClassVar[Literal["texts"]] = "texts"
    is_mean: ClassVar[bool] = True

    def of_item(self, evidence: Evidence) -> float:
        """Return ``LCS(written, true) / |true|`` in [0, 1], in words that were lower-cased and stemmed (Porter).

        ``LCS`` is the length of the longest common subsequence: other words may stand between.

        Raises:
            UndefinedMetricError: the item is a text, what the model writes was not decoded, or the completion has no
                word: ROUGE knows Latin letters without accents and digits, so its recall of any other script is 0.

        References:
            Lin, Text Summarization Branches Out, 2004, https://aclanthology.org/W04-1013, section 3.
        """
        if not evidence.scores.prompted:
            raise UndefinedMetricError("a text has no prompt to be continued")
        if evidence.texts is None:
            raise UndefinedMetricError(
                "not decoded: not in the sample of items that the bound on decoded tokens is enough for"
            )
        if not _WORD.search(evidence.texts.true.lower()):
            raise UndefinedMetricError("the completion has no word of Latin letters or digits")
        return float(_SCORER.score(evidence.texts.true, evidence.texts.predicted)["rougeL"].recall)

    def of_set(self, values: Sequence[float], *, num_tokens: Sequence[int]) -> float:
        """Return the mean over items."""
        del num_tokens
        return fmean(values)
