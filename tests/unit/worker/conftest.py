from datetime import timedelta

import pytest

from core.jobs.attempt import Attempts
from tests.fakes.artifact_store import FakeArtifactStore
from tests.fakes.clock import FakeClock
from tests.fakes.examples import a_job, a_request, an_event
from tests.fakes.job_queue import FakeJobQueue
from tests.fakes.job_repository import FakeJobRepository


@pytest.fixture
def jobs():
    return FakeJobRepository()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store():
    return FakeArtifactStore()


@pytest.fixture
def queue():
    return FakeJobQueue()


@pytest.fixture
def attempts(jobs, queue, clock):
    return Attempts(jobs=jobs, queue=queue, clock=clock, lease=timedelta(seconds=30), max_attempts=3)


@pytest.fixture
def queued(jobs):
    job = a_job()
    jobs.add(a_request(job), job, [an_event()])
    return job


@pytest.fixture
def claimed(queued, attempts):
    return attempts.claim(queued.id, owner="this worker")
