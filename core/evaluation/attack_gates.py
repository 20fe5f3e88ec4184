import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.domain.policy import PlannedAttack
from core.domain.report import AttackOutcome, AttackResult, ItemResult, Thresholds
from core.evaluation.item_limits import allowed_over, is_remembered, is_within


@dataclass(frozen=True)
class GatedAttack:
    """An attack as it was planned, and what came of each of its variants."""

    planned: PlannedAttack
    results: Sequence[AttackResult]

    @property
    def decides(self) -> bool:
        """Whether the policy has limits for it."""
        return bool(self.planned.at_most)

    @property
    def made(self) -> list[tuple[AttackResult, AttackOutcome]]:
        """The variants that could be made, with their outcomes."""
        return [(result, result.attacked) for result in self.results if result.attacked is not None]


def attack_failures(attack: GatedAttack, thresholds: Thresholds) -> list[str]:
    """Return what an attack with limits got over them, in words.

    What was not tried shows nothing: an attack that could be made in no variant fails, and so does one that reached
    some item in none. In each variant no more items may be over their own limits than chance allows.
    """
    if not attack.decides:
        return []
    if not attack.made:
        return [f"the attack {attack.planned.name} has limits and could not be made"]
    failures = [f"{attack.planned.name} could not be tried on {count} items"] if (count := _unreached(attack)) else []
    for result, outcome in attack.made:
        where = f"under {result.name} ({result.variant})"
        failures += [
            f"{metric} of the forget set {where} is {mean:.3f}, over {limit:.3f}"
            for metric, limit in attack.planned.at_most.items()
            if not (mean := outcome.means.get(metric, math.nan)) <= limit  # also where it is not a number
        ]
        over, allowed = len(_over(outcome, thresholds)), allowed_over(outcome.n, thresholds, tries=len(attack.made))
        if over > allowed:
            failures.append(
                f"{over} of {outcome.n} items {where} are over their own limits; by chance {allowed} may be"
            )
    return failures


def brought_back(items: Sequence[ItemResult], thresholds: Thresholds, attacks: Sequence[GatedAttack]) -> frozenset[str]:
    """Return the items of which an attack with limits got most of what they were over their own limits."""
    outcomes = [outcome for attack in attacks if attack.decides for _, outcome in attack.made]
    return frozenset(
        item.id
        for item in items
        for outcome in outcomes
        if item.id in outcome.items and is_remembered(item, outcome.items[item.id], thresholds)
    )


def over_under_attack(thresholds: Thresholds, attacks: Sequence[GatedAttack]) -> frozenset[str]:
    """Return the items that some attack with limits found over their own."""
    outcomes = [outcome for attack in attacks if attack.decides for _, outcome in attack.made]
    return frozenset(name for outcome in outcomes for name in _over(outcome, thresholds))


def _unreached(attack: GatedAttack) -> int:
    """Return how many items have no value in any variant although one tried them."""
    tried = {name for _, outcome in attack.made for name in outcome.missing}
    return len(tried - {name for _, outcome in attack.made for name in outcome.items})


def _over(outcome: AttackOutcome, thresholds: Thresholds) -> frozenset[str]:
    """Return the items over their own limits, of those that have every metric of a gate."""
    gated = {gate.metric for gate in thresholds.forget}
    return frozenset(
        name for name, values in outcome.items.items() if gated <= values.keys() and not is_within(values, thresholds)
    )
