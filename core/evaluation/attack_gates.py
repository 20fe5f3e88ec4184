import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.domain.policy import PlannedAttack
from core.domain.report import AttackOutcome, AttackResult, ItemResult, Thresholds
from core.evaluation.failure import Failure
from core.evaluation.item_limits import allowed_over, is_over, is_remembered


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


def held_to(planned: Sequence[PlannedAttack], thresholds: Thresholds) -> list[PlannedAttack]:
    """Return the attacks with no limit below that of the forget set without an attack.

    A holdout set may raise the latter above what the policy wrote down for an attack: what unseen text reaches when it
    is asked politely, no adapter can keep an attack from reaching.
    """
    least = {gate.metric: gate.at_most for gate in thresholds.forget}
    return [
        attack.model_copy(
            update={"at_most": {name: max(limit, least.get(name, limit)) for name, limit in attack.at_most.items()}}
        )
        for attack in planned
    ]


def attack_failures(attack: GatedAttack, thresholds: Thresholds) -> list[Failure]:
    """Return what an attack with limits got over them.

    What was not tried shows nothing: an attack that could be made in no variant fails, and so does one that reached
    some item in none; a variant that could not be made leaves the limits to the others. In each variant no more items
    may be over their own limits than chance allows.
    """
    if not attack.decides:
        return []
    if not attack.made:
        return [Failure(f"the attack {attack.planned.name} has limits and could not be made")]
    failures = []
    if unreached := _unreached(attack):
        failures.append(Failure(f"{attack.planned.name} could not be tried on {len(unreached)} items", unreached))
    for result, outcome in attack.made:
        where = f"under {result.name} ({result.variant})"
        failures += _mean_failures(attack.planned, outcome, where)
        over = _over(outcome, thresholds)
        allowed = allowed_over(outcome.n, thresholds, tries=len(attack.made), attempts=outcome.attempts)
        if len(over) > allowed:
            reason = f"{len(over)} of {outcome.n} items {where} are over their own limits; by chance {allowed} may be"
            failures.append(Failure(reason, over))
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


def _mean_failures(planned: PlannedAttack, outcome: AttackOutcome, where: str) -> list[Failure]:
    """Return the means over their limits, each carried by the items above it, and those that there are not."""
    failures = []
    for metric, limit in planned.at_most.items():
        mean = outcome.means.get(metric, math.nan)
        if not math.isfinite(mean):
            failures.append(Failure(f"{metric} of the forget set {where} was not measured"))
        elif mean > limit:
            above = frozenset(name for name, values in outcome.items.items() if values[metric] > limit)
            failures.append(Failure(f"{metric} of the forget set {where} is {mean:.3f}, over {limit:.3f}", above))
    return failures


def _unreached(attack: GatedAttack) -> frozenset[str]:
    """Return the items that have no value in any variant although one tried them."""
    tried = {name for _, outcome in attack.made for name in outcome.missing}
    return frozenset(tried - {name for _, outcome in attack.made for name in outcome.items})


def _over(outcome: AttackOutcome, thresholds: Thresholds) -> frozenset[str]:
    """Return the items over any of their own limits on what the attack measures."""
    return frozenset(name for name, values in outcome.items.items() if is_over(values, thresholds))
