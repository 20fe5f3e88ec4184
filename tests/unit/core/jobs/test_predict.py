import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.measurement import Measurement
from core.jobs.predict import duration, fits, likely_steps, peak_memory, stage_seconds, start
from tests.fakes.examples import CPU, a_measurement, a_workload

WEIGHTS = 4 * 6_000_000  # bytes of float32
ADAPTER = 20 * 100_000  # bytes of the entries, their anchors, gradients and two moments
TOKEN = 4 * 20_000  # bytes that a token of the widest batch keeps


def took(tokens: int, seconds: float, *, peak: int | None = None) -> Measurement:
    return a_measurement(a_workload(tokens=tokens), seconds=seconds, peak=peak)


def simulated(tokens: int, *, noise: random.Random) -> Measurement:
    """Return what a job of this size takes where each stage has an overhead, a rate and some noise of its own."""
    workload = a_workload(tokens=tokens)
    read = workload.tokens | {"fisher": 0}  # the statistics are there
    seconds = {
        stage: (1 + place + 0.002 * (1 + place) * read.get(stage, 0)) * noise.uniform(0.9, 1.1)
        for place, stage in enumerate(a_measurement().seconds)
    }
    return a_measurement(workload).model_copy(update={"seconds": seconds})


@given(seed=st.integers(0, 2**32), tokens=st.lists(st.integers(100, 100_000), min_size=0, max_size=8))
def test_a_job_whose_twin_just_ran_is_estimated_within_30_percent(seed, tokens):
    noise = random.Random(seed)
    twin, *others = (simulated(size, noise=noise) for size in (5000, *tokens))

    again = simulated(5000, noise=noise)

    likely = duration(again.workload, [twin, *others]).likely
    assert abs(likely / sum(again.seconds.values()) - 1) <= 0.3


@given(seed=st.integers(0, 2**32), tokens=st.integers(100, 100_000))
def test_jobs_of_other_sizes_tell_what_one_of_a_new_size_takes(seed, tokens):
    noise = random.Random(seed)
    measured = [simulated(size, noise=noise) for size in (200, 700, 3000, 12_000, 40_000, 90_000)]
    job = simulated(tokens, noise=noise)

    likely = duration(job.workload, measured).likely

    assert abs(likely / sum(job.seconds.values()) - 1) <= 0.3


def test_each_stage_follows_its_own_measurements():
    slow = took(1000, 10.0)
    slow = slow.model_copy(update={"seconds": {**slow.seconds, "train": 100.0}})

    stages = stage_seconds(a_workload(tokens=1000), [slow, slow])

    assert stages["train"].likely == 100.0
    assert stages["package"].likely == 10.0
    assert list(stages) == list(slow.seconds)


def trained(tokens: int, steps: int, seconds: float) -> Measurement:
    job = took(tokens, 10.0)
    return job.model_copy(update={"steps": steps, "seconds": {**job.seconds, "train": seconds}})


def test_training_follows_the_steps_that_it_took_and_not_those_of_its_schedule():
    # One step of 120 passes 25 tokens of a small job and 200 of a large one, at a second for 100 tokens.
    measured = [trained(3000, 20, 5.0), trained(24_000, 90, 180.0)]

    assert likely_steps(a_workload(tokens=12_000), measured) == pytest.approx(20 + 70 * 9 / 21)
    stages = stage_seconds(a_workload(tokens=12_000), measured)
    assert stages["train"].likely == pytest.approx(50 * 100 / 100)


def test_training_never_takes_more_steps_than_its_schedule():
    measured = [trained(1000, 40, 5.0), trained(10_000, 110, 50.0)]

    assert likely_steps(a_workload(tokens=100_000), measured) == 120


def test_a_method_without_steps_has_none():
    edit = a_workload().model_copy(update={"steps": None})

    assert likely_steps(edit, [took(1000, 1.0)]) is None
    assert likely_steps(a_workload(), [took(1000, 1.0).model_copy(update={"steps": None})]) is None
    assert stage_seconds(edit, [took(1000, 7.0).model_copy(update={"steps": None, "workload": edit})])["train"]


def test_the_start_is_between_a_runner_that_stayed_and_a_new_one():
    starts = [took(1000, 1.0).model_copy(update={"start_seconds": seconds}) for seconds in (0.25, 12.0, 0.5)]

    found = start(starts)

    assert (found.low, found.likely, found.high) == (0.25, 0.5, 12.0)
    assert start(starts[1:2]).model_dump() == {"low": None, "likely": 12.0, "high": None}


def test_a_single_measurement_leaves_both_ends_open():
    found = duration(a_workload(tokens=1000), [took(1000, 10.0)])

    assert (found.low, found.likely, found.high) == (None, 80.0, None)  # eight stages


def test_the_ends_are_where_measured_jobs_were_off_what_the_others_predict():
    measured = [took(1000, seconds) for seconds in (8.0, 10.0, 10.0, 10.0, 12.0)]

    found = duration(a_workload(tokens=1000), measured)

    assert found.likely == 80.0
    assert found.low == pytest.approx(64.0)  # the one of 8 s was predicted as 10 s
    assert found.high == pytest.approx(96.0)


def test_a_size_never_measured_opens_the_ends_by_what_may_grow():
    measured = [took(1000, 10.0), took(1000, 10.0)]  # both took 60 of 120 steps

    found = duration(a_workload(tokens=4000), measured)

    # Package and statistics that are there read nothing; five stages read four times as much, and training may
    # take twice the steps for it, 120.
    assert found.low == pytest.approx(80.0)
    assert found.likely == pytest.approx(10 * (2 + 5 * 2 + math.sqrt(8)))
    assert found.high == pytest.approx(10 * (2 + 5 * 4 + 8))


def test_statistics_that_an_earlier_job_left_cost_nothing_again():
    cold = took(1000, 10.0).model_copy(update={"reused_statistics": False})
    mine = a_workload(tokens=1000)
    brings_its_own = mine.model_copy(update={"shares_statistics": False})
    other_method = mine.model_copy(update={"method": "reglu"})

    assert stage_seconds(mine, [cold])["fisher"].likely == 0.0
    assert stage_seconds(brings_its_own, [cold])["fisher"].likely == 10.0
    assert stage_seconds(other_method, [cold])["fisher"].likely == 10.0


def test_work_is_scaled_by_parameters():
    larger = a_workload(tokens=1000).model_copy(update={"num_parameters": 24_000_000})

    stages = stage_seconds(larger, [took(1000, 10.0)])

    assert stages["train"].likely == pytest.approx(20.0)
    assert (stages["train"].low, stages["train"].high) == (10.0, 40.0)


@pytest.mark.parametrize(("kind", "weights"), [("cpu", WEIGHTS), ("cuda", WEIGHTS // 2), (None, WEIGHTS // 2)])
def test_before_any_measurement_only_the_least_memory_is_known(kind, weights):
    found = peak_memory(a_workload(), kind, [])

    assert (found.low, found.likely, found.high) == (weights + ADAPTER, None, None)


def test_a_device_that_does_not_tell_its_peak_leaves_memory_open():
    assert peak_memory(a_workload(), "cpu", [took(1000, 1.0, peak=None)]).likely is None


def test_memory_beside_the_weights_follows_adapter_and_batch():
    def measured(batch: int) -> Measurement:
        needs = WEIGHTS + 50_000_000 + 2 * (ADAPTER + batch * TOKEN)
        return a_measurement(a_workload(batch=batch), peak=needs)

    found = peak_memory(a_workload(batch=3000), "cpu", [measured(100), measured(400), measured(1000)])

    assert found.likely == pytest.approx(WEIGHTS + 50_000_000 + 2 * (ADAPTER + 3000 * TOKEN), rel=0.01)


def test_the_least_memory_of_a_batch_never_measured_is_what_a_smaller_one_took():
    measured = [a_measurement(a_workload(batch=100), peak=WEIGHTS + 100_000_000)] * 2

    found = peak_memory(a_workload(batch=10_000), "cpu", measured)

    assert found.low == WEIGHTS + 100_000_000
    assert found.likely > 3 * found.low


def test_a_single_measurement_refuses_nothing_beyond_what_is_there_anyway():
    found = peak_memory(a_workload(), "cpu", [a_measurement(peak=2**30)])

    assert (found.low, found.likely, found.high) == (WEIGHTS + ADAPTER, 2**30, None)


@given(
    tokens=st.integers(0, 5000),
    measured=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 400)), max_size=6),
    mebibytes=st.integers(1, 1000),
)
def test_a_job_fits_where_the_least_that_it_needs_does(tokens, measured, mebibytes):
    device = CPU.model_copy(update={"memory_bytes": mebibytes << 20})
    workload = a_workload(batch=tokens)
    jobs = [a_measurement(a_workload(batch=batch), peak=peak << 20) for batch, peak in measured]

    least = peak_memory(workload, device.kind, jobs).low

    assert fits(workload, device, jobs) == (least <= device.memory_bytes)
