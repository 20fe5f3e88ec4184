from datetime import timedelta

import pytest

from core.jobs.admission import Admission
from core.jobs.attempt import Attempts
from core.jobs.history import History
from tests.fakes.clock import FakeClock
from tests.fakes.job_queue import FakeJobQueue
from tests.fakes.job_repository import FakeJobRepository
from tests.fakes.measurement_repository import FakeMeasurementRepository
from tests.fakes.worker_repository import FakeWorkerRepository


@pytest.fixture
def jobs() -> FakeJobRepository:
    return FakeJobRepository()


@pytest.fixture
def queue() -> FakeJobQueue:
    return FakeJobQueue()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def measurements() -> FakeMeasurementRepository:
    return FakeMeasurementRepository()


@pytest.fixture
def workers() -> FakeWorkerRepository:
    return FakeWorkerRepository()


@pytest.fixture
def admission(measurements: FakeMeasurementRepository, workers: FakeWorkerRepository, clock: FakeClock) -> Admission:
    return Admission(History(measurements), workers, clock)


@pytest.fixture
def attempts(jobs: FakeJobRepository, queue: FakeJobQueue, clock: FakeClock) -> Attempts:
    return Attempts(jobs=jobs, queue=queue, clock=clock, lease=timedelta(minutes=1), max_attempts=2)
