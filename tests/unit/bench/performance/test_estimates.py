import pytest

from bench.performance.estimates import Foreseen, _listed
from bench.performance.overhead import Served
from cli.client import EstimateView
from tests.unit.api.report_example import a_report


def foreseen(likely, *, took):
    duration = None if likely is None else {"low": None, "likely": likely, "high": None}
    estimate = EstimateView.model_validate(
        {
            "duration_seconds": duration,
            "start_seconds": None,
            "peak_memory_bytes": None,
            "device_memory_bytes": None,
            "queue_wait_seconds": None,
            "steps": None,
            "stages": {},
            "based_on": None,
            "absent": {"duration_seconds": "nothing has been measured"},
        }
    )
    report = a_report("job_1").model_copy(update={"timings_seconds": {"train": took - 1.0, "package": 1.0}})
    return Foreseen(estimate, Served(report, queued_for=0.1, ran_for=took + 9.0))


def test_an_estimate_is_off_by_the_same_factor_in_either_direction():
    assert foreseen(10.0, took=8.0).off_by == pytest.approx(1.25)
    assert foreseen(8.0, took=10.0).off_by == pytest.approx(1.25)


def test_a_job_without_estimate_is_no_figure():
    with pytest.raises(RuntimeError, match="nothing has been measured"):
        _ = foreseen(None, took=1.0).ratio


def test_sizes_are_listed_in_words():
    assert _listed([1, 4, 32]) == "1, 4 and 32"
