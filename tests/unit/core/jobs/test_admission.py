from datetime import timedelta

import pytest

from core.domain.device import LiveWorker
from core.domain.errors import DoesNotFitError
from tests.fakes.clock import START
from tests.fakes.examples import CPU, a_measurement, a_workload

MODEL = "ab" * 32
NEEDED = 4 * 6_000_000 + 20 * 100_000  # weights and adapter, before anything was measured


def a_worker(owner="host/1", *, memory=None, seen_at=START):
    device = None if memory is None else CPU.model_copy(update={"memory_bytes": memory})
    return LiveWorker(owner=owner, device=device, seen_at=seen_at)


@pytest.fixture
def admit(admission, workers):
    def with_workers(*those, workload=None):
        for worker in those:
            workers.seen(worker)
        admission(workload or a_workload(), MODEL)

    return with_workers


def test_a_job_that_fits_nowhere_is_refused_with_the_numbers(admit):
    with pytest.raises(DoesNotFitError) as refused:
        admit(a_worker("host/1", memory=10 * 2**20), a_worker("host/2", memory=12 * 2**20))

    assert "at least 25 MiB" in str(refused.value)
    assert "the largest worker has 12 MiB" in str(refused.value)
    assert "batch_size" in str(refused.value)
    assert refused.value.param == "/method"


def test_a_job_that_fits_one_worker_is_admitted(admit):
    admit(a_worker("host/1", memory=1), a_worker("host/2", memory=NEEDED))


def test_a_job_is_admitted_where_nothing_is_known(admit):
    admit()
    admit(a_worker("host/1"))
    admit(a_worker("host/2", memory=1))


def test_workers_that_are_gone_do_not_count(admit):
    gone = START - timedelta(seconds=61)

    with pytest.raises(DoesNotFitError):
        admit(a_worker("host/1", seen_at=gone), a_worker("host/2", memory=1), a_worker("host/3", memory=2))


def test_what_jobs_took_counts_beside_what_is_surely_there(admit, measurements):
    for peak in (190 * 2**20, 200 * 2**20):
        measurements.add(a_measurement(peak=peak))
    admit(a_worker(memory=300 * 2**20))

    with pytest.raises(DoesNotFitError, match=r"at least 1[89][0-9] MiB"):
        admit(a_worker(memory=150 * 2**20))


def test_a_batch_beyond_what_was_measured_is_not_refused_by_what_it_might_take(admit, measurements):
    for _ in range(2):
        measurements.add(a_measurement(a_workload(batch=100), peak=100 * 2**20))

    admit(a_worker(memory=101 * 2**20), workload=a_workload(batch=100_000))
