import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean

from transformers import PreTrainedModel

from core.data.corpus import AnyItem, Example
from core.domain.items import PairItem, TextItem
from core.evaluation.metric import UndefinedMetricError
from core.evaluation.scored_items import MAX_BATCH_TOKENS, ItemScores, score_items

# exp overflows a double above this.
_LARGEST_EXPONENT = 709.0


@dataclass(frozen=True)
class TruthRatio:
    """How an item's wrong completions compare with the true one in other words; losses in nats a content token."""

    id: str
    paraphrased: float  # loss of the true completion in other words
    perturbed: tuple[float, ...]  # loss of each wrong completion, at least one

    @property
    def log_ratio(self) -> float:
        """``log R``, in nats: what forget quality compares, for taking logarithms changes no order."""
        return self.paraphrased - fmean(self.perturbed)

    @property
    def ratio(self) -> float:
        """``R = P(perturbed) / P(paraphrased)``, above 0, with ``P(perturbed)`` the geometric mean."""
        return math.exp(self.log_ratio)

    @property
    def true_better(self) -> float:
        """``max(0, 1 - R)`` in [0, 1], with ``P(perturbed)`` the arithmetic mean; what model utility takes."""
        # A single wrong completion's ratio may overflow where R does not; it makes this 0 long before.
        exponents = [min(self.paraphrased - loss, _LARGEST_EXPONENT) for loss in self.perturbed]
        return max(0.0, 1.0 - fmean(map(math.exp, exponents)))


@dataclass(frozen=True)
class TruthRatios:
    """The truth ratio of each item that has one, in order, and of each other item, by its id, why it has none."""

    items: tuple[TruthRatio, ...]
    absent: dict[str, str]


def truth_ratios(
    model: PreTrainedModel,
    items: Sequence[AnyItem],
    encode: Callable[[Sequence[AnyItem]], list[Example]],
    *,
    pad_id: int,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
) -> TruthRatios:
    """Return whether a model still prefers what is true to what is wrong, item by item.

    It is no function of the item's own scores, so it is no entry of ``METRICS``: each item's other wordings are encoded
    after its prompt, and all wordings of all items share one teacher-forced pass. An item's own completion is not read:
    a model can be made to avoid those very words and still know the answer.

    Args:
        model: the model as it is; training mode and gradients are as before afterwards.
        items: the set, possibly empty.
        encode: turns items into examples; raises for a wording that does not fit the model.
        pad_id: any token; padding is masked.
        max_batch_tokens: of the pass.

    References:
        Maini et al. (TOFU), COLM 2024, https://arxiv.org/abs/2401.06121, section 2.2.
    """
    absent: dict[str, str] = {}
    reworded: list[tuple[str, list[PairItem]]] = []
    for item in items:
        try:
            reworded.append((str(item.id), _wordings(item)))
        except UndefinedMetricError as error:
            absent[str(item.id)] = str(error)
    examples = encode([wording for _, wordings in reworded for wording in wordings])
    scores = iter(score_items(model, examples, pad_id=pad_id, max_batch_tokens=max_batch_tokens))
    found = []
    for item_id, wordings in reworded:
        try:
            found.append(_truth_ratio(item_id, list(islice(scores, len(wordings)))))
        except UndefinedMetricError as error:
            absent[item_id] = str(error)
    return TruthRatios(tuple(found), absent)


def _wordings(item: AnyItem) -> list[PairItem]:
    """Return the true completion in other words, then the wrong ones, each after the item's prompt."""
    if isinstance(item, TextItem):
        raise UndefinedMetricError("a text has no completion to put in other words")
    if item.paraphrased_completion is None or item.perturbed_completions is None:
        raise UndefinedMetricError("the item lacks a paraphrased completion or perturbed ones")
    completions = [item.paraphrased_completion, *item.perturbed_completions]
    return [PairItem(id=item.id, prompt=item.prompt, completion=completion) for completion in completions]


def _truth_ratio(item_id: str, scores: Sequence[ItemScores]) -> TruthRatio:
    paraphrased, *perturbed = (wording.loss for wording in scores)
    found = TruthRatio(item_id, paraphrased, tuple(perturbed))
    if not all(math.isfinite(loss) for loss in (paraphrased, *perturbed)):
        raise UndefinedMetricError("the model's scores are not finite numbers")
    if found.log_ratio > _LARGEST_EXPONENT:
        raise UndefinedMetricError("the truth ratio exceeds the range of a double")
    return found
