from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import torch
from transformers import PreTrainedModel

from core.data.batches import training_batch
from core.domain.report import AttackOutcome, AttackPoint, AttackResult
from core.evaluation.attack import (
    BACKWARD_COST,
    AttackScene,
    Bystander,
    NoAttackError,
    leak,
    num_tokens,
    on_reference,
    result_of,
    worst,
)
from core.evaluation.course_summary import Courses
from core.evaluation.fine_tuning import plain_lora, take_step
from core.evaluation.lessons import VARIANTS, Lesson, Lessons, lessons

NAME = "relearning"
# By the peak of this metric's mean a learning rate is the strongest.
PEAK = "extraction_strength"


@dataclass(frozen=True)
class RelearningBudget:
    """What the attacker may spend on each variant.

    Policies of old say only what they change of these defaults, so a default stays what it is.

    Raises:
        ValueError: ``steps`` does not ascend from 0, there is no learning rate, or a variant is unknown.
    """

    variants: tuple[str, ...] = ("forget_part", "neighbours", "benign")  # of ``VARIANTS``
    steps: tuple[int, ...] = (0, 5, 10, 20, 40)  # after which it is measured; the last one ends it
    batch_size: int = 8
    learning_rates: tuple[float, ...] = (1e-3,)  # constant; of several the strongest is reported
    rank: int = 16
    share: float = 0.1  # of the forget items that the attacker has in ``forget_part``
    max_items: int = 128  # measured; drawn by the seed where there are more
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no course."""
        if self.steps[:1] != (0,) or len(self.steps) < 2 or any(a >= b for a, b in pairwise(self.steps)):
            raise ValueError("steps must ascend from 0 and name at least one more")
        if not self.learning_rates or min(self.learning_rates) <= 0:
            raise ValueError("learning_rates must name at least one, and only numbers above 0")
        if unknown := set(self.variants) - set(VARIANTS):
            raise ValueError(f"variants must be of {', '.join(VARIANTS)}; unknown: {', '.join(sorted(unknown))}")


@dataclass(frozen=True)
class Relearning:
    """Fine-tune the unlearned model a little and see what comes back.

    A fresh plain LoRA on every linear layer is trained on top of the base model and the frozen unlearning adapter. It
    stands in the model's tree for that time only, so afterwards the model is what it was.

    References:
        Hu et al., ICLR 2025, https://arxiv.org/abs/2406.13356 (benign texts, a part of the forget set).
        Deeb and Roger, 2024, https://arxiv.org/abs/2410.08827 (other facts of the same kind).
    """

    budget: RelearningBudget = field(default_factory=RelearningBudget)

    def cost(self, scene: AttackScene) -> int:
        """See :class:`Attack`. Exact but for padding."""
        made: list[Lessons] = []
        for variant in self.budget.variants:
            with suppress(NoAttackError):  # costs nothing
                made.append(self._lessons(scene, variant))
        # Without the attack each item is measured once, whatever the variants: a forget item on every model and without
        # the adapter, one that no model saw on the unlearned model.
        plain = num_tokens(dict.fromkeys(example for each in made for example in each.forget.measured))
        unseen = num_tokens({example for each in made if each.control for example in each.control.measured})
        return sum(self._cost(scene, each) for each in made) + (scene.num_models + 1) * plain + unseen

    def __call__(self, scene: AttackScene) -> list[AttackResult]:
        """Return a result for each source of training texts, with the course over the steps.

        An item's worst value is its largest along the course, where the attacker would stop.
        """
        return [result_of(NAME, variant, partial(self._variant, scene, variant)) for variant in self.budget.variants]

    def _variant(self, scene: AttackScene, variant: str) -> AttackResult:
        taught = self._lessons(scene, variant)
        rate, attacked, failed = self._strongest(scene, taught.forget)
        course = partial(self._course, scene, rate=rate)
        reference, missing = on_reference(scene, lambda model: course("reference", model, taught.forget))
        if taught.needs_comparison and reference is None and taught.control is None:
            raise NoAttackError(f"there is nothing to compare it with; on the reference model: {missing['reference']}")
        control = course("unlearned", scene.model, taught.control) if taught.control else None
        original = scene.plain_leak("original", taught.forget.measured)
        summary, unknown = Courses(attacked, original, reference, control).summary()
        return AttackResult(
            name=NAME,
            variant=variant,
            budget=self._spent(scene, taught, rate),
            attacked=attacked,
            unattacked=scene.plain_leak("unlearned", taught.forget.measured),
            reference=reference,
            control=control,
            summary=summary,
            missing=missing | failed | unknown,
        )

    def _lessons(self, scene: AttackScene, variant: str) -> Lessons:
        budget = self.budget
        return lessons(scene, variant, share=budget.share, at_most=budget.max_items, seed=budget.seed)

    def _strongest(self, scene: AttackScene, lesson: Lesson) -> tuple[float, AttackOutcome, dict[str, str]]:
        """Return the rate that gets most out of the unlearned model, with what it gets, and the rates that failed."""
        found: dict[float, AttackOutcome] = {}
        failed: dict[str, str] = {}
        for rate in self.budget.learning_rates:
            try:
                found[rate] = self._course(scene, "unlearned", scene.model, lesson, rate=rate)
            except NoAttackError as error:
                failed[f"learning_rate_{rate:g}"] = str(error)
        if not found:
            raise NoAttackError(next(iter(failed.values())))
        rate = max(found, key=lambda rate: _peak(found[rate]))
        return rate, found[rate], failed

    def _course(
        self, scene: AttackScene, bystander: Bystander, model: PreTrainedModel, lesson: Lesson, *, rate: float
    ) -> AttackOutcome:
        """Return what the measured items leak along the course of the training, which begins at the model as it is."""
        budget, pad_id = self.budget, scene.base.pad_id
        found = [scene.plain_leak(bystander, lesson.measured)]
        with plain_lora(model, rank=budget.rank, seed=budget.seed) as parameters:
            optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
            for step in range(budget.steps[-1]):
                rows = [lesson.trained[at] for at in self._batch(lesson, step)]
                take_step(model, rows, optimizer, parameters, pad_id=pad_id, step=step)
                if step + 1 in budget.steps:
                    found.append(leak(model, lesson.measured, pad_id=pad_id))
        points = zip(budget.steps, found, strict=True)
        return worst(
            ((name, values) for outcome in found for name, values in outcome.items.items()),
            missing=lesson.missing | {name: reason for outcome in found for name, reason in outcome.missing.items()},
            curve=[AttackPoint(x=step, means=outcome.means, n=outcome.n) for step, outcome in points],
        )

    def _batch(self, lesson: Lesson, step: int) -> list[int]:
        return training_batch(lesson.trained, batch_size=self.budget.batch_size, step=step, seed=self.budget.seed)

    def _cost(self, scene: AttackScene, taught: Lessons) -> int:
        """Return what the courses of a variant cost: each rate on the unlearned model, the strongest elsewhere."""
        courses = len(self.budget.learning_rates) + scene.num_models - 1
        control = 0 if taught.control is None else self._course_cost(taught.control)
        return courses * self._course_cost(taught.forget) + control

    def _course_cost(self, lesson: Lesson) -> int:
        steps = range(self.budget.steps[-1])
        trained = sum(num_tokens(lesson.trained[at] for at in self._batch(lesson, step)) for step in steps)
        return BACKWARD_COST * trained + (len(self.budget.steps) - 1) * num_tokens(lesson.measured)

    def _spent(self, scene: AttackScene, taught: Lessons, rate: float) -> dict[str, int | float]:
        lesson = taught.forget
        return {
            "steps": self.budget.steps[-1],
            "batch_size": min(self.budget.batch_size, len(lesson.trained)),
            "learning_rate": rate,
            "learning_rates_tried": len(self.budget.learning_rates),
            "rank": self.budget.rank,
            "trained_items": len(lesson.trained) // lesson.wordings,
            "wordings": lesson.wordings,
            "seed": self.budget.seed,
            "forward_tokens": self._cost(scene, taught),
        }


def _peak(outcome: AttackOutcome) -> float:
    return max((point.means.get(PEAK, 0.0) for point in outcome.curve), default=0.0)
