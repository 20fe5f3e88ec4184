import signal
from enum import IntEnum


class RunnerExit(IntEnum):
    """How an attempt ended, and with it its runner, save one that is kept. Other codes, and signals, are a crash.

    Only a failure that another attempt would repeat ends the job. An unexpected error is none: a database that
    hiccups raises one too, so the job goes back to the queue until its attempts are used up.
    """

    FINISHED = 0  # the runner itself recorded that the job succeeded; it may serve another one
    FAILED = 79  # the runner itself recorded that the job failed; what it left in memory is not trusted
    LEASE_LOST = 80  # the attempt does not own the job any more
    STOPPED = 81  # it was asked to stop by SIGTERM, and did
    UNEXPECTED = 82  # an error that nobody foresaw; the log has its type and place
    UNFIT = 83  # the machine lacks what its settings promise; the job is not to blame
    IDLE = 84  # there was nothing to do for too long; no attempt was begun


_REASONS: dict[int, str] = {
    RunnerExit.FINISHED: "its process ended without recording a result",
    RunnerExit.FAILED: "its process ended without recording a result",
    RunnerExit.LEASE_LOST: "its lease was lost",
    RunnerExit.STOPPED: "its process was stopped",
    RunnerExit.UNFIT: "its worker lacks what its settings promise",
    RunnerExit.IDLE: "its process ended before it began",
}


def reason_for(exit_code: int, *, attempt: int) -> str:
    """Return why the attempt ended without a result, in words that may leave the service."""
    if exit_code < 0:
        return f"its process was killed by {signal.Signals(-exit_code).name}"
    if exit_code == RunnerExit.UNEXPECTED:
        return f"an unexpected error, in the worker's log under this job, attempt {attempt}"
    return _REASONS.get(exit_code, f"its process ended with exit code {exit_code}")
