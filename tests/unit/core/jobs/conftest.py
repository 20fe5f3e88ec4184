from datetime import timedelta

import pytest

from core.jobs.attempt import Attempts
from tests.fakes.clock import FakeClock
from tests.fakes.job_queue import FakeJobQueue
from tests.fakes.job_repository import FakeJobRepository


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
def attempts(jobs: FakeJobRepository, queue: FakeJobQueue, clock: FakeClock) -> Attempts:
    return Attempts(jobs=jobs, queue=queue, clock=clock, lease=timedelta(minutes=1), max_attempts=2)
