import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from scipy import stats
from transformers import PreTrainedModel

from core.data.corpus import AnyItem, Example
from core.domain.errors import UnsupportedBaseModelError
from core.domain.items import FactItem, PairItem, TextItem
from core.evaluation.metric import UndefinedMetricError
from core.evaluation.scored_items import MAX_BATCH_TOKENS, score_items

# Fewer digits than this leave too few completions to draw candidates from.
MIN_DIGITS = 4
NUM_CANDIDATES = 256
# Each takes a pass for every candidate, so a large set is sampled.
MAX_ITEMS = 32

_DIGIT = re.compile("[0-9]")


@dataclass(frozen=True)
class ItemExposure:
    """How far a completion's digits stand out from others, in bits. ``2^-e`` is the chance of ``e`` bits by luck."""

    id: str
    rank: float  # of the true completion among N + 1, by probability; 1 is the most probable, and a tie counts half
    num_candidates: int  # N
    sampled: float  # log2(N + 1) - log2(rank), from 0 to log2(N + 1)


@dataclass(frozen=True)
class Exposures:
    """The exposure of each item that has one, in order, and of each other item, by its id, why it has none."""

    items: tuple[ItemExposure, ...]
    absent: dict[str, str]

    @property
    def mean_sampled(self) -> float | None:
        """The mean of what was sampled, in bits; luck gives about 1.44. None where no item has an exposure."""
        return fmean(item.sampled for item in self.items) if self.items else None

    @property
    def p_value(self) -> float | None:
        """The chance of a mean as large as this if all ranks were luck, in [0, 1]; None where no item has an exposure.

        A uniform rank makes ``rank / (N + 1)`` a p-value, so this is Fisher's combination of them, whose statistic is
        the sum of the exposures. Ranks being whole numbers, it is never too small.

        References:
            Fisher, Statistical Methods for Research Workers, 4th edition, 1932, section 21.1.
        """
        if not self.items:
            return None
        statistic = 2 * math.log(2) * math.fsum(item.sampled for item in self.items)
        return float(stats.chi2.sf(statistic, 2 * len(self.items)))


def exposures(
    model: PreTrainedModel,
    items: Sequence[AnyItem],
    encode: Callable[[Sequence[AnyItem]], list[Example]],
    *,
    pad_id: int,
    num_candidates: int = NUM_CANDIDATES,
    seed: int = 0,
    max_items: int = MAX_ITEMS,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
) -> Exposures:
    """Return how far each item's completion stands out among the same words with other digits.

    Memorised numbers are what a model cannot have from elsewhere: a phone number's digits follow from nothing. The
    candidates of an item depend on the seed and its id alone, so they are the same for every model.

    Args:
        model: the model as it is; training mode and gradients are as before afterwards.
        items: the set, possibly empty.
        encode: turns items into examples; an item is absent where that fails, which other digits can cause.
        pad_id: any token; padding is masked.
        num_candidates: N, drawn for each item without repetition, the truth left out; below ``10^MIN_DIGITS``.
        seed: of the candidates and of the sample of items.
        max_items: of more items with enough digits so many are drawn, the same ones for every model.
        max_batch_tokens: of the passes; the candidates of one item are held at a time.

    Raises:
        ValueError: there are not that many candidates.

    References:
        Carlini et al., USENIX Security 2019, https://arxiv.org/abs/1802.08232, section 4.
    """
    if not 0 < num_candidates < 10**MIN_DIGITS:
        raise ValueError(f"{num_candidates} candidates: draw at least 1 and fewer than {10**MIN_DIGITS}")
    usable, absent = _with_enough_digits(items)
    places = random.Random(seed).sample(range(len(usable)), min(max_items, len(usable)))  # noqa: S311  # no secret
    left_out = set(range(len(usable))).difference(places)
    absent |= {str(usable[place].id): f"not among the {max_items} items drawn" for place in sorted(left_out)}
    found = []
    for item in (usable[place] for place in sorted(places)):
        try:
            completions = _completions(item, num_candidates=num_candidates, seed=seed)
            scores = score_items(model, _encoded(completions, encode), pad_id=pad_id, max_batch_tokens=max_batch_tokens)
            # The log-perplexity of the whole completion: its tokens may be more or fewer with other digits.
            losses = [-float(score.log_prob.double().sum()) for score in scores]
            found.append(_exposure(str(item.id), losses))
        except UndefinedMetricError as error:
            absent[str(item.id)] = str(error)
    return Exposures(tuple(found), absent)


def _with_enough_digits(items: Sequence[AnyItem]) -> tuple[list[PairItem | FactItem], dict[str, str]]:
    """Return the items that can have an exposure, and why each of the others cannot."""
    usable, absent = [], {}
    for item in items:
        if isinstance(item, TextItem):
            absent[str(item.id)] = "a text has no completion"
        elif len(_DIGIT.findall(item.completion)) < MIN_DIGITS:
            absent[str(item.id)] = f"the completion has fewer than {MIN_DIGITS} digits"
        else:
            usable.append(item)
    return usable, absent


def _completions(item: PairItem | FactItem, *, num_candidates: int, seed: int) -> list[PairItem]:
    """Return the true completion and then the candidates, each after the item's prompt."""
    true = "".join(_DIGIT.findall(item.completion))
    rng = random.Random(f"{seed} {item.id}")  # noqa: S311  # a sample, not a secret
    drawn = {true: None}  # a dict keeps the order
    while len(drawn) <= num_candidates:
        drawn[f"{rng.randrange(10 ** len(true)):0{len(true)}d}"] = None
    return [
        PairItem(id=item.id, prompt=item.prompt, completion=_with_digits(item.completion, digits)) for digits in drawn
    ]


def _with_digits(completion: str, digits: str) -> str:
    left = iter(digits)
    return _DIGIT.sub(lambda _: next(left), completion)


def _encoded(
    completions: Sequence[PairItem], encode: Callable[[Sequence[AnyItem]], list[Example]]
) -> Sequence[Example]:
    try:
        return encode(completions)
    except UnsupportedBaseModelError:  # the true completion fits, but other digits may take more tokens
        raise UndefinedMetricError("the completion with other digits does not fit the model") from None


def _exposure(item_id: str, losses: Sequence[float]) -> ItemExposure:
    """Return the exposure from log-perplexities in nats, that of the truth first."""
    if not all(math.isfinite(loss) for loss in losses):
        raise UndefinedMetricError("the model's scores are not finite numbers")
    true, *others = losses
    rank = 1 + sum(loss < true for loss in others) + sum(loss == true for loss in others) / 2
    return ItemExposure(
        id=item_id,
        rank=rank,
        num_candidates=len(others),
        sampled=math.log2(len(losses)) - math.log2(rank),
    )
