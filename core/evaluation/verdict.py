import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.domain.report import (
    ForgetThreshold,
    ItemResult,
    MembershipResult,
    PerplexityThreshold,
    RetainThreshold,
    SetResult,
    Thresholds,
    Verdict,
)
from core.evaluation.attack_gates import GatedAttack, attack_failures, brought_back
from core.evaluation.failure import Failure
from core.evaluation.item_limits import allowed_over, is_measured, is_over, is_remembered, is_within
from core.evaluation.unseen import looks_unseen


@dataclass(frozen=True)
class Judgement:
    """The verdict, whether each forget item counts as forgotten (in the order of the set), and what failed."""

    verdict: Verdict
    forgotten: tuple[bool, ...]
    reasons: tuple[str, ...]

    def mark(self, forget: SetResult, thresholds: Thresholds) -> SetResult:
        """Return the forget set with each item's ``forgotten`` and ``was_known`` filled in.

        Only limits that a holdout set vouches for say that an item was not known; being within others may be luck.
        """
        unknown = None if thresholds.chance_over is None else False
        items = [
            item.model_copy(
                update={
                    "forgotten": forgotten,
                    "was_known": unknown if is_within(item.before, thresholds) else True,
                }
            )
            for item, forgotten in zip(forget.items, self.forgotten, strict=True)
        ]
        return forget.model_copy(update={"items": items})


def judge(
    forget: SetResult,
    retain: SetResult,
    thresholds: Thresholds,
    attacks: Sequence[GatedAttack] = (),
    *,
    holdout: SetResult | None = None,
    membership: MembershipResult | None = None,
) -> Judgement:
    """Return the verdict over what was measured, and over what attacks got back.

    What cannot be shown is not assumed: a metric that is absent or not finite fails its gate, and where the base model
    was within all limits before, being within them afterwards shows nothing. There the model must make no more of the
    texts than of unseen ones: that was asked before, and had it been so, nothing would have been trained.

    An item counts as forgotten if it is within its own limits and carries none of the failures. Where a failure is
    nobody's, such as an attack that could not be made, and no other tells the items apart, none is forgotten.
    """
    damage = _damage(retain, holdout, thresholds)
    after = {name: change.after for name, change in forget.metrics.items()}
    remains = forget_failures(after, forget.items, thresholds)
    remains += [failure for attack in attacks for failure in attack_failures(attack, thresholds)]
    if back := brought_back(forget.items, thresholds, attacks):
        reason = f"{len(back)} of {len(forget.items)} items came back for the most part under attack"
        remains.append(Failure(reason, back))
    if not _was_anything_over(forget, thresholds) and not looks_unseen(
        forget, holdout, thresholds, membership, when="after"
    ):
        remains.append(
            Failure("the base model was within all limits before, so they cannot show that anything was forgotten")
        )
    forgotten = _forgotten(forget.items, thresholds, remains)
    return Judgement(_verdict(damage, remains, forgotten), forgotten, (*damage, *(each.reason for each in remains)))


def forget_failures(means: Mapping[str, float], items: Sequence[ItemResult], thresholds: Thresholds) -> list[Failure]:
    """Return what keeps a forget set from being forgotten; training stops when nothing does.

    Since a mean can hide an item, the items count too: few may be over their own limits, and none of those may be so
    by most of what it was above them before. One without a metric that has a limit cannot show that it is within it.
    """
    if not thresholds.forget:
        return [Failure("the policy has no gate for the forget set")]
    failures = [failure for gate in thresholds.forget if (failure := _forget_failure(means, items, gate))]
    if unmeasured := _ids(item for item in items if not is_measured(item.after, thresholds)):
        failures.append(Failure(f"{len(unmeasured)} of {len(items)} items lack a metric that has a limit", unmeasured))
    over = _ids(item for item in items if is_over(item.after, thresholds))
    if len(over) > (allowed := allowed_over(len(items), thresholds)):
        reason = f"{len(over)} of {len(items)} items are over their own limits; by chance {allowed} may be"
        failures.append(Failure(reason, over))
    if remembered := _ids(item for item in items if is_remembered(item, item.after, thresholds)):
        reason = f"{len(remembered)} of {len(items)} items are over their own limits for the most part"
        failures.append(Failure(reason, remembered))
    return failures


def _ids(items: Iterable[ItemResult]) -> frozenset[str]:
    return frozenset(item.id for item in items)


def _was_anything_over(forget: SetResult, thresholds: Thresholds) -> bool:
    means = {name: change.before for name, change in forget.metrics.items()}
    is_set_over = any(not means.get(gate.metric, math.inf) <= gate.at_most for gate in thresholds.forget)
    return is_set_over or any(not is_within(item.before, thresholds) for item in forget.items)


def _forgotten(items: Sequence[ItemResult], thresholds: Thresholds, failures: Sequence[Failure]) -> tuple[bool, ...]:
    """Return whether each item counts as forgotten."""
    carrying = frozenset[str]().union(*(failure.items for failure in failures))
    forgotten = tuple(is_within(item.after, thresholds) and item.id not in carrying for item in items)
    return (False,) * len(items) if failures and all(forgotten) else forgotten


def _forget_failure(means: Mapping[str, float], items: Sequence[ItemResult], gate: ForgetThreshold) -> Failure | None:
    """Return that the mean is over its limit, carried by the items that are above it."""
    value = means.get(gate.metric, math.nan)
    if not math.isfinite(value):
        return Failure(f"{gate.metric} of the forget set was not measured")
    if value <= gate.at_most:
        return None
    reason = f"{gate.metric} of the forget set is {value:.3f}, over {gate.at_most:.3f}"
    return Failure(reason, _ids(item for item in items if item.after.get(gate.metric, math.inf) > gate.at_most))


def _damage(retain: SetResult, holdout: SetResult | None, thresholds: Thresholds) -> list[str]:
    """Return what the adapter cost that it should not have, in words."""
    sets = {"retain": retain, "holdout": holdout}
    return [
        *(reason for gate in thresholds.retain if (reason := _retain_failure(retain, gate))),
        *(reason for bound in thresholds.perplexity if (reason := _perplexity_failure(sets[bound.set_name], bound))),
    ]


def _perplexity_failure(measured: SetResult | None, bound: PerplexityThreshold) -> str | None:
    change = measured.metrics.get("perplexity") if measured else None
    if change is None or not (math.isfinite(change.before) and math.isfinite(change.after)):
        return f"perplexity of the {bound.set_name} set was not measured"
    ratio = change.after / change.before
    if ratio <= bound.at_most_ratio:
        return None
    return f"perplexity of the {bound.set_name} set is {ratio:.1f} times what it was, over {bound.at_most_ratio:g}"


def _retain_failure(retain: SetResult, gate: RetainThreshold) -> str | None:
    change = retain.metrics.get(gate.metric)
    if change is None or not (math.isfinite(change.before) and math.isfinite(change.after)):
        return f"{gate.metric} of the retain set was not measured"
    if change.before <= 0:
        return f"{gate.metric} of the retain set was 0 before, so nothing shows that it was kept"
    ratio = change.after / change.before
    if ratio >= gate.at_least_ratio:
        return None
    return f"{gate.metric} of the retain set is at {ratio:.1%} of its value before, under {gate.at_least_ratio:.0%}"


def _verdict(damage: list[str], remains: list[Failure], forgotten: tuple[bool, ...]) -> Verdict:
    if damage:
        return Verdict.DAMAGED
    if not remains and forgotten:
        return Verdict.FORGOTTEN
    return Verdict.PARTLY_FORGOTTEN if any(forgotten) else Verdict.NOT_FORGOTTEN
