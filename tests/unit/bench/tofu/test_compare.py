import pytest

from bench.tofu.compare import judged, paired
from bench.tofu.runs import FULL, REFERENCE
from tests.unit.bench.tofu.runs import make_run


def test_a_paired_difference_has_the_interval_of_student():
    found = paired({1: 0.5, 2: 0.7, 3: 0.9}, {1: 0.4, 2: 0.5, 3: 0.6, 4: 0.0})

    # Differences 0.1, 0.2, 0.3: standard deviation 0.1; 4.302653 is the 97.5 % quantile of two degrees of freedom.
    reach = 4.302653 * 0.1 / 3**0.5
    assert found.num_seeds == 3
    assert (found.low, found.mean, found.high) == pytest.approx((0.2 - reach, 0.2, 0.2 + reach), rel=1e-6)
    assert found.sign == 0  # 0.248 around 0.2 holds zero


def test_one_seed_is_no_interval():
    assert paired({1: 0.5, 2: 0.1}, {1: 0.4, 3: 0.2}) is None


def test_a_run_is_judged_by_the_reference_of_its_own_seed():
    rows = judged([make_run(REFERENCE, 1), make_run(FULL, 1, shift=5.0), make_run(FULL, 2)])

    assert rows[1].quality.ks_distance == 1.0
    assert rows[2].quality is None  # that seed has no reference


def test_a_reference_is_judged_by_that_of_another_seed():
    rows = judged([make_run(REFERENCE, 1), make_run(REFERENCE, 2, shift=5.0)])

    assert [row.quality.ks_distance for row in rows] == [1.0, 1.0]
    assert judged([make_run(REFERENCE, 1)])[0].quality is None
