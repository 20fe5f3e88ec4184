import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.domain.policy import PlannedAttack
from core.domain.report import (
    AttackResult,
    ForgetThreshold,
    ItemResult,
    RetainThreshold,
    SetResult,
    Thresholds,
    Verdict,
)
from core.evaluation.bootstrap import MIN_ITEMS

# Of text that a model never saw, this share of items lies over the limit of an item: it is their 95th percentile.
CHANCE_OVER = 0.05
# An item that kept more than this share of what it had above its limit is remembered, whatever the others are.
REMEMBERED_SHARE = 0.5


@dataclass(frozen=True)
class GatedAttack:
    """An attack as it was planned, and what came of each of its variants."""

    planned: PlannedAttack
    results: Sequence[AttackResult]


@dataclass(frozen=True)
class Judgement:
    """The verdict, whether each forget item passes its own gates (in the order of the set), and what failed."""

    verdict: Verdict
    forgotten: tuple[bool, ...]
    reasons: tuple[str, ...]

    def mark(self, forget: SetResult, thresholds: Thresholds) -> SetResult:
        """Return the forget set with each item's ``forgotten`` and ``was_known`` filled in."""
        items = [
            item.model_copy(
                update={"forgotten": forgotten, "was_known": not _passes(item.before, thresholds)},
            )
            for item, forgotten in zip(forget.items, self.forgotten, strict=True)
        ]
        return forget.model_copy(update={"items": items})


def judge(
    forget: SetResult, retain: SetResult, thresholds: Thresholds, attacks: Sequence[GatedAttack] = ()
) -> Judgement:
    """Return the verdict over two measured sets, and over what attacks got back.

    What cannot be shown is not assumed: a metric that is absent or not finite fails its gate. A run that changed
    nothing passes only where there was nothing to forget.
    """
    after = {name: change.after for name, change in forget.metrics.items()}
    damage = [reason for gate in thresholds.retain if (reason := _retain_failure(retain, gate))]
    remains = forget_failures(after, forget.items, thresholds)
    back = _brought_back(forget.items, thresholds, attacks)
    remains += [reason for attack in attacks for reason in _attack_failures(attack)]
    if back:
        remains.append(f"{len(back)} of {len(forget.items)} items came back for the most part under attack")
    forgotten = tuple(_passes(item.after, thresholds) and item.id not in back for item in forget.items)
    return Judgement(_verdict(damage, remains, forgotten), forgotten, (*damage, *remains))


def judge_untouched(forget: SetResult, holdout: SetResult | None, thresholds: Thresholds) -> Judgement | None:
    """Return that no action is needed, or None where it is or where nobody can tell.

    The base model must make no more of the texts than of texts that it never saw, each of them and as a set. Only a
    holdout set says what it makes of those, and only one that is itself within the limits.
    """
    if holdout is None or not all(_is_vouched_for(gate, holdout) for gate in thresholds.forget):
        return None
    before = {name: change.before for name, change in forget.metrics.items()}
    unknown = tuple(_passes(item.before, thresholds) for item in forget.items)
    as_measured = [item.model_copy(update={"after": item.before}) for item in forget.items]
    if not all(unknown) or forget_failures(before, as_measured, thresholds):
        return None
    return Judgement(Verdict.NO_ACTION_NEEDED, unknown, ())


def forget_failures(means: Mapping[str, float], items: Sequence[ItemResult], thresholds: Thresholds) -> list[str]:
    """Return what keeps a forget set from being forgotten, in words; training stops when nothing does.

    Since a mean can hide an item, the items count too: few may be over their own limits, and none of those may have
    kept most of what it was above them.
    """
    if not thresholds.forget:
        return ["the policy has no gate for the forget set"]
    failures = [reason for gate in thresholds.forget if (reason := _forget_failure(means, gate))]
    over = [item for item in items if not _passes(item.after, thresholds)]
    allowed = over_by_chance(len(items))
    if len(over) > allowed:
        failures.append(f"{len(over)} of {len(items)} items are over their own limits; by chance {allowed} may be")
    remembered = sum(_is_remembered(item, thresholds) for item in over)
    if remembered:
        failures.append(
            f"{remembered} of {len(items)} items are over their own limits and kept most of what they were above them"
        )
    return failures


def over_by_chance(count: int) -> int:
    """Return how many of so many items may be over their limits before it is no chance any more.

    The 95 % quantile of the binomial distribution: of items that were never seen, each is over with probability
    ``CHANCE_OVER``, and more than this many are so in at most one set of twenty.
    """
    mass, over = 0.0, -1
    while mass < 1 - CHANCE_OVER and over < count:
        over += 1
        mass += math.comb(count, over) * CHANCE_OVER**over * (1 - CHANCE_OVER) ** (count - over)
    return max(over, 0)


def _forget_failure(metrics: Mapping[str, float], gate: ForgetThreshold) -> str | None:
    value = metrics.get(gate.metric, math.nan)
    if not math.isfinite(value):
        return f"{gate.metric} of the forget set was not measured"
    return None if value <= gate.at_most else f"{gate.metric} of the forget set is {value:.3f}, over {gate.at_most:.3f}"


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


def _is_vouched_for(gate: ForgetThreshold, holdout: SetResult) -> bool:
    """Return whether the base model's holdout mean is known and within the limit, wherever the limit is from."""
    change = holdout.metrics.get(gate.metric)
    return change is not None and change.n >= MIN_ITEMS and change.before <= gate.at_most


def _attack_failures(attack: GatedAttack) -> list[str]:
    """Return what a planned attack got over its limits; one that could not be made in any variant fails them all."""
    limits = attack.planned.at_most
    made = [result for result in attack.results if result.attacked is not None]
    if limits and not made:
        return [f"the attack {attack.planned.name} has limits and could not be made"]
    failures = []
    for result in made:
        means = {} if result.attacked is None else result.attacked.means
        for metric, limit in limits.items():
            value = means.get(metric, math.nan)
            if not value <= limit:  # also where it is not a number
                what = f"{metric} of the forget set under {result.name} ({result.variant})"
                failures.append(f"{what} is {value:.3f}, over {limit:.3f}")
    return failures


def _brought_back(items: Sequence[ItemResult], thresholds: Thresholds, attacks: Sequence[GatedAttack]) -> set[str]:
    """Return the items of which an attack with limits got most of what they were over their own limits."""
    outcomes = [
        result.attacked
        for attack in attacks
        if attack.planned.at_most
        for result in attack.results
        if result.attacked is not None
    ]
    under_attack = [
        item.model_copy(update={"after": outcome.items[item.id]})
        for item in items
        for outcome in outcomes
        if item.id in outcome.items
    ]
    return {item.id for item in under_attack if _came_back(item, thresholds)}


def _came_back(item: ItemResult, thresholds: Thresholds) -> bool:
    return any(
        item.after[gate.metric] > gate.item_at_most + REMEMBERED_SHARE * _excess(item, gate)
        for gate in thresholds.forget
        if gate.metric in item.after
    )


def _passes(values: Mapping[str, float], thresholds: Thresholds) -> bool:
    """Return whether an item has every gate metric and is within each; NaN compares false."""
    within = [values.get(gate.metric, math.nan) <= gate.item_at_most for gate in thresholds.forget]
    return bool(within) and all(within)


def _is_remembered(item: ItemResult, thresholds: Thresholds) -> bool:
    return any(
        item.after.get(gate.metric, math.inf) > gate.item_at_most + REMEMBERED_SHARE * _excess(item, gate)
        for gate in thresholds.forget
    )


def _excess(item: ItemResult, gate: ForgetThreshold) -> float:
    return max(0.0, item.before.get(gate.metric, 0.0) - gate.item_at_most)


def _verdict(damage: list[str], remains: list[str], forgotten: tuple[bool, ...]) -> Verdict:
    if damage:
        return Verdict.DAMAGED
    if not remains and forgotten:
        return Verdict.FORGOTTEN
    return Verdict.PARTLY_FORGOTTEN if any(forgotten) else Verdict.NOT_FORGOTTEN
