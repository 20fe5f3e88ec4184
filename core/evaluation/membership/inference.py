import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from core.data.corpus import Example
from core.domain.report import MembershipResult, MembershipScore
from core.evaluation.bootstrap import MIN_ITEMS
from core.evaluation.membership import MEMBERSHIP_SCORES
from core.evaluation.membership.auc import MIN_OTHERS_FOR_TPR, auc, interval, tpr_at_1pct_fpr, two_sided_p
from core.evaluation.membership.priv_leak import priv_leak
from core.evaluation.membership.score import AttackScore, MembershipEvidence, UndefinedScoreError
from core.evaluation.scored_items import MAX_BATCH_TOKENS, ItemScores, score_items

PRIV_LEAK_SCORE = "min_k"
REFERENCE_SCORE = "reference_difference"


@dataclass(frozen=True)
class Membership:
    """How well each score tells members from others under one model, and why a score or a rate is missing."""

    scores: dict[str, MembershipScore]
    absent: dict[str, str]


def collect(
    model: PreTrainedModel,
    examples: Sequence[Example],
    *,
    compressed_bytes: Sequence[int],
    pad_id: int,
    reference: Sequence[ItemScores] | None = None,
    max_batch_tokens: int = MAX_BATCH_TOKENS,
) -> list[MembershipEvidence]:
    """Return the evidence of each example under a model, in order, from one forward pass over each.

    Args:
        model: the model as it is.
        examples: one of the sets, possibly empty.
        compressed_bytes: of each example's content, see :func:`compressed_size`.
        pad_id: any token; padding is masked.
        reference: the scores of the same examples under a model that never saw the members, where there is one.
        max_batch_tokens: of the pass.
    """
    scored = score_items(model, examples, pad_id=pad_id, max_batch_tokens=max_batch_tokens, with_spread=True)
    references = [None] * len(scored) if reference is None else reference
    return [MembershipEvidence(*parts) for parts in zip(scored, compressed_bytes, references, strict=True)]


def membership(members: Sequence[MembershipEvidence], others: Sequence[MembershipEvidence]) -> Membership:
    """Return how well each score tells the members (a forget set) from the others (a holdout set) under one model.

    A score that a single item cannot have is absent altogether, with the reason: an AUC without the items that a model
    broke on would be that of another set.
    """
    scores, absent = {}, {}
    for name, score in MEMBERSHIP_SCORES.items():
        try:
            scores[name] = _measured(_of_set(score, members), _of_set(score, others))
        except UndefinedScoreError as error:
            absent[name] = str(error)
    if len(others) < MIN_OTHERS_FOR_TPR:
        absent["tpr_at_1pct_fpr"] = f"{len(others)} holdout items; at least {MIN_OTHERS_FOR_TPR} needed"
    return Membership(scores, absent)


def compare(before: Membership, after: Membership, reference: Membership | None = None) -> MembershipResult:
    """Return the membership inference on the same sets under two models, and under a reference where there is one.

    Args:
        before: under the base model.
        after: under the model that was made to forget.
        reference: under a model that was trained without the members; PrivLeak is absent without it.
    """
    absent = _reasons({"before": before, "after": after, "reference": reference})
    leak = None
    try:
        leak = _leak(after, reference)
    except UndefinedScoreError as error:
        absent["priv_leak"] = str(error)
    return MembershipResult(
        before=before.scores,
        after=after.scores,
        reference=None if reference is None else reference.scores,
        priv_leak=leak,
        absent=absent,
    )


def _of_set(score: AttackScore, items: Sequence[MembershipEvidence]) -> list[float]:
    if len(items) < MIN_ITEMS:
        raise UndefinedScoreError(f"a set has {len(items)} items; at least {MIN_ITEMS} of each are needed")
    values = [score.of_item(item) for item in items]
    if not all(math.isfinite(value) for value in values):
        raise UndefinedScoreError("the model's scores are not finite numbers")
    return values


def _measured(members: list[float], others: list[float]) -> MembershipScore:
    low, high, method = interval(members, others)
    return MembershipScore(
        auc=auc(members, others),
        ci95=(low, high),
        ci95_method=method,
        p_value=two_sided_p(members, others),
        tpr_at_1pct_fpr=tpr_at_1pct_fpr(members, others),
        num_members=len(members),
        num_others=len(others),
    )


def _leak(after: Membership, reference: Membership | None) -> float:
    if (found := after.scores.get(PRIV_LEAK_SCORE)) is None:
        raise UndefinedScoreError(f"{PRIV_LEAK_SCORE} was not measured: {after.absent[PRIV_LEAK_SCORE]}")
    expected = None if reference is None else reference.scores.get(PRIV_LEAK_SCORE)
    return priv_leak(found.auc, reference_auc=None if expected is None else expected.auc)


def _reasons(models: Mapping[str, Membership | None]) -> dict[str, str]:
    """Return what is missing, by name, with the reason under each model that lacks it."""
    reasons: dict[str, dict[str, list[str]]] = {}
    for label, found in models.items():
        for name, reason in ({} if found is None else found.absent).items():
            if label == "reference" and name == REFERENCE_SCORE:  # nobody asks how a model differs from itself
                continue
            reasons.setdefault(name, {}).setdefault(reason, []).append(label)
    return {
        name: "; ".join(f"{', '.join(labels)}: {reason}" for reason, labels in by_reason.items())
        for name, by_reason in reasons.items()
    }
