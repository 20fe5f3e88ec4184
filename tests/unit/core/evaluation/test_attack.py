import pytest

from core.domain.report import AttackPoint
from core.evaluation.attack import NoAttackError, drawn, leak, num_tokens, worst
from core.evaluation.evaluate import evaluate
from tests.fakes.unlearned_model import BENIGN, ENCODE, FORGET, pair, scene, text, trained_on


def test_of_several_attempts_the_largest_value_of_each_metric_counts():
    found = worst([("a", {"x": 0.1, "y": 0.9}), ("b", {"x": 0.5, "y": 0.5}), ("a", {"x": 0.3, "y": 0.2})])

    assert found.items == {"a": {"x": 0.3, "y": 0.9}, "b": {"x": 0.5, "y": 0.5}}
    assert found.means == {"x": pytest.approx(0.4), "y": pytest.approx(0.7)}
    assert found.n == 2


def test_an_item_is_missing_only_if_no_attempt_at_it_has_values():
    found = worst([("a", {}), ("b", {}), ("b", {"x": 0.5})], missing={"a": "broken", "b": "broken"})

    assert (found.items, found.missing, found.n) == ({"b": {"x": 0.5}}, {"a": "broken"}, 1)


def test_nothing_has_no_mean():
    assert worst([], curve=[AttackPoint(x=0, means={}, n=0)]).means == {}


def test_what_items_leak_is_what_the_evaluation_measures():
    model = scene().model

    found, expected = leak(model, ENCODE(FORGET), pad_id=256), evaluate(model, ENCODE(FORGET), pad_id=256)

    for name in ("extraction_strength", "exact_memorization"):
        assert [values[name] for values in found.items.values()] == expected.values(name)
        assert found.means[name] == pytest.approx(expected.metrics[name])


def test_two_items_of_one_id_are_refused():
    with pytest.raises(ValueError, match="same id"):
        scene(forget=[pair(1), text(2).model_copy(update={"id": "item-1"})])


def test_tokens_of_a_pass_are_counted_with_their_prompts():
    assert num_tokens(ENCODE([pair(1), pair(2)])) == 2 * (len("Code 1 is uvwxyz.") + 1)  # and the end of sequence


def counted(model):
    """The passes that a model makes from here on."""
    rows = []
    getattr(model, model.base_model_prefix).register_forward_pre_hook(
        lambda _module, _args, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    return rows


def test_without_an_attack_each_item_is_measured_once_for_each_model():
    attacked = scene(reference=trained_on(BENIGN))
    rows, examples = counted(attacked.model), ENCODE(FORGET)

    first = attacked.plain_leak("unlearned", examples[:4])
    again = attacked.plain_leak("unlearned", examples[2:])

    assert sum(rows) == len(FORGET)
    assert first == leak(attacked.model, examples[:4], pad_id=256)
    assert again == leak(attacked.model, examples[2:], pad_id=256)
    assert attacked.plain_leak("reference", examples) == leak(attacked.reference, examples, pad_id=256)
    with attacked.adapter.disabled():
        assert leak(attacked.model, examples, pad_id=256) == attacked.plain_leak("original", examples)
    assert attacked.plain_leak("original", examples) != attacked.plain_leak("unlearned", examples)


def test_what_a_reference_leaks_is_no_number_without_one():
    with pytest.raises(NoAttackError, match="no reference model"):
        scene().plain_leak("reference", ENCODE(FORGET))


@pytest.mark.parametrize("at_most", [1, 3, 9, 20])
def test_drawn_items_keep_their_order_and_are_the_same_for_a_seed(at_most):
    first, second, other = (drawn(range(9), at_most=at_most, seed=seed) for seed in (0, 0, 1))

    assert first == second == sorted(set(first))
    assert len(first) == min(at_most, 9)
    assert (first == other) == (at_most >= 9)
