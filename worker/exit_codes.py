import signal
from enum import IntEnum


class RunnerExit(IntEnum):
    """The contract between the runner and its supervisor. Other codes, and signals, are a crash.

    Only a failure that another attempt would repeat ends the job. An unexpected error is none: a database that
    hiccups raises one too, so the job goes back to the queue until its attempts are used up.
    """

    FINISHED = 0  # the runner itself recorded how the job ended
    LEASE_LOST = 80  # the attempt does not own the job any more
    STOPPED = 81  # it was asked to stop by SIGTERM, and did
    UNEXPECTED = 82  # an error that nobody foresaw; the log has its type and place


def reason_for(exit_code: int, *, attempt: int) -> str:
    """Return why the attempt ended without a result, in words that may leave the service."""
    if exit_code < 0:
        return f"its process was killed by {signal.Signals(-exit_code).name}"
    match exit_code:
        case RunnerExit.FINISHED:
            return "its process ended without recording a result"
        case RunnerExit.LEASE_LOST:
            return "its lease was lost"
        case RunnerExit.STOPPED:
            return "its process was stopped"
        case RunnerExit.UNEXPECTED:
            return f"an unexpected error, in the worker's log under this job, attempt {attempt}"
        case _:
            return f"its process ended with exit code {exit_code}"
