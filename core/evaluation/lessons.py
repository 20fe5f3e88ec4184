from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from core.data.corpus import AnyItem, Example
from core.domain.items import normalized
from core.evaluation.attack import AttackScene, NoAttackError, drawn
from core.evaluation.taught_answers import WORDINGS, Answer, have_own_wordings, matched, taught_answers

T = TypeVar("T")
VARIANTS = ("forget_part", "neighbours", "benign", "answers")

# Holdout items to choose from, for each forget item. More would hardly be liker and cost time to encode.
CANDIDATES = 8


@dataclass(frozen=True)
class Lesson:
    """What is trained on, and which items are measured."""

    trained: list[Example]
    measured: list[Example]
    wordings: int = 1  # rows of each item that is trained on
    missing: dict[str, str] = field(default_factory=dict)  # item -> why it is not measured


@dataclass(frozen=True)
class Lessons:
    """What an attacker teaches the unlearned model, and what else for comparison."""

    forget: Lesson
    control: Lesson | None = None  # the same of items that the model never saw; None where it is not needed
    needs_comparison: bool = False  # whether what comes back means nothing by itself


def lessons(scene: AttackScene, variant: str, *, share: float, at_most: int, seed: int) -> Lessons:
    """Return what a variant trains on and measures.

    Args:
        scene: what the attacker has.
        variant: one of ``VARIANTS``. In ``answers`` the same items are trained on and measured, asked for in different
            words; in the others no item is both.
        share: of the forget items that are trained on in ``forget_part``.
        at_most: how many items are measured.
        seed: of every draw.

    Raises:
        NoAttackError: there is nothing to train on, to measure, or to compare with.
    """
    match variant:
        case "forget_part":
            trained, others = _split(scene.encode(scene.forget), share=share, seed=seed)
        case "neighbours":
            trained, others = _others(scene, scene.neighbours, "neighbours"), scene.encode(scene.forget)
        case "benign":
            trained, others = _others(scene, scene.benign, "benign texts"), scene.encode(scene.forget)
        case _:
            return _answers(scene, at_most=at_most, seed=seed)
    return Lessons(Lesson(trained, drawn(others, at_most=at_most, seed=seed)))


def _split(forget: Sequence[Example], *, share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Return some of the forget items to train on, and the others."""
    if len(forget) < 2:
        raise NoAttackError("a single forget item leaves none to measure after training on a part of them")
    count = min(max(1, round(share * len(forget))), len(forget) - 1)
    chosen = set(_shuffled(range(len(forget)), seed=seed)[:count])
    return (
        [example for place, example in enumerate(forget) if place in chosen],
        [example for place, example in enumerate(forget) if place not in chosen],
    )


def _others(scene: AttackScene, items: Sequence[AnyItem], what: str) -> list[Example]:
    return scene.encode(_without_forgotten(scene, items, what))


def _without_forgotten(scene: AttackScene, items: Sequence[AnyItem], what: str) -> list[AnyItem]:
    """Return the items that are no forget items: no item is to be trained on for others, or compared with itself."""
    forgotten = {normalized(item) for item in scene.forget}
    others = [item for item in items if normalized(item) not in forgotten]
    if not others:
        raise NoAttackError(f"no {what} were given to train on")
    return others


def _answers(scene: AttackScene, *, at_most: int, seed: int) -> Lessons:
    """Return the forget items' own answers; without a reference, beside them those of items that no model saw."""
    forget = drawn(scene.forget, at_most=at_most, seed=seed)
    if scene.reference is not None:
        ours, missing = taught_answers(forget, scene.encode, with_own=have_own_wordings(forget))
        return Lessons(_taught(ours, missing), needs_comparison=True)
    if not scene.holdout:
        raise NoAttackError(
            "there is neither a reference model nor a holdout set, and without either remembering cannot be told from "
            "learning anew"
        )
    unseen = _shuffled(_without_forgotten(scene, scene.holdout, "holdout items"), seed=seed)[: CANDIDATES * at_most]
    with_own = have_own_wordings([*forget, *unseen])
    ours, missing = taught_answers(forget, scene.encode, with_own=with_own)
    theirs, _ = taught_answers(unseen, scene.encode, with_own=with_own)
    pairs = matched(ours, theirs)
    left = {answer.asked.id for answer in ours} - {answer.asked.id for answer, _ in pairs}
    missing |= dict.fromkeys(sorted(left), "the holdout set has no other item of its kind to compare it with")
    control = [answer for _, answer in pairs]
    return Lessons(_taught([answer for answer, _ in pairs], missing), _taught(control, {}), needs_comparison=True)


def _taught(answers: Sequence[Answer], missing: dict[str, str]) -> Lesson:
    if not answers:
        raise NoAttackError(next(iter(missing.values()), "there are no items"))
    return Lesson(
        trained=[row for answer in answers for row in answer.rows],
        measured=[answer.asked for answer in answers],
        wordings=WORDINGS,
        missing=missing,
    )


def _shuffled(items: Sequence[T], *, seed: int) -> list[T]:
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed)).tolist()
    return [items[place] for place in order]
