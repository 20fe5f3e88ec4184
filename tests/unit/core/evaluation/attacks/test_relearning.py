import math

import pytest
import torch

from core.data.corpus import Example
from core.domain.report import AttackOutcome, AttackPoint
from core.evaluation.attack import NO_REFERENCE, leak, num_tokens
from core.evaluation.attacks.relearning import (
    VARIANTS,
    Relearning,
    RelearningBudget,
    _area_between,
    _Lesson,
    _steps_to_half,
)
from tests.fakes.unlearned_model import (
    BENIGN,
    ENCODE,
    FORGET,
    NEIGHBOURS,
    all_of,
    pair,
    same,
    scene,
    trained_on,
)

BUDGET = RelearningBudget(learning_rate=2e-3, share=0.5)
SHORT = RelearningBudget(steps=(0, 2), learning_rate=2e-3)
ES = "extraction_strength"
EM = "exact_memorization"


@pytest.fixture
def full_scene():
    return scene(neighbours=NEIGHBOURS, benign=BENIGN, reference=trained_on([*NEIGHBOURS, *BENIGN]))


def course(*values):
    points = [AttackPoint(x=10 * place, means={ES: value}, n=3) for place, value in enumerate(values)]
    return AttackOutcome(items={}, means={}, n=3, curve=points)


def level(value):
    return AttackOutcome(items={}, means={ES: value}, n=3)


def test_memories_come_back_from_a_part_of_them_and_from_their_neighbours(full_scene):
    results = Relearning(BUDGET)(full_scene)

    assert [result.variant for result in results] == list(VARIANTS)
    for result in results:
        first, *rest = [point.means[EM] for point in result.attacked.curve]
        assert max(rest) > first + 0.05
        assert max(point.means[EM] for point in result.reference.curve) < 0.3
        assert result.attacked.means[EM] >= max(rest)  # an attacker stops at each item's best
        assert result.summary[f"area_between_{EM}"] > 0.3
        assert result.missing[f"reference_steps_to_half_{EM}"] == "not reached within 40 steps"


def test_the_models_are_afterwards_what_they_were_bit_for_bit(full_scene):
    models = [full_scene.model, full_scene.reference]
    before = [(all_of(model), [(name, id(module)) for name, module in model.named_modules()]) for model in models]
    modes = [(model.training, [p.requires_grad for p in model.parameters()]) for model in models]

    Relearning(SHORT)(full_scene)

    for model, (tensors, modules) in zip(models, before, strict=True):
        assert same(tensors, all_of(model))
        assert [(name, id(module)) for name, module in model.named_modules()] == modules
        assert all(parameter.grad is None for parameter in model.parameters())
    assert [(model.training, [p.requires_grad for p in model.parameters()]) for model in models] == modes


def test_an_attack_that_diverges_is_absent_and_leaves_the_model_as_it_was():
    attacked = scene(neighbours=NEIGHBOURS)
    before, leaked = all_of(attacked.model), leak(attacked.model, ENCODE(FORGET), pad_id=256)

    results = Relearning(RelearningBudget(steps=(0, 3), learning_rate=1e30))(attacked)

    assert {result.variant: result.absent for result in results} == {
        "forget_part": "fine-tuning diverged at step 2: give it a lower learning rate",
        "neighbours": "fine-tuning diverged at step 2: give it a lower learning rate",
        "benign": "no benign texts were given to train on",
    }
    assert same(before, all_of(attacked.model))
    assert leak(attacked.model, ENCODE(FORGET), pad_id=256) == leaked


def test_the_course_begins_where_the_unlearned_model_is(full_scene):
    results = Relearning(SHORT)(full_scene)

    for result in results:
        assert result.attacked.curve[0].means == result.unattacked.means
    assert results[1].unattacked == leak(full_scene.model, ENCODE(FORGET), pad_id=256)


def test_the_summary_names_what_the_model_showed_before_unlearning(full_scene):
    (_, neighbours, _) = Relearning(SHORT)(full_scene)

    with full_scene.adapter.disabled():
        original = leak(full_scene.model, ENCODE(FORGET), pad_id=256)
    assert neighbours.summary[f"original_{ES}"] == original.means[ES] > 0.9


@pytest.mark.parametrize(("share", "trained"), [(0.1, 1), (0.5, 3), (1.0, 5)])
def test_items_that_are_trained_on_are_not_measured(share, trained):
    result, *_ = Relearning(RelearningBudget(steps=(0, 1), share=share))(scene())

    assert result.budget["trained_items"] == trained
    assert result.attacked.n == len(FORGET) - trained
    assert set(result.attacked.items) < {item.id for item in FORGET}


def test_a_single_forget_item_leaves_none_to_measure():
    result, *_ = Relearning(SHORT)(scene(forget=FORGET[:1]))

    assert result.attacked is None
    assert result.absent == "a single forget item leaves none to measure after training on a part of them"


def test_neighbours_that_are_forget_items_are_not_trained_on():
    copies = tuple(item.model_copy(update={"id": f"copy-{place}"}) for place, item in enumerate(FORGET))

    (_, mixed, _) = Relearning(SHORT)(scene(neighbours=(*copies, pair(6))))
    (_, nothing_else, _) = Relearning(SHORT)(scene(neighbours=copies))

    assert mixed.budget["trained_items"] == 1
    assert nothing_else.absent == "no neighbours were given to train on"


def test_without_a_reference_its_course_is_missing_with_the_reason():
    result, *_ = Relearning(SHORT)(scene())

    assert result.reference is None
    assert result.missing["reference"] == NO_REFERENCE
    assert not any(name.startswith(("area", "reference")) for name in result.summary)


def test_the_seed_decides_and_the_global_generator_does_not():
    torch.manual_seed(1)
    first = Relearning(SHORT)(scene())
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = Relearning(SHORT)(scene())

    assert first == second
    assert torch.equal(torch.get_rng_state(), state)


def test_cost_grows_with_each_part_of_the_budget_and_is_what_is_reported():
    scenes = [scene(), scene(neighbours=NEIGHBOURS), scene(neighbours=NEIGHBOURS, reference=trained_on(NEIGHBOURS))]
    costs = [Relearning(SHORT).cost(each) for each in scenes]
    by_budget = [
        Relearning(budget).cost(scenes[1])
        for budget in (
            RelearningBudget(steps=(0, 2), batch_size=1),
            RelearningBudget(steps=(0, 2), batch_size=4),
            RelearningBudget(steps=(0, 1, 2), batch_size=4),
            RelearningBudget(steps=(0, 1, 9), batch_size=4),
        )
    ]

    assert costs == sorted(set(costs))
    assert by_budget == sorted(set(by_budget))
    results = Relearning(SHORT)(scenes[1])
    plain = 2 * num_tokens(ENCODE(FORGET))  # of all variants, with the adapter and without
    assert sum(result.budget["forward_tokens"] for result in results if not result.absent) + plain == costs[1]


def test_cost_by_hand():
    """Two items of 5 tokens trained one at a time for 4 steps, with 2 measurements of the other item on the way."""
    budget = RelearningBudget(steps=(0, 2, 4), batch_size=1, share=0.6)
    lesson = _Lesson(*Relearning(budget)._split([example(5, "a"), example(5, "b"), example(5, "c")]))

    assert Relearning(budget)._cost(AloneScene(), lesson) == 3 * 4 * 5 + 2 * 5


def test_of_many_items_the_seed_draws_those_that_are_measured():
    budgets = [RelearningBudget(steps=(0, 1), max_items=2, seed=seed) for seed in (0, 0, 1)]

    measured = [[list(result.attacked.items) for result in Relearning(budget)(known())] for budget in budgets]

    assert measured[0] == measured[1] != measured[2]
    assert all(len(items) == 2 for items in measured[0])


def known():
    return scene(neighbours=NEIGHBOURS, benign=BENIGN)


class AloneScene:
    num_models = 1


def example(length, name):
    return Example(name, tuple(range(length)), 1, 0)


def test_steps_to_half_lie_on_the_line_between_two_points():
    assert _steps_to_half(course(0.1, 0.3, 0.7), level(1.0), ES) == pytest.approx(15.0)
    assert _steps_to_half(course(0.6, 0.3), level(1.0), ES) == 0.0


def test_area_between_is_the_mean_distance_of_the_courses():
    assert _area_between(course(0.0, 0.4, 0.4), course(0.0, 0.0, 0.0), ES) == pytest.approx((2.0 + 4.0) / 20)
    assert _area_between(course(0.1, 0.2), course(0.3, 0.4), ES) == pytest.approx(-0.2)


@pytest.mark.parametrize("steps", [(), (0,), (1, 2), (0, 5, 5), (0, 9, 3)])
def test_steps_that_are_no_course_are_refused(steps):
    with pytest.raises(ValueError, match="ascend from 0"):
        RelearningBudget(steps=steps)


def test_a_broken_model_has_no_numbers_and_says_so():
    attacked = scene(neighbours=NEIGHBOURS)
    with torch.no_grad():
        attacked.model.get_output_embeddings().weight.fill_(math.nan)

    result, *_ = Relearning(SHORT)(attacked)

    assert "diverged" in result.absent
