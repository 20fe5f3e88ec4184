import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.domain.report import ForgetThreshold, ItemResult, RetainThreshold, SetResult, Thresholds, Verdict
from core.evaluation.attack_gates import GatedAttack, attack_failures, brought_back, over_under_attack
from core.evaluation.item_limits import allowed_over, is_remembered, is_within


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
        unknown = False if all(gate.holdout_mean is not None for gate in thresholds.forget) else None
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
    forget: SetResult, retain: SetResult, thresholds: Thresholds, attacks: Sequence[GatedAttack] = ()
) -> Judgement:
    """Return the verdict over two measured sets, and over what attacks got back.

    What cannot be shown is not assumed: a metric that is absent or not finite fails its gate, and where the base model
    was within all limits before, being within them afterwards shows nothing.
    """
    after = {name: change.after for name, change in forget.metrics.items()}
    damage = [reason for gate in thresholds.retain if (reason := _retain_failure(retain, gate))]
    remains = forget_failures(after, forget.items, thresholds)
    remains += [reason for attack in attacks for reason in attack_failures(attack, thresholds)]
    back = brought_back(forget.items, thresholds, attacks)
    if back:
        remains.append(f"{len(back)} of {len(forget.items)} items came back for the most part under attack")
    if not _was_anything_over(forget, thresholds):
        remains.append("the base model was within all limits before, so they cannot show that anything was forgotten")
    forgotten = tuple(is_within(item.after, thresholds) and item.id not in back for item in forget.items)
    if remains and all(forgotten):
        forgotten = _blameless(forget.items, thresholds, over_under_attack(thresholds, attacks))
    return Judgement(_verdict(damage, remains, forgotten), forgotten, (*damage, *remains))


def forget_failures(means: Mapping[str, float], items: Sequence[ItemResult], thresholds: Thresholds) -> list[str]:
    """Return what keeps a forget set from being forgotten, in words; training stops when nothing does.

    Since a mean can hide an item, the items count too: few may be over their own limits, and none of those may have
    kept most of what it was above them.
    """
    if not thresholds.forget:
        return ["the policy has no gate for the forget set"]
    failures = [reason for gate in thresholds.forget if (reason := _forget_failure(means, gate))]
    over = [item for item in items if not is_within(item.after, thresholds)]
    allowed = allowed_over(len(items), thresholds)
    if len(over) > allowed:
        failures.append(f"{len(over)} of {len(items)} items are over their own limits; by chance {allowed} may be")
    remembered = sum(_is_unmeasured(item, thresholds) or is_remembered(item, item.after, thresholds) for item in over)
    if remembered:
        failures.append(
            f"{remembered} of {len(items)} items are over their own limits and kept most of what they were above them"
        )
    return failures


def _is_unmeasured(item: ItemResult, thresholds: Thresholds) -> bool:
    return any(gate.metric not in item.after for gate in thresholds.forget)


def _was_anything_over(forget: SetResult, thresholds: Thresholds) -> bool:
    means = {name: change.before for name, change in forget.metrics.items()}
    is_set_over = any(not means.get(gate.metric, math.inf) <= gate.at_most for gate in thresholds.forget)
    return is_set_over or any(not is_within(item.before, thresholds) for item in forget.items)


def _blameless(items: Sequence[ItemResult], thresholds: Thresholds, attacked: frozenset[str]) -> tuple[bool, ...]:
    """Return which items count as forgotten where each passes by itself and the set as a whole does not.

    Those that are above what the set may be on average, or over their own limits under attack, carry the failure. Where
    there are none, nothing tells the items apart.
    """
    blameless = tuple(
        item.id not in attacked
        and all(item.after.get(gate.metric, math.inf) <= gate.at_most for gate in thresholds.forget)
        for item in items
    )
    return (False,) * len(items) if all(blameless) else blameless


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


def _verdict(damage: list[str], remains: list[str], forgotten: tuple[bool, ...]) -> Verdict:
    if damage:
        return Verdict.DAMAGED
    if not remains and forgotten:
        return Verdict.FORGOTTEN
    return Verdict.PARTLY_FORGOTTEN if any(forgotten) else Verdict.NOT_FORGOTTEN
