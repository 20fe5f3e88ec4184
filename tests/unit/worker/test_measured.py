from dataclasses import replace
from datetime import timedelta

import pytest
import torch

from core.domain.errors import InsufficientMemoryError
from core.domain.report import FisherSummary
from core.jobs.admission import Admission
from core.jobs.history import History
from core.pipeline.task import RunOutcome
from tests.fakes.clock import START
from tests.fakes.examples import a_workload
from tests.fakes.measurement_repository import FakeMeasurementRepository
from tests.fakes.worker_repository import FakeWorkerRepository
from tests.unit.api.report_example import a_report
from worker.measured import MeasuredRun

TOOK = timedelta(seconds=12)


class Away(FakeMeasurementRepository):
    """A database that goes away before anything is stored."""

    def add(self, measurement):
        raise ConnectionError


@pytest.fixture
def measurements():
    return FakeMeasurementRepository()


@pytest.fixture
def workers():
    return FakeWorkerRepository()


@pytest.fixture
def measured_run(measurements, workers, clock):
    admission = Admission(History(measurements), workers, clock)
    return MeasuredRun(torch.device("cpu"), memory_bytes=None, admission=admission)


def running(clock, **changes):
    """Return a run of 12 s whose report says so."""

    def run():
        clock.advance(TOOK)
        report = a_report("job_1").model_copy(update={"timings_seconds": {"train": 8.0, "package": 1.5}} | changes)
        return RunOutcome(None, report, "", ())

    return run


def test_what_a_job_took_is_kept(measured_run, measurements, claimed, clock):
    ran = measured_run(claimed, running(clock))

    (kept,) = measurements.measurements
    assert ran.report.job_id == "job_1"
    assert (kept.start_seconds, kept.seconds) == (2.5, {"train": 8.0, "package": 1.5})
    assert (kept.workload, kept.weights_sha256) == (claimed.workload, claimed.spec.weights_sha256)
    assert (kept.device.kind, kept.measured_at) == ("cpu", START + TOOK)
    assert (kept.steps, kept.reused_statistics) == (1, False)


def test_a_measurement_names_no_job_and_no_tenant(measured_run, measurements, claimed, clock):
    measured_run(claimed, running(clock))

    (kept,) = measurements.measurements
    assert claimed.id not in kept.model_dump_json()
    assert claimed.tenant not in kept.model_dump_json()


def test_statistics_that_were_there_already_are_noted(measured_run, measurements, claimed, clock):
    fisher = FisherSummary(mode="exact", retain_items=9, retain_from_cache=True, epsilon_share=0.1)

    measured_run(claimed, running(clock, fisher=fisher))

    assert measurements.measurements[0].reused_statistics


def test_a_run_that_is_not_a_whole_job_is_not_kept(measured_run, measurements, claimed, clock):
    resumed = a_report("job_1").training.model_copy(update={"resumed_from_step": 3})

    measured_run(claimed, running(clock, training=None))
    measured_run(claimed, running(clock, training=resumed))
    measured_run(claimed.model_copy(update={"fence": 2}), running(clock))

    assert measurements.measurements == []


def test_the_worker_tells_its_device_before_the_run(measured_run, workers, claimed, clock):
    seen = []

    def run():
        seen.extend(workers.live(since=START))
        return running(clock)()

    measured_run(claimed, run)

    assert [(worker.owner, worker.device.kind) for worker in seen] == [("this worker", "cpu")]


def test_a_job_without_room_is_not_begun_and_the_numbers_are_told(measured_run, claimed):
    small = replace(measured_run, memory_bytes=16 * 2**20)

    with pytest.raises(InsufficientMemoryError) as refused:
        small(claimed, lambda: pytest.fail("it was begun"))

    assert "at least 25 MiB" in str(refused.value)
    assert "has 16 MiB" in str(refused.value)


def test_a_job_of_which_nothing_is_known_runs_and_is_not_kept(measured_run, measurements, claimed, clock):
    unknown = claimed.model_copy(update={"workload": None})

    assert replace(measured_run, memory_bytes=1)(unknown, running(clock)).report
    assert measurements.measurements == []


def test_an_outage_costs_the_measurement_and_not_the_run(measured_run, workers, claimed, clock):
    run = replace(measured_run, admission=Admission(History(Away()), workers, clock))

    assert run(claimed, running(clock)).report


def test_the_job_that_was_measured_is_the_first_that_is_alike(measured_run, claimed, clock):
    measured_run(claimed, running(clock))

    alike = measured_run.admission.history.alike(a_workload(), claimed.spec.weights_sha256, _device_name(measured_run))

    assert (alike.basis.measurements, alike.basis.same_method_and_policy) == (1, True)


def _device_name(measured_run):
    return measured_run.admission.workers.live(since=START)[0].device.name


def test_peak_of_several_devices_is_not_known(measurements, workers, claimed, clock):
    admission = Admission(History(measurements), workers, clock)
    spread = MeasuredRun(torch.device("cpu"), memory_bytes=None, admission=admission, devices=2)

    spread(claimed, running(clock))

    (kept,) = measurements.measurements
    assert kept.peak_memory_bytes is None
    assert kept.device.name.endswith(", 2 devices")
