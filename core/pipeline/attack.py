from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from core.domain.items import TextItem
from core.domain.policy import PlannedAttack
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
    benign texts are the general corpus, where there is one.
    """
    model = brought(reference, base.device)
    return AttackScene(
        base=base,
        adapter=adapter,
        encode=encoder_of(task, base),
        forget=sets.forget_items,
        neighbours=sets.retain_items,
        benign=task.general.items if task.general else (),
        shots=[item for item in sets.retain_items if not isinstance(item, TextItem)],
        reference=model,
        no_reference=NO_REFERENCE if reference is None else NO_MEMORY,
    )
