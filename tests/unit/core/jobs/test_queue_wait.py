from datetime import timedelta

import pytest

from core.domain.job import Job
from core.jobs.queue_wait import queue_wait
from tests.fakes.clock import START
from tests.fakes.examples import a_job

NOW = START + timedelta(seconds=100)
LEASED = START + timedelta(days=1)


def waiting(seconds: float | None) -> Job:
    return a_job(f"job_{seconds}")


def running(seconds: float | None, *, since: float = 0) -> Job:
    started = NOW - timedelta(seconds=since)
    return waiting(seconds).claimed(owner="worker", now=started, expires_at=LEASED)


def seconds_of(job: Job) -> float | None:
    name = job.id.removeprefix("job_")
    return None if name == "None" else float(name)


@pytest.mark.parametrize(
    ("jobs", "workers", "expected"),
    [
        ([], 1, 0.0),
        ([running(60.0)], 2, 0.0),  # the other one is idle
        ([running(None), waiting(None)], 3, 0.0),  # one is idle whatever the others do
        ([running(60.0, since=20)], 1, 40.0),
        ([running(60.0, since=90)], 1, 0.0),  # overdue: any moment
        ([running(60.0), waiting(30.0), waiting(10.0)], 1, 100.0),
        ([running(60.0), running(20.0)], 2, 20.0),
        ([running(60.0), running(20.0), waiting(30.0)], 2, 50.0),  # 20 + 30, before 60
        ([running(60.0), running(20.0), waiting(30.0), waiting(30.0)], 2, 60.0),  # 20 + 30 + 30 is later
        ([waiting(30.0), waiting(10.0)], 2, 10.0),  # two idle, each about to take one
        ([running(60.0), running(50.0)], 1, 50.0),  # more at work than were heard of
        ([running(60.0), waiting(None)], 1, None),
        ([running(None)], 1, None),
    ],
)
def test_each_worker_takes_the_oldest_job_when_it_is_free(jobs, workers, expected):
    assert queue_wait(jobs, num_workers=workers, now=NOW, seconds_of=seconds_of) == expected
