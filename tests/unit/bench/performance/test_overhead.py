import pytest

from bench.performance.overhead import Served, _many_items, _overhead, _second_job
from tests.unit.core.packaging.reports import make_report

STAGES = {"prepare": 0.1, "fisher": 0.5, "train": 1.2}


def served(*, ran_for=2.0, queued_for=0.1, from_cache=True):
    report = make_report(timings_seconds=STAGES)
    fisher = report.fisher.model_copy(update={"retain_from_cache": from_cache})
    return Served(report.model_copy(update={"fisher": fisher}), queued_for=queued_for, ran_for=ran_for)


def test_overhead_is_what_is_in_no_stage_and_once_with_the_wait():
    ran, waited, first = _overhead(served(ran_for=9.0), [served(), served(ran_for=2.2), served(ran_for=2.4)])

    assert (ran.low, ran.figure, ran.high) == pytest.approx((0.2, 0.4, 0.6))
    assert (waited.low, waited.figure, waited.high) == pytest.approx((0.3, 0.5, 0.7))
    assert first.figure == pytest.approx(7.3)
    assert first.target is None


@pytest.mark.parametrize(("from_cache", "computing", "reading"), [(True, 0.0, 0.25), (False, 0.25, 0.0)])
def test_stage_counts_as_computing_unless_the_report_says_that_it_read(from_cache, computing, reading):
    found = _second_job(served(from_cache=False), served(from_cache=from_cache))

    assert [row.figure for row in found] == pytest.approx([computing, reading, 0.25])
    assert found[0].target.is_met(found[0].figure) is from_cache


def test_many_items_are_compared_with_one_pair_by_pair():
    row = _many_items([(served(ran_for=2.0), served(ran_for=4.0)), (served(ran_for=4.0), served(ran_for=12.0))])

    assert (row.low, row.figure, row.high) == (2.0, 2.5, 3.0)
