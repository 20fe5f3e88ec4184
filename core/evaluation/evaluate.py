import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.data.corpus import Example
from core.domain.report import ItemResult, MetricChange, SetResult
from core.evaluation.bootstrap import MIN_ITEMS, metric_interval
from core.evaluation.greedy_continuations import greedy_continuations, num_continued
from core.evaluation.metric import Evidence, Metric, Texts, UndefinedMetricError
from core.evaluation.metrics import METRICS
from core.evaluation.scored_items import ItemScores, score_items
from core.evaluation.text_decoder import TextDecoder

# Decoding an item that is not memorised costs some hundred times its teacher-forced pass, and grows with the square of
# its length, so it is done on a sample. This is enough for 49 items of 20 tokens, or for 6 of 50.
MAX_DECODED_TOKENS = 1 << 12


@dataclass(frozen=True)
class MeasuredItem:
    """One item's metrics by name, and for each other metric the reason why it is missing."""

    id: str
    values: dict[str, float]
    absent: dict[str, str]
    num_tokens: int  # of content


@dataclass(frozen=True)
class SetScores:
    """The metrics of one set under one model. An aggregate is over the items that have the metric."""

    num_items: int  # of the set, measured or not
    metrics: dict[str, float]
    items: list[MeasuredItem]
    scores: list[ItemScores] = field(default_factory=list)  # behind them, in the same order

    def values(self, metric: str) -> list[float]:
        """Return the metric of each item that has it."""
        return [item.values[metric] for item in self.items if metric in item.values]


def evaluate(
    model: PreTrainedModel,
    examples: Sequence[Example],
    *,
    pad_id: int,
    metrics: Mapping[str, Metric] = METRICS,
    max_decoded_tokens: int | None = MAX_DECODED_TOKENS,
    seed: int = 0,
    with_spread: bool = False,
    decode: TextDecoder | None = None,
) -> SetScores:
    """Return the metrics of a set of items under a model.

    Args:
        model: the model as it is; training mode and gradients are as before afterwards.
        examples: the set, possibly empty.
        pad_id: any token; padding is masked.
        metrics: what to measure, by name.
        max_decoded_tokens: metrics that read what the model writes are measured on items drawn by ``seed`` until the
            next one could exceed so many decoded tokens, for continuations and for texts each; None: on all. How many
            an item takes at most follows from its length, so that it is the same items for every model.
        seed: of that sample.
        with_spread: whether the scores shall hold what membership inference asks for.
        decode: turns what the model writes into text; without it the metrics of words are absent.
    """
    scores = score_items(model, examples, pad_id=pad_id, with_spread=with_spread)
    decoded = _decoded(model, examples, scores, metrics, pad_id=pad_id, at_most=max_decoded_tokens, seed=seed)
    texts = {}
    if decode is not None and any(metric.shortest_continuation == "texts" for metric in metrics.values()):
        texts = _texts(model, examples, scores, decode, pad_id=pad_id, at_most=max_decoded_tokens, seed=seed)
    evidence = [Evidence(item, decoded.get(place), texts.get(place)) for place, item in enumerate(scores)]
    items = [_measured(item, metrics) for item in evidence]
    return SetScores(num_items=len(examples), metrics=_aggregates(items, metrics), items=items, scores=scores)


def compare(before: SetScores, after: SetScores, reference: SetScores | None = None) -> SetResult:
    """Return the metrics of one set under two models, side by side, and under a reference model where there is one.

    A metric counts only if the same items have it both times: one that the trained model can no longer be given, since
    its scores are not numbers, is absent with the reason, and an absent metric passes no gate.

    Raises:
        ValueError: the two measurements are not of the same items.
    """
    if [item.id for item in before.items] != [item.id for item in after.items]:
        raise ValueError("the items before and after differ: measure both with the same set, cap and seed")
    names = dict.fromkeys([*before.metrics, *after.metrics, *_missing(before), *_missing(after)])
    changes, absent = {}, {}
    for name in names:
        if (change := _change(name, before, after, reference)) is not None:
            changes[name] = change
        if reason := _reason(name, before, after):
            absent[name] = reason
    return SetResult(
        num_items=before.num_items,
        num_measured=len(before.items),
        metrics=changes,
        absent=absent,
        items=[
            ItemResult(id=old.id, before=old.values, after=new.values)
            for old, new in zip(before.items, after.items, strict=True)
        ],
    )


def _sample(tokens: Mapping[int, int], *, at_most: int | None, seed: int) -> list[int]:
    """Return some of the places in their order, always the same for the same arguments.

    They are taken in a drawn order until one does not fit, and not further: to go on with those that do would be to
    choose the short ones. Only those that could not be taken in any order are passed over.

    Args:
        tokens: by place, how many are decoded at most.
        at_most: of the sum.
        seed: of the order.
    """
    places = [place for place in tokens if at_most is None or tokens[place] <= at_most]
    order = [places[at] for at in torch.randperm(len(places), generator=torch.Generator().manual_seed(seed)).tolist()]
    spent = accumulate(tokens[place] for place in order)
    return sorted(place for place, so_far in zip(order, spent, strict=True) if at_most is None or so_far <= at_most)


def _decoded(
    model: PreTrainedModel,
    examples: Sequence[Example],
    scores: Sequence[ItemScores],
    metrics: Mapping[str, Metric],
    *,
    pad_id: int,
    at_most: int | None,
    seed: int,
) -> dict[int, Sequence[Tensor]]:
    """Return the continuations of a sample of the items that are long enough to have one."""
    lengths = [length for m in metrics.values() if isinstance(length := m.shortest_continuation, int)]
    shortest = min(lengths, default=None)
    if shortest is None:
        return {}
    long_enough = {
        place: num_continued(len(item), shortest=shortest) for place, item in enumerate(scores) if len(item) >= shortest
    }
    places = _sample(long_enough, at_most=at_most, seed=seed)
    some, their = [examples[place] for place in places], [scores[place] for place in places]
    return dict(zip(places, greedy_continuations(model, some, their, shortest=shortest, pad_id=pad_id), strict=True))


def _texts(
    model: PreTrainedModel,
    examples: Sequence[Example],
    scores: Sequence[ItemScores],
    decode: TextDecoder,
    *,
    pad_id: int,
    at_most: int | None,
    seed: int,
) -> dict[int, Texts]:
    """Return what the model writes after the prompt of a sample of the items that have one."""
    prompted = {place: len(item) for place, item in enumerate(scores) if item.prompted}
    places = _sample(prompted, at_most=at_most, seed=seed)
    some, their = [examples[place] for place in places], [scores[place] for place in places]
    written = greedy_continuations(model, some, their, shortest=None, pad_id=pad_id)
    return {
        place: Texts(predicted=decode(tokens), true=decode(scores[place].target))
        for place, (tokens,) in zip(places, written, strict=True)
    }


def _measured(evidence: Evidence, metrics: Mapping[str, Metric]) -> MeasuredItem:
    values, absent = {}, {}
    # The largest of not-a-numbers is some token, perhaps even the right one: nothing about such an item means anything.
    broken = bool(evidence.scores.log_prob.isnan().any())
    for name, metric in metrics.items():
        try:
            value = math.nan if broken else metric.of_item(evidence)
        except UndefinedMetricError as error:
            absent[name] = str(error)
        else:
            if math.isfinite(value):
                values[name] = value
            else:
                absent[name] = "the model's scores are not finite numbers"
    return MeasuredItem(evidence.scores.id, values, absent, len(evidence.scores))


def _aggregates(items: Sequence[MeasuredItem], metrics: Mapping[str, Metric]) -> dict[str, float]:
    aggregates = {}
    for name, metric in metrics.items():
        having = [item for item in items if name in item.values]
        if having:
            num_tokens = [item.num_tokens for item in having]
            aggregates[name] = metric.of_set([item.values[name] for item in having], num_tokens=num_tokens)
    return aggregates


def _missing(scores: SetScores) -> list[str]:
    return [name for item in scores.items for name in item.absent]


def _change(name: str, before: SetScores, after: SetScores, reference: SetScores | None) -> MetricChange | None:
    if name not in before.metrics or name not in after.metrics or _holders(name, before) != _holders(name, after):
        return None
    is_shared = reference is not None and _holders(name, reference) == _holders(name, before)
    return MetricChange(
        before=before.metrics[name],
        after=after.metrics[name],
        n=len(_holders(name, before)),
        before_ci95=_interval(name, before),
        after_ci95=_interval(name, after),
        reference=reference.metrics.get(name) if reference is not None and is_shared else None,
    )


def _interval(name: str, scores: SetScores) -> tuple[float, float] | None:
    """Return the interval of a set's metric over its items, None where these are too few for one."""
    values = scores.values(name)
    if len(values) < MIN_ITEMS or name not in METRICS:
        return None
    num_tokens = [item.num_tokens for item in scores.items if name in item.values]
    return metric_interval(METRICS[name], values, num_tokens=num_tokens, seed=0)


def _holders(name: str, scores: SetScores) -> list[int]:
    return [place for place, item in enumerate(scores.items) if name in item.values]


def _reason(name: str, before: SetScores, after: SetScores) -> str:
    """Return why some items lack the metric, with their number, or nothing when none does."""
    reasons = Counter(
        new.absent.get(name) or old.absent.get(name) or ""
        for old, new in zip(before.items, after.items, strict=True)
        if name in old.absent or name in new.absent
    )
    return "; ".join(f"{count} of {len(before.items)} items: {reason}" for reason, count in sorted(reasons.items()))
