import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.domain.report import ForgetThreshold, ItemResult, RetainThreshold, SetResult, Thresholds, Verdict

# Of text that a model never saw, this share of items lies over the limit of an item: it is their 95th percentile.
CHANCE_OVER = 0.05
# An item that kept more than this share of what it had above its limit is remembered, whatever the others are.
REMEMBERED_SHARE = 0.5


@dataclass(frozen=True)
class Judgement:
    """The verdict, whether each forget item passes its own gates (in the order of the set), and what failed."""

    verdict: Verdict
    forgotten: tuple[bool, ...]
    reasons: tuple[str, ...]

    def mark(self, forget: SetResult) -> SetResult:
        """Return the forget set with each item's ``forgotten`` filled in."""
        pairs = zip(forget.items, self.forgotten, strict=True)
        items = [item.model_copy(update={"forgotten": forgotten}) for item, forgotten in pairs]
        return forget.model_copy(update={"items": items})


def judge(forget: SetResult, retain: SetResult, thresholds: Thresholds) -> Judgement:
    """Return the verdict over two measured sets.

    What cannot be shown is not assumed: a metric that is absent or not finite fails its gate. A run that changed
    nothing passes only where there was nothing to forget.
    """
    after = {name: change.after for name, change in forget.metrics.items()}
    damage = [reason for gate in thresholds.retain if (reason := _retain_failure(retain, gate))]
    remains = forget_failures(after, forget.items, thresholds)
    forgotten = tuple(_passes(item, thresholds) for item in forget.items)
    return Judgement(_verdict(damage, remains, forgotten), forgotten, (*damage, *remains))


def forget_failures(means: Mapping[str, float], items: Sequence[ItemResult], thresholds: Thresholds) -> list[str]:
    """Return what keeps a forget set from being forgotten, in words; training stops when nothing does.

    Since a mean can hide an item, the items count too: few may be over their own limits, and none of those may have
    kept most of what it was above them.
    """
    if not thresholds.forget:
        return ["the policy has no gate for the forget set"]
    failures = [reason for gate in thresholds.forget if (reason := _forget_failure(means, gate))]
    over = [item for item in items if not _passes(item, thresholds)]
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


def _passes(item: ItemResult, thresholds: Thresholds) -> bool:
    """Return whether the item has every gate metric and is within each; NaN compares false."""
    within = [item.after.get(gate.metric, math.nan) <= gate.item_at_most for gate in thresholds.forget]
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
