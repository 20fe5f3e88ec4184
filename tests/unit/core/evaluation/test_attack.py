import pytest

from core.domain.report import AttackPoint
from core.evaluation.attack import leak, num_tokens, worst
from core.evaluation.evaluate import evaluate
from tests.fakes.unlearned_model import ENCODE, FORGET, pair, scene, text


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
