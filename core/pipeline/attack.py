from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from core.domain.items import TextItem
from core.domain.policy import PlannedAttack, Policy
from core.evaluation.attack import NO_MEMORY, NO_REFERENCE, Attack, AttackScene
from core.evaluation.attack_gates import GatedAttack
from core.evaluation.attacks import ATTACKS
from core.modeling.adapter import Adapter
from core.modeling.base_model import BaseModel
from core.pipeline.reference import Reference, brought
from core.pipeline.sets import EncodedSets, encoder_of
from core.pipeline.task import RunTask

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Plan:
    """The attacks that are made, in the order of the policy, and by label why each other one of its attacks is not."""

    attacks: tuple[PlannedAttack, ...]
    left_out: dict[str, str]


def plan_attacks(policy: Policy, scene: AttackScene, *, trained_tokens: int | None) -> Plan:
    """Return which attacks of a policy are made within what it lets them cost.

    Those with limits are all made, for a gate that was not tried has failed. Those that are only shown are made as long
    as they fit in what is left, in order.

    Args:
        policy: names the attacks, and the most that they may cost as a share of the training.
        scene: what they would be made on.
        trained_tokens: of the training, None where nothing was trained, so there is no bound.
    """
    if policy.attack_share is None or trained_tokens is None:
        return Plan(policy.attacks, {})
    costs = [attack_of(attack).cost(scene) for attack in policy.attacks]
    planned = list(zip(policy.attacks, costs, strict=True))
    left = policy.attack_share * trained_tokens - sum(cost for attack, cost in planned if attack.at_most)
    made, left_out = [], {}
    for attack, cost in planned:
        if not attack.at_most and cost > left:
            left_out[attack.label] = (
                f"it would cost {cost} forward tokens; of the {policy.attack_share:g} times the training's that policy "
                f"{policy.name} allows, {max(0, int(left))} are left"
            )
            continue
        left -= 0 if attack.at_most else cost
        made.append(attack)
    return Plan(tuple(made), left_out)


def made_attacks(
    planned: Sequence[PlannedAttack], scene: AttackScene, on_step: Callable[[], None]
) -> list[GatedAttack]:
    """Make attacks, one after the other, each on the model as it was before; each is a step."""
    made = []
    for attack in planned:
        made.append(_made(attack, scene))
        on_step()
    return made


def _made(planned: PlannedAttack, scene: AttackScene) -> GatedAttack:
    results = attack_of(planned)(scene)
    return GatedAttack(planned, [result.model_copy(update={"at_most": planned.at_most}) for result in results])


def attack_of(planned: PlannedAttack) -> Attack:
    """Return the attack with the budget that the policy gives it."""
    attack = cast("DataclassInstance", ATTACKS[planned.name])
    budget = replace(ATTACKS[planned.name].budget, **planned.budget)
    return cast("Attack", replace(attack, budget=budget))


def attack_scene(
    task: RunTask, base: BaseModel, adapter: Adapter, sets: EncodedSets, reference: Reference | None
) -> AttackScene:
    """Return what the attacker has: the model, and texts beside those that were forgotten.

    Measured retain rows stand in for the neighbours of the forget items, and their pairs are what a prompt shows;
    benign texts are the general corpus, where there is one. The holdout set is what a lesson is compared with.
    """
    model = brought(reference, base.device)
    return AttackScene(
        base=base,
        adapter=adapter,
        encode=encoder_of(task, base),
        forget=sets.forget_items,
        neighbours=sets.retain_items,
        benign=task.general.items if task.general else (),
        holdout=sets.holdout_items,
        shots=[item for item in sets.retain_items if not isinstance(item, TextItem)],
        reference=model,
        no_reference=NO_REFERENCE if reference is None else NO_MEMORY,
    )
