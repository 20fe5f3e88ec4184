from datetime import timedelta

import pytest

from core.domain.catalog import LawOptions, LokuOptions
from core.domain.device import LiveWorker
from core.domain.errors import DoesNotFitError, ItemTooLongError
from core.domain.items import FactItem, TextItem
from core.jobs.estimate import EstimateJob
from core.jobs.intake import Limits
from core.jobs.submission import CheckSubmission, Submission
from tests.fakes.base_model_repository import FakeBaseModelRepository
from tests.fakes.clock import START
from tests.fakes.examples import (
    BASE_MODEL,
    CPU,
    TENANT,
    a_base_model,
    a_job,
    a_measurement,
    a_probe,
    a_request,
)
from tests.fakes.item_store import FakeItemStore

GPU = CPU.model_copy(update={"kind": "cuda", "name": "a GPU"})


@pytest.fixture
def items():
    return FakeItemStore()


@pytest.fixture
def base_models():
    repository = FakeBaseModelRepository()
    repository.add(a_base_model())
    repository.add(a_base_model("old").model_copy(update={"sizes": None}))
    return repository


@pytest.fixture
def estimate(base_models, items, admission, jobs, clock):
    limits = Limits(max_forget_items=3, max_retain_items=3, max_item_characters=40)
    check = CheckSubmission(base_models, items, limits, lambda _model, _item: 20, admission)
    return EstimateJob(check, admission, jobs, clock)


def asked(*, base_model=BASE_MODEL, method=None, item=None):
    forget = (item or TextItem(text="a secret"),)
    return Submission(TENANT, base_model, forget, None, method or LokuOptions(), None, {})


@pytest.fixture
def workload(estimate):
    return estimate.check(asked()).workload


def alive(workers, owner="host/1", *, device=CPU):
    workers.seen(LiveWorker(owner=owner, device=device, seen_at=START))


def add_job(jobs, workload, *, age=0.0):
    job = a_job(created_at=START - timedelta(seconds=age)).model_copy(update={"workload": workload})
    jobs.add(a_request(job), job, [])
    return job


def test_before_anything_ran_all_but_the_least_memory_is_absent_with_a_reason(estimate):
    found = estimate(asked())

    assert (found.duration_seconds, found.stages, found.based_on) == (None, {}, None)
    assert (found.device_memory_bytes, found.queue_wait_seconds) == (None, None)
    assert found.peak_memory_bytes.low > 2 * 6_000_000
    assert found.steps == 120
    assert found.absent.keys() == {
        "duration_seconds",
        "start_seconds",
        "based_on",
        "peak_memory_bytes.likely",
        "device_memory_bytes",
        "queue_wait_seconds",
    }
    assert found.absent["queue_wait_seconds"] == "no worker is alive"


def test_a_job_like_those_that_ran_is_estimated_from_them(estimate, measurements, workers, workload):
    alive(workers)
    for seconds, peak in ((9.0, 2**30), (10.0, 2**30), (11.0, 2**30)):
        measurements.add(a_measurement(workload, seconds=seconds, peak=peak))

    found = estimate(asked())

    assert found.duration_seconds.likely == 80.0
    assert found.duration_seconds.low == pytest.approx(80 * 9 / 10.5)
    assert found.duration_seconds.high == pytest.approx(80 * 11 / 9.5)
    assert found.peak_memory_bytes.likely == 2**30
    assert found.device_memory_bytes == CPU.memory_bytes
    assert found.queue_wait_seconds == 0.0
    assert (found.stages["train"], found.start_seconds.likely) == (10.0, 5.0)
    assert found.based_on.model_dump() == {
        "measurements": 3,
        "device": CPU.name,
        "same_base_model": True,
        "same_method_and_policy": True,
    }
    assert found.absent == {}


def test_a_single_measurement_says_that_it_shows_no_spread(estimate, measurements, workers, workload):
    alive(workers)
    measurements.add(a_measurement(workload))

    found = estimate(asked())

    assert found.duration_seconds.likely == 80.0
    assert found.absent.keys() == {"duration_seconds.high", "peak_memory_bytes.high"}


def test_the_slowest_of_the_devices_at_work_counts(estimate, measurements, workers, workload):
    alive(workers, "host/1", device=CPU)
    alive(workers, "host/2", device=GPU)
    measurements.add(a_measurement(workload, seconds=1.0, device=GPU))
    measurements.add(a_measurement(workload, seconds=10.0, device=CPU))

    assert estimate(asked()).based_on.device == CPU.name


def test_a_device_that_is_not_at_work_does_not_count(estimate, measurements, workers, workload):
    alive(workers, device=GPU)
    measurements.add(a_measurement(workload, device=CPU))

    found = estimate(asked())

    assert found.duration_seconds is None
    assert "devices at work" in found.absent["duration_seconds"]


def test_the_last_device_counts_while_no_worker_has_told_its_own(estimate, measurements, workers, workload):
    alive(workers, device=None)
    measurements.add(a_measurement(workload, device=GPU))

    found = estimate(asked())

    assert found.based_on.device == "a GPU"
    assert found.absent["device_memory_bytes"].startswith("no living worker has told")


def test_the_wait_is_what_the_jobs_ahead_would_take(estimate, measurements, workers, jobs, workload):
    alive(workers)
    measurements.add(a_measurement(workload))
    for age in (300.0, 200.0):
        add_job(jobs, workload, age=age)

    assert estimate(asked()).queue_wait_seconds == 170.0


def test_a_job_ahead_that_cannot_be_estimated_leaves_the_wait_open(estimate, measurements, workers, jobs, workload):
    alive(workers)
    measurements.add(a_measurement(workload))
    jobs.add_probe(a_probe(), [])

    found = estimate(asked())

    assert found.queue_wait_seconds is None
    assert found.absent["queue_wait_seconds"] == "a job ahead cannot be estimated"


def test_a_base_model_whose_sets_were_never_counted_says_so(estimate, workers):
    alive(workers)

    found = estimate(asked(base_model="old"))

    assert found.absent.keys() == {"duration_seconds", "start_seconds", "based_on", "peak_memory_bytes", "steps"}
    assert all("register it again" in reason for reason in found.absent.values())


def test_a_method_without_a_schedule_has_no_steps_and_nothing_is_absent_for_it(estimate):
    fact = FactItem(subject="Ada", prompt="Where is Ada?", completion="Here.")

    found = estimate(asked(item=fact, method=LawOptions()))

    assert found.steps is None
    assert "steps" not in found.absent


def test_what_a_request_would_be_refused_for_is_refused_here(estimate, workers):
    with pytest.raises(ItemTooLongError):
        estimate(asked(item=TextItem(text="x" * 41)))

    alive(workers, device=CPU.model_copy(update={"memory_bytes": 1}))
    with pytest.raises(DoesNotFitError):
        estimate(asked())


def test_nothing_is_stored(estimate, items, jobs):
    estimate(asked())

    assert items.sets == {}
    assert jobs.unfinished() == ()
