import math
from dataclasses import replace

import pytest
import torch

from core.data.corpus import Example
from core.evaluation.attack import NO_REFERENCE, leak, num_tokens
from core.evaluation.attacks.relearning import Relearning, RelearningBudget
from core.evaluation.lessons import VARIANTS, Lesson, Lessons
from tests.fakes.unlearned_model import (
    BENIGN,
    ENCODE,
    FORGET,
    HOLDOUT,
    NEIGHBOURS,
    all_of,
    pair,
    same,
    scene,
    trained_on,
)

BUDGET = RelearningBudget(learning_rates=(2e-3,), share=0.5)
SHORT = RelearningBudget(steps=(0, 2), learning_rates=(2e-3,))
ANSWERS = RelearningBudget(variants=("answers",), steps=(0, 5, 10, 20), learning_rates=(2e-3,))
ES = "extraction_strength"
EM = "exact_memorization"


@pytest.fixture
def full_scene():
    return scene(neighbours=NEIGHBOURS, benign=BENIGN, reference=trained_on([*NEIGHBOURS, *BENIGN]))


def test_memories_come_back_from_a_part_of_them_and_from_their_neighbours(full_scene):
    results = Relearning(BUDGET)(full_scene)

    assert [result.variant for result in results] == [name for name in VARIANTS if name != "answers"]
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

    results = Relearning(RelearningBudget(steps=(0, 3), learning_rates=(1e30,)))(attacked)

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
    """Rows of 5 tokens trained one at a time for 4 steps, with 2 measurements of an item on the way.

    Two rates are tried on the unlearned model, and the strongest on the reference and on what no model saw.
    """
    lesson = Lesson([example(5, "a"), example(5, "b")], [example(5, "c")])
    attack = Relearning(RelearningBudget(steps=(0, 2, 4), batch_size=1))
    both = Relearning(RelearningBudget(steps=(0, 2, 4), batch_size=1, learning_rates=(1e-3, 1e-2)))
    course = 3 * 4 * 5 + 2 * 5

    assert attack._cost(SceneOf(1), Lessons(lesson)) == course
    assert attack._cost(SceneOf(2), Lessons(lesson)) == 2 * course
    assert both._cost(SceneOf(2), Lessons(lesson)) == 3 * course
    assert both._cost(SceneOf(1), Lessons(lesson, Lesson(lesson.trained, [example(9, "d")]))) == 3 * course + 2 * 4


def test_of_many_items_the_seed_draws_those_that_are_measured():
    budgets = [RelearningBudget(steps=(0, 1), max_items=2, seed=seed) for seed in (0, 0, 1)]

    measured = [[list(result.attacked.items) for result in Relearning(budget)(known())] for budget in budgets]

    assert measured[0] == measured[1] != measured[2]
    assert all(len(items) == 2 for items in measured[0])


def known():
    return scene(neighbours=NEIGHBOURS, benign=BENIGN)


class SceneOf:
    def __init__(self, num_models):
        self.num_models = num_models


def example(length, name):
    return Example(name, tuple(range(length)), 1, 0)


@pytest.mark.parametrize("steps", [(), (0,), (1, 2), (0, 5, 5), (0, 9, 3)])
def test_steps_that_are_no_course_are_refused(steps):
    with pytest.raises(ValueError, match="ascend from 0"):
        RelearningBudget(steps=steps)


@pytest.mark.parametrize("rates", [(), (1e-3, 0.0), (-1.0,)])
def test_rates_at_which_nothing_is_learned_are_refused(rates):
    with pytest.raises(ValueError, match="learning_rates"):
        RelearningBudget(learning_rates=rates)


def test_unknown_variants_are_refused_by_name():
    with pytest.raises(ValueError, match="unknown: hypnosis"):
        RelearningBudget(variants=("answers", "hypnosis"))


def test_forgotten_answers_come_back_sooner_than_unseen_ones_are_learned():
    (result,) = Relearning(ANSWERS)(scene(holdout=HOLDOUT))

    assert (result.reference, result.missing["reference"]) == (None, NO_REFERENCE)
    assert result.attacked.n == result.control.n == len(FORGET)
    assert set(result.attacked.items) == {item.id for item in FORGET}
    assert set(result.control.items) < {item.id for item in HOLDOUT}
    assert result.summary[f"area_between_{EM}"] > 0.15
    assert result.budget["trained_items"] == len(FORGET)
    assert result.budget["wordings"] == 4


def test_forgotten_answers_come_back_sooner_than_a_model_that_never_knew_learns_them():
    attacked = scene(holdout=HOLDOUT, reference=trained_on([*NEIGHBOURS, *BENIGN]))

    (result,) = Relearning(ANSWERS)(attacked)

    assert result.control is None  # the reference is the better comparison
    assert result.reference.items.keys() == result.attacked.items.keys()
    assert result.summary[f"area_between_{EM}"] > 0.15


def test_answers_are_no_evidence_without_anything_to_compare_them_with():
    (result,) = Relearning(ANSWERS)(scene())

    assert result.attacked is None
    assert result.absent.startswith("there is neither a reference model nor a holdout set")


def test_answers_are_no_evidence_where_the_attack_fails_on_the_reference():
    attacked = scene(holdout=HOLDOUT, reference=trained_on(BENIGN))
    with torch.no_grad():
        attacked.reference.get_output_embeddings().weight.fill_(math.nan)

    (result,) = Relearning(ANSWERS)(attacked)

    assert result.absent.startswith("there is nothing to compare it with; on the reference model: fine-tuning diverged")


def test_unseen_items_are_trained_on_the_model_as_it_is_delivered():
    attacked = scene(holdout=HOLDOUT)

    (result,) = Relearning(ANSWERS)(attacked)

    chosen = [item for item in HOLDOUT if item.id in result.control.items]
    halves = [item for item in chosen if hasattr(item, "prompt")]
    found = leak(attacked.model, ENCODE(halves), pad_id=256)
    alone = {name: values for name, values in result.control.items.items() if name in found.items}
    assert alone.keys() == found.items.keys()
    assert all(alone[name][EM] >= values[EM] for name, values in found.items.items())  # step 0 is one of the attempts


def test_the_strongest_rate_is_reported_and_the_control_learns_at_the_same():
    attacked = scene(holdout=HOLDOUT)
    alone = {rate: Relearning(replace(ANSWERS, learning_rates=(rate,)))(attacked)[0] for rate in (1e-6, 5e-3)}

    (result,) = Relearning(replace(ANSWERS, learning_rates=(1e-6, 5e-3)))(attacked)

    assert result.budget["learning_rate"] == 5e-3
    assert result.budget["learning_rates_tried"] == 2
    assert (result.attacked, result.control) == (alone[5e-3].attacked, alone[5e-3].control)


def test_a_rate_at_which_training_diverges_is_told_and_another_one_taken():
    (result,) = Relearning(replace(ANSWERS, steps=(0, 3), learning_rates=(1e30, 2e-3)))(scene(holdout=HOLDOUT))

    assert result.budget["learning_rate"] == 2e-3
    assert result.missing["learning_rate_1e+30"].startswith("fine-tuning diverged at step 2")


def test_cost_of_answers_is_what_is_reported_and_the_passes_without_training():
    attacked, budget = scene(holdout=HOLDOUT), replace(ANSWERS, steps=(0, 2))
    taught = Relearning(budget)._lessons(attacked, "answers")

    (result,) = Relearning(budget)(attacked)

    plain = 2 * num_tokens(taught.forget.measured) + num_tokens(taught.control.measured)
    assert Relearning(budget).cost(attacked) == result.budget["forward_tokens"] + plain


def test_a_broken_model_has_no_numbers_and_says_so():
    attacked = scene(neighbours=NEIGHBOURS)
    with torch.no_grad():
        attacked.model.get_output_embeddings().weight.fill_(math.nan)

    result, *_ = Relearning(SHORT)(attacked)

    assert "diverged" in result.absent
