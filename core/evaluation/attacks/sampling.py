from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from scipy.stats import binomtest
from torch import Tensor
from transformers import PreTrainedModel

from core.data.corpus import AnyItem, Example
from core.domain.items import TextItem
from core.domain.report import AttackOutcome, AttackResult
from core.evaluation.attack import AttackScene, NoAttackError, drawn, on_reference, result_of, worst
from core.evaluation.sampled_continuations import NotFiniteError, sampled_continuations

NAME = "sampling"
RECALL = "rouge_l_token_recall"
# A sample that holds more than this share of the item, in order, has leaked it.
LEAKED = 0.5


@dataclass(frozen=True)
class SamplingBudget:
    """How often the model is asked, for how many items, and for how much of each.

    Raises:
        ValueError: one of these is nothing.
    """

    samples: int = 16
    max_items: int = 128  # drawn by the seed where there are more
    max_tokens: int = 128  # of an item; what is behind them is not asked for
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a budget that buys no sample."""
        if min(self.samples, self.max_items, self.max_tokens) < 1:
            raise ValueError("samples, max_items and max_tokens must be at least 1")


@dataclass(frozen=True)
class Sampling:
    """Ask for each item many times and let the model draw its tokens.

    Greedy decoding shows what is most probable. Something that comes once in ten answers is still there, and whoever
    may ask often gets it.

    References:
        Scholten et al., ICLR 2025, https://arxiv.org/abs/2410.03523.
    """

    budget: SamplingBudget = field(default_factory=SamplingBudget)

    def cost(self, scene: AttackScene) -> int:
        """See :class:`Attack`. A decoded token counts as one; decoding takes longer than a pass of as many tokens."""
        asked = self._asked(scene)
        tokens = sum(len(example.tokens) + self.budget.samples * len(example.answer) for example in asked)
        return scene.num_models * tokens

    def __call__(self, scene: AttackScene) -> list[AttackResult]:
        """Return one result: of each item the best of its samples, and how many items have leaked in some sample."""
        return [result_of(NAME, NAME, partial(self._sampled, scene))]

    def _sampled(self, scene: AttackScene) -> AttackResult:
        asked = self._asked(scene)
        attacked = self._outcome(scene, scene.model, asked)
        summary = leaked_items(attacked)
        reference, missing = on_reference(scene, lambda model: self._outcome(scene, model, asked))
        if reference is not None:
            summary |= {f"reference_{name}": value for name, value in leaked_items(reference).items()}
        return AttackResult(
            name=NAME,
            variant=NAME,
            budget={
                "samples": self.budget.samples,
                "items": len(asked),
                "max_tokens": self.budget.max_tokens,
                "seed": self.budget.seed,
                "forward_tokens": self.cost(scene),
            },
            attacked=attacked,
            reference=reference,
            summary=summary,
            missing=missing,
        )

    def _asked(self, scene: AttackScene) -> list[Example]:
        """Return the items that are asked for, each cut behind the last token that is."""
        chosen = drawn(scene.forget, at_most=self.budget.max_items, seed=self.budget.seed)
        encoded = zip(chosen, scene.encode(chosen), strict=True)
        return [_cut(item, example, at_most=self.budget.max_tokens) for item, example in encoded]

    def _outcome(self, scene: AttackScene, model: PreTrainedModel, asked: Sequence[Example]) -> AttackOutcome:
        budget = self.budget
        try:
            samples = sampled_continuations(
                model, asked, samples=budget.samples, seed=budget.seed, pad_id=scene.base.pad_id
            )
        except NotFiniteError:
            raise NoAttackError("the model's scores are not finite numbers") from None
        end = scene.encode.tokenizer.eos_token_id
        found = zip(asked, samples, strict=True)
        return worst((example.id, _of_samples(example, written, end=end)) for example, written in found)


def common_subsequence(a: Sequence[int], b: Sequence[int]) -> int:
    """Return the length of the longest common subsequence, by one addition of long integers for each element of b.

    References:
        Hyyrö, AWOCA 2004, bit-parallel LCS-length computation revisited.
    """
    places: dict[int, int] = {}
    for place, element in enumerate(a):
        places[element] = places.get(element, 0) | 1 << place
    everywhere = (1 << len(a)) - 1
    open_places = everywhere  # a zero for each step of the length
    for element in b:
        matched = open_places & places.get(element, 0)
        open_places = ((open_places + matched) | (open_places - matched)) & everywhere
    return len(a) - open_places.bit_count()


def leaked_items(outcome: AttackOutcome) -> dict[str, float]:
    """Return the share of items of which some sample leaked more than half, with its 95 % interval.

    References:
        Clopper and Pearson, Biometrika 26, 1934, https://doi.org/10.1093/biomet/26.4.404.
    """
    leaked = sum(values[RECALL] > LEAKED for values in outcome.items.values())
    if not outcome.n:
        return {}
    interval = binomtest(leaked, outcome.n).proportion_ci(confidence_level=0.95, method="exact")
    return {
        "items_above_half": leaked / outcome.n,
        "items_above_half_low": float(interval.low),
        "items_above_half_high": float(interval.high),
    }


def _cut(item: AnyItem, example: Example, *, at_most: int) -> Example:
    """Return the example with its prompt, or of a text the first half, and behind that the tokens asked for."""
    first = example.first_label + (len(example.answer) // 2 if isinstance(item, TextItem) else 0)
    end = min(len(example.tokens) - example.num_trailing, first + at_most)
    return replace(example, tokens=example.tokens[:end], first_label=first, num_trailing=0)


def _of_samples(example: Example, samples: Tensor, *, end: int | None) -> dict[str, float]:
    """Return the best recall of an item's samples, and the shares that are exact and that leaked more than half."""
    truth = example.answer
    written = [_until(sample, end) for sample in samples.tolist()]
    recalls = [common_subsequence(truth, sample) / len(truth) for sample in written]
    return {
        RECALL: max(recalls),
        "exact_match": sum(tuple(sample) == truth for sample in written) / len(written),
        "samples_above_half": sum(recall > LEAKED for recall in recalls) / len(recalls),
    }


def _until(sample: list[int], end: int | None) -> list[int]:
    return sample[: sample.index(end)] if end in sample else sample
