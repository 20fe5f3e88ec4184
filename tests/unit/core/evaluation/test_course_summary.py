import pytest

from core.domain.report import AttackOutcome, AttackPoint
from core.evaluation.attack import NoAttackError
from core.evaluation.bootstrap import bootstrap_interval, difference_interval
from core.evaluation.course_summary import Courses, area_between, steps_to_half

ES, EM = "extraction_strength", "exact_memorization"


def course(*values):
    points = [AttackPoint(x=10 * place, means={ES: value, EM: value}, n=3) for place, value in enumerate(values)]
    return AttackOutcome(items={}, means={}, n=3, curve=points)


def level(value):
    return AttackOutcome(items={}, means={ES: value, EM: value}, n=3)


def outcome(values, *, name="item", at=(0.0, 0.0)):
    items = {f"{name}-{place}": {ES: value, EM: value} for place, value in enumerate(values)}
    return course(*at).model_copy(update={"items": items, "n": len(items)})


def test_steps_to_half_lie_on_the_line_between_two_points():
    assert steps_to_half(course(0.1, 0.3, 0.7), level(1.0), ES) == pytest.approx(15.0)
    assert steps_to_half(course(0.6, 0.3), level(1.0), ES) == 0.0


def test_half_that_is_never_reached_is_no_number():
    with pytest.raises(NoAttackError, match="within 10 steps"):
        steps_to_half(course(0.1, 0.3), level(1.0), ES)


def test_area_between_is_the_mean_distance_of_the_courses():
    assert area_between(course(0.0, 0.4, 0.4), course(0.0, 0.0, 0.0), ES) == pytest.approx((2.0 + 4.0) / 20)
    assert area_between(course(0.1, 0.2), course(0.3, 0.4), ES) == pytest.approx(-0.2)


ATTACKED = outcome([0.5, 0.7] * 4, at=(0.0, 0.6))


def test_against_the_reference_the_difference_is_over_the_same_items():
    reference = outcome([0.4, 0.4] * 4, at=(0.0, 0.4))

    numbers, missing = Courses(ATTACKED, level(1.0), reference).summary()

    assert numbers[f"difference_{ES}"] == pytest.approx(0.2)
    interval = (numbers[f"difference_low_{ES}"], numbers[f"difference_high_{ES}"])
    assert interval == pytest.approx(bootstrap_interval([0.1, 0.3] * 4, seed=0))
    assert numbers[f"area_between_{ES}"] == pytest.approx(0.1)
    assert numbers[f"steps_to_half_{ES}"] == pytest.approx(10 * 0.5 / 0.6)
    assert missing[f"reference_steps_to_half_{ES}"] == "not reached within 10 steps"
    assert f"control_steps_to_half_{ES}" not in numbers | missing


def test_against_a_control_each_side_has_items_of_its_own():
    control = outcome([0.1, 0.3, 0.2] * 3, name="other", at=(0.0, 0.2))

    numbers, missing = Courses(ATTACKED, level(1.0), control=control).summary()

    assert numbers[f"difference_{EM}"] == pytest.approx(0.4)
    interval = (numbers[f"difference_low_{EM}"], numbers[f"difference_high_{EM}"])
    assert interval == difference_interval([0.5, 0.7] * 4, [0.1, 0.3, 0.2] * 3, seed=0)
    assert missing[f"control_steps_to_half_{EM}"] == "not reached within 10 steps"


@pytest.mark.parametrize(
    ("attacked", "given"),
    [
        (outcome([0.5] * 7), {"reference": outcome([0.1] * 9)}),
        (ATTACKED, {"control": outcome([0.1] * 7, name="other")}),
        (outcome([0.5] * 7), {"control": outcome([0.1] * 9, name="other")}),
    ],
)
def test_a_difference_over_few_items_is_absent_with_the_reason(attacked, given):
    numbers, missing = Courses(attacked, level(1.0), **given).summary()

    assert missing[f"difference_{ES}"] == "7 items; at least 8 needed for an interval"
    assert not any(name.startswith("difference") for name in numbers)


def test_without_anything_to_compare_with_nothing_is_compared():
    numbers, missing = Courses(ATTACKED, level(1.0)).summary()

    assert numbers.keys() == {f"{name}_{metric}" for name in ("original", "steps_to_half") for metric in (ES, EM)}
    assert missing == {}
