import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.jobs.line import Point, Range, cost_of

SIZES = st.lists(st.floats(1, 1e9), min_size=2, max_size=12)


def on_line(works, *, overhead=5.0, rate=0.01):
    return [Point(work, overhead + rate * work) for work in works]


@given(works=SIZES, work=st.floats(1, 1e9), overhead=st.floats(0, 1e3), rate=st.floats(1e-6, 1e3))
def test_a_line_is_found_again_wherever_it_is_asked(works, work, overhead, rate):
    works = [*works, min(works) / 3]  # far enough apart for a line
    if any(max(other, work) <= 1.25 * min(other, work) for other in works):
        return  # then the points of like size are asked instead

    found = cost_of(work, on_line(works, overhead=overhead, rate=rate))

    assert found.likely == pytest.approx(overhead + rate * work, rel=1e-4)


def test_a_line_is_found_again_with_two_of_eight_points_far_off():
    points = on_line([100, 200, 400, 800, 1600, 3200])
    points += [Point(500, 900.0), Point(1500, 0.0)]

    assert cost_of(10_000, points).likely == pytest.approx(5 + 0.01 * 10_000, rel=0.05)


def test_what_was_measured_at_this_size_goes_before_any_line():
    points = [*on_line([100, 10_000]), Point(1000, 70.0), Point(1010, 72.0), Point(990, 500.0)]

    assert cost_of(1000, points).likely == 72.0


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (400, Range(10.0, 20.0, 40.0)),  # all overhead: 10, none: 40, and in between by the same factor: 20
        (25, Range(2.5, 5.0, 10.0)),
        (0, Range(0.0, 0.0, 10.0)),
    ],
)
def test_measurements_of_one_size_leave_open_what_part_grows(work, expected):
    assert cost_of(work, [Point(100, 9.0), Point(100, 10.0), Point(110, 30.0)]) == expected


def test_what_reads_nothing_costs_what_it_cost():
    points = [Point(0, 3.0), Point(0, 5.0), Point(0, 4.0)]

    assert cost_of(0, points).likely == 4.0
    assert cost_of(50, points).likely == 4.0


def test_a_cost_that_falls_with_the_work_is_taken_for_overhead():
    assert cost_of(5000, [Point(100, 12.0), Point(1000, 10.0), Point(300, 11.0)]).likely == 11.0


def test_an_overhead_below_zero_is_none():
    points = [Point(100, 1.0), Point(200, 3.0), Point(1000, 30.0)]  # by the first two, 50 would cost nothing

    assert cost_of(10_000, points).likely == pytest.approx(10_000 * 0.015)


@given(
    points=st.lists(st.tuples(st.integers(0, 10**15), st.floats(0, 1e6)), min_size=1, max_size=10),
    work=st.integers(0, 10**15),
)
def test_no_cost_is_negative_and_the_ends_hold_what_is_likely(points, work):
    found = cost_of(work, [Point(*point) for point in points])

    assert 0 <= found.low <= found.likely <= found.high < math.inf
