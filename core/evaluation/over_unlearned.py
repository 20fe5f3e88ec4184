from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.domain.report import ItemResult, MembershipResult, OverUnlearned, OverUnlearnedScore, SetResult
from core.evaluation.bootstrap import MIN_ITEMS
from core.evaluation.membership.auc import auc, interval, two_sided_p
from core.evaluation.metric import UndefinedMetricError

# Each is higher where more is known. Perplexity and memorization accuracy say the same as two of them.
COMPARED = ("extraction_strength", "exact_memorization", "longest_correct_run", "answer_probability")
LEVEL = 0.05


@dataclass(frozen=True)
class Asked:
    """How a score tells the forget items from unseen texts, and how it does under models that forgot nothing."""

    name: str
    kind: Literal["membership", "metric"]
    auc: float
    ci95: tuple[float, float]
    p_value: float
    elsewhere: Sequence[tuple[float, float]]  # its intervals under the base model and a reference model

    @property
    def is_under(self) -> bool:
        """Whether its interval is under 0.5, and under what sets that differ in kind have without any forgetting."""
        expected = [low for low, high in self.elsewhere if high < 0.5]
        return self.ci95[1] < min([0.5, *expected])


def over_unlearned(forget: SetResult, holdout: SetResult | None, membership: MembershipResult | None) -> OverUnlearned:
    """Return by which scores the model makes less of the forget items than of texts that it never saw.

    A memory that was pushed below what a model has of unseen text is a trace as well: whoever sees that a text is
    stranger than any other knows that it was asked to be forgotten. Membership scores are asked, and some metrics, item
    against item of the holdout set under the same model. Of several one is off by chance more often than a single one,
    so a score counts if its two-sided p-value, corrected for all that were asked, is at most 5 %.

    Raises:
        UndefinedMetricError: there is no holdout set, or one of the sets is too small to tell them apart.

    References:
        Holm, Scand. J. Stat. 6, 1979, https://www.jstor.org/stable/4615733.
    """
    if holdout is None:
        raise UndefinedMetricError("no holdout set is registered to compare with")
    by_membership = [] if membership is None else _membership_scores(membership)
    # The probability of an item and its loss sort the items alike.
    told = {"answer_probability"} if any(score.name == "loss" for score in by_membership) else set()
    names = [name for name in COMPARED if name in forget.metrics and name in holdout.metrics and name not in told]
    asked = [*by_membership, *_metrics(names, forget.items, holdout.items)]
    if not asked:
        raise UndefinedMetricError(f"one of the sets has fewer than {MIN_ITEMS} items that are measured")
    adjusted = holm([score.p_value for score in asked])
    return OverUnlearned(
        scores=[
            OverUnlearnedScore(name=score.name, kind=score.kind, auc=score.auc, ci95=score.ci95, adjusted_p=p_value)
            for score, p_value in zip(asked, adjusted, strict=True)
            if score.is_under and p_value <= LEVEL
        ],
        num_asked=len(asked),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values, in their order, so that all that are at most 5 % are wrong in at most 5 % of families."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def _membership_scores(membership: MembershipResult) -> list[Asked]:
    elsewhere = [membership.before, membership.reference or {}]
    return [
        Asked(
            name=name,
            kind="membership",
            auc=score.auc,
            ci95=score.ci95,
            p_value=score.p_value,
            elsewhere=[scores[name].ci95 for scores in elsewhere if name in scores],
        )
        for name, score in membership.after.items()
    ]


def _metrics(names: Iterable[str], forget: Sequence[ItemResult], holdout: Sequence[ItemResult]) -> list[Asked]:
    """Return the metrics that enough items of both sets have, as scores that are higher where less is known."""
    asked = []
    for name in names:
        members, others = (_strangeness(name, [item.after for item in items]) for items in (forget, holdout))
        if min(len(members), len(others)) < MIN_ITEMS:
            continue
        low, high, _ = interval(members, others)
        before = [_strangeness(name, [item.before for item in items]) for items in (forget, holdout)]
        low_before, high_before, _ = interval(*before)
        asked.append(
            Asked(
                name=name,
                kind="metric",
                auc=auc(members, others),
                ci95=(low, high),
                p_value=two_sided_p(members, others),
                elsewhere=[(low_before, high_before)],
            )
        )
    return asked


def _strangeness(name: str, values: Iterable[Mapping[str, float]]) -> list[float]:
    return [-found[name] for found in values if name in found]
