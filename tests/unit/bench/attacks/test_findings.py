import pytest

from bench.attacks.findings import STRENGTH, at_rate, gap, gap_to_unseen, peak, strongest, strongest_rates
from core.domain.report import AttackOutcome, AttackPoint, AttackResult


def outcome(values, *, course=()):
    items = {f"item-{place}": {STRENGTH: value} for place, value in enumerate(values)}
    curve = [AttackPoint(x=step, means={STRENGTH: mean}, n=len(values)) for step, mean in enumerate(course)]
    return AttackOutcome(items=items, means={STRENGTH: sum(values) / len(values)}, n=len(values), curve=curve)


def relearnt(variant, rate, course):
    attacked = outcome([0.0], course=course)
    return AttackResult(name="relearning", variant=variant, budget={"learning_rate": rate}, attacked=attacked)


def test_gap_is_the_mean_difference_and_lies_within_its_interval():
    found = gap(outcome([0.5, 0.7] * 5), outcome([0.1, 0.2] * 5))

    assert found.mean == pytest.approx(0.45)
    assert found.low <= found.mean <= found.high
    assert found.sign == 1


def test_gap_of_equal_outcomes_decides_nothing():
    assert gap(outcome([0.1] * 10), outcome([0.1] * 10)).sign == 0


def test_gap_is_over_items_that_both_have():
    assert gap(outcome([1.0] * 12), outcome([0.0] * 9)).n == 9


def test_gap_of_too_few_items_is_absent():
    assert gap(outcome([1.0] * 7), outcome([0.0] * 7)) is None


def test_peak_is_where_an_attacker_would_stop():
    assert peak(outcome([0.0], course=(0.1, 0.6, 0.2))) == 0.6


def test_the_strongest_rate_is_the_one_with_the_highest_peak():
    results = [
        relearnt("forget_part", 1e-3, (0.0, 0.1)),
        relearnt("forget_part", 1e-2, (0.0, 0.3)),
        relearnt("neighbours", 1e-3, (0.0, 0.9)),
        AttackResult(name="relearning", variant="forget_part", absent="fine-tuning diverged"),
    ]

    assert strongest(results, "forget_part") is results[1]
    assert strongest(results, "benign") is None
    assert strongest_rates(results) == {1e-2: ["forget_part"], 1e-3: ["neighbours"]}
    assert at_rate(results, "neighbours", 1e-3) is results[2]


def test_gap_to_unseen_items_is_the_one_that_the_attack_reports():
    numbers = {f"difference_{end}{STRENGTH}": value for end, value in (("", 0.2), ("low_", 0.1), ("high_", 0.3))}
    made = relearnt("answers", 1e-3, (0.0, 0.1)).model_copy(update={"control": outcome([0.0]), "summary": numbers})

    assert str(gap_to_unseen(made)) == "+0.200 [+0.100, +0.300]"
    assert gap_to_unseen(made.model_copy(update={"summary": {}})) is None
    assert gap_to_unseen(made.model_copy(update={"control": None})) is None
    assert gap_to_unseen(None) is None
