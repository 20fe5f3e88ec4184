import heapq
from collections.abc import Callable, Sequence
from datetime import datetime

from core.domain.job import Job
from core.domain.states import JobState


def queue_wait(
    unfinished: Sequence[Job], *, num_workers: int, now: datetime, seconds_of: Callable[[Job], float | None]
) -> float | None:
    """Return after how many seconds a worker would take a job that came now, None where that cannot be said.

    Each worker takes the oldest job when it is free. One that is idle, with nothing waiting, takes the job at once.

    Args:
        unfinished: the jobs that run or wait, oldest first.
        num_workers: that are alive, at least one.
        now: the time.
        seconds_of: the likely duration of a job, None where it is not known.
    """
    running = [job for job in unfinished if job.state is not JobState.QUEUED]
    waiting = [job for job in unfinished if job.state is JobState.QUEUED]
    idle = max(0, num_workers - len(running))
    if idle > len(waiting):
        return 0.0
    free_in = [0.0] * idle
    for job in running:
        seconds = seconds_of(job)
        if seconds is None:
            return None
        started = job.started_at or now
        free_in.append(max(0.0, seconds - (now - started).total_seconds()))
    heapq.heapify(free_in)
    for job in waiting:
        seconds = seconds_of(job)
        if seconds is None:
            return None
        heapq.heapreplace(free_in, free_in[0] + seconds)
    return free_in[0]
